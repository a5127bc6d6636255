"""Tests of each rule on a text that breaks only this rule, and on a text that just passes."""

import dataclasses

import pytest

from components.cleaning.text_quality import (
    DropReason,
    broken_rule,
    detect_language,
    violated_bound,
)
from components.cleaning.word_grams import hash_words
from components.config import CleaningConfig, ValidationConfig
from components.documents import Document
from components.words import split_words

GOOD = (
    "The river rose that night and the men of the village went down to the bank with lamps.\n"
    "They had to be quick, for the water was already over the lower field and the old bridge.\n"
    "Nobody spoke. A boy carried the rope; his sister held two horses that would not stand.\n"
    "When morning came it was seen how little remained of the mill, and of the road to town.\n"
)
QUALITY = CleaningConfig(quality=True)


def reason(text: str, config: CleaningConfig = QUALITY, lang: str = "en") -> DropReason | None:
    words = split_words(text)
    return broken_rule(Document("d", text, "s", lang, 0), words, hash_words(words), config)


def test_a_plain_text_breaks_no_rule() -> None:
    assert reason(GOOD) is None
    assert reason(GOOD, dataclasses.replace(QUALITY, language_confidence=0.5)) is None


NUMBERS = " ".join(str(n) for n in range(1000, 1999)) + " "
STOP_WORDS = {"the", "to", "of", "and", "that", "with"}
WORDS = len(split_words(GOOD))  # 68


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The bank of the river.", ("few words", "5")),
        (GOOD + "incomprehensibilities " * 40, ("word length", "10.1 characters on average")),
        (
            GOOD + "a b c d e f g h i j k l m n o p q r s t u v w x y z " * 3,
            ("word length", "2.4 characters on average"),
        ),
        (GOOD + "# " * 8, ("symbols", "8 for 70 words")),
        ("".join(f"- {line}\n" for line in GOOD.splitlines()), ("bullets", "100% of the lines")),
        (GOOD.replace(".\n", " ...\n", 2), ("ellipses", "50% of the lines")),
        (GOOD + NUMBERS[:100], ("few letters", "in 78% of the words")),
        (GOOD + "Go.\n" * 4, ("repeated lines", "38% of the lines")),
        (GOOD + "old bridge " * 12, ("repeated words", "one 2-gram makes up 28% of the words")),
    ],
)
def test_a_rule_that_is_broken(text: str, expected: tuple[str, str]) -> None:
    assert reason(text) == expected
    assert reason(text, CleaningConfig()) is None


@pytest.mark.parametrize(
    "text",
    [
        GOOD + "# " * 7,
        GOOD.replace(".\n", " ...\n", 1),
        GOOD + NUMBERS[:80],
        GOOD + "Go.\n" * 2,
        GOOD + "old bridge " * 4,
    ],
)
def test_a_text_that_just_passes(text: str) -> None:
    assert reason(text) is None


def test_a_long_text_without_letters_is_checked_fast() -> None:
    # A regular expression that backtracked from each character would take 15 minutes.
    assert reason(GOOD + "=" * 200_000) is None


def test_hindi_vowel_signs_count_as_letters() -> None:
    text = (
        "उस रात नदी चढ़ी और गाँव के लोग दीपक लेकर किनारे तक गए।"
        " उन्हें जल्दी करनी थी, क्योंकि पानी खेत तक आ गया था।"
    )
    assert reason(text, dataclasses.replace(QUALITY, min_words=10), lang="hi") is None


def test_stop_words_are_required_only_in_english() -> None:
    text = " ".join(word for word in GOOD.split() if word.lower() not in STOP_WORDS)
    config = dataclasses.replace(QUALITY, min_words=40)
    assert reason(text, config) == ("stop words", "1 of them")
    assert reason(f"{text} Of", config) is None
    assert reason(text, config, lang="de") is None


def test_bounds_come_from_the_configuration() -> None:
    config = dataclasses.replace(QUALITY, min_words=WORDS + 1)
    assert reason(GOOD, config) == ("few words", str(WORDS))
    config = dataclasses.replace(QUALITY, max_words=WORDS - 1)
    assert reason(GOOD, config) == ("many words", str(WORDS))


def test_chinese_words_are_characters_and_stop_words_are_english() -> None:
    text = (
        "河水在那天夜里涨了起来，村里的人提着灯走到岸边。他们不得不快，因为水已经淹没了低处的田地和旧桥。"
        "没有人说话。一个男孩拿着绳子。"
    )
    assert reason(text, lang="zh-Hans") is None
    assert reason("河岸。" * 4, lang="zh") == ("few words", "8")


@pytest.mark.parametrize(
    ("text", "lang", "expected"),
    [
        ("Der Fluss stieg in der Nacht, und die Männer gingen mit Lampen hinunter.", "en", "de"),
        ("في تلك الليلة ارتفع النهر ونزل رجال القرية بالمصابيح إلى الضفة", "en", "ar"),
        ("河水在那天夜里涨了起来，村里的人提着灯走到岸边。", "en", "zh"),
        (GOOD, "zh", "en"),
    ],
)
def test_documents_in_another_language_are_dropped(text: str, lang: str, expected: str) -> None:
    assert detect_language(text)[0] == expected
    found = reason(text, CleaningConfig(language_confidence=0.9), lang)
    assert found is not None
    assert found.reason == "other language"
    assert found.detail.startswith(f"{expected}, not {lang} (")
    assert reason(text, CleaningConfig(language_confidence=0.9), f"{expected}-Xxxx") is None


def test_documents_of_uncertain_language_are_kept() -> None:
    text = "12 34 5"
    language, probability = detect_language(text)
    assert probability < 0.9
    assert reason(text, CleaningConfig(language_confidence=0.9), "zh") is None
    assert reason(text, CleaningConfig(language_confidence=0.0), "zh") == (
        "other language",
        f"{language}, not zh ({probability:.2f})",
    )


BOUNDS = ValidationConfig(min_characters=4, languages=("en", "zh-Hans"))


@pytest.mark.parametrize(
    ("text", "lang", "expected"),
    [
        ("Four", "en", None),
        ("No.", "en", ("too short", "3 characters")),
        ("12345, 6789 yes", "en", ("non-letters", "66.7% of its characters")),
        ("नमस्ते दुनिया", "en", None),
        ("a \ufffd " * 9, "en", ("replacement characters", "25.00% of its characters")),
        ("Quatre", "fr", ("language not allowed", "fr")),
        ("四个字好", "zh-Hans", None),
        ("四个字好", "zh", ("language not allowed", "zh")),
    ],
)
def test_the_first_violated_bound_is_named(
    text: str, lang: str, expected: tuple[str, str] | None
) -> None:
    assert violated_bound(Document("d", text, "s", lang, 0), BOUNDS) == expected
