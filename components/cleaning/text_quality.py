"""Rules that tell a document unfit for training by itself: its length, language and make-up.

The rules and bounds of a text's make-up follow Rae et al., 2021, "Gopher", appendix A.1; shares of
repeated words are counted in words rather than in characters.
"""

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from components.cleaning.word_grams import hash_grams
from components.config import CleaningConfig, ValidationConfig
from components.documents import Document, count_non_letters

QUARANTINED: Mapping[str, str] = {
    "min_characters": "too short",
    "max_non_letter_share": "non-letters",
    "max_replacement_share": "replacement characters",
    "languages": "language not allowed",
}
"""By each field of `ValidationConfig` that affects examples the reason by which a document outside
of it is counted."""
_READ = 1_000  # characters of a text's beginning that its language is told from
_UNSPACED = ("zh", "ja")
_STOP_WORDS = {"en": frozenset("the be to of and that have with".split())}
_LETTER = re.compile(r"[^\W\d_]")
_BULLETS = ("•", "‣", "⁃", "*", "-", "–")
_ELLIPSES = ("...", "…")


class Fault(NamedTuple):
    """Why a document is dropped: what is counted, and the figure behind it."""

    reason: str
    detail: str


def fault_of(
    document: Document, words: Sequence[str], hashes: np.ndarray, config: CleaningConfig
) -> Fault | None:
    """The first rule that a document breaks, None if it breaks none.

    Args:
        document: the document.
        words: its words, as `components.cleaning.word_grams.words_of` gives them.
        hashes: of the words, uint64 `[words]`.
        config: which rules, and their bounds.
    """
    return next(_faults(document, words, hashes, config), None)


def outside_bounds(document: Document, bounds: ValidationConfig) -> Fault | None:
    """The first bound that a document is outside of, None if of none.

    Args:
        document: the document.
        bounds: what its text and its language may be like.
    """
    text = document.text
    if len(text) < bounds.min_characters:
        return Fault(QUARANTINED["min_characters"], f"{len(text):,} characters")
    share = count_non_letters(text) / len(text)
    if share > bounds.max_non_letter_share:
        return Fault(QUARANTINED["max_non_letter_share"], f"{share:.1%} of its characters")
    share = text.count("\ufffd") / len(text)
    if share > bounds.max_replacement_share:
        return Fault(QUARANTINED["max_replacement_share"], f"{share:.2%} of its characters")
    if document.lang not in bounds.languages:
        return Fault(QUARANTINED["languages"], document.lang)
    return None


def language_of(text: str) -> tuple[str, float]:
    """The language that a text is most likely in, and how likely, told from its beginning.

    Follows Lui and Baldwin, 2012, "langid.py", over 97 languages.
    """
    language, probability = _identifier().classify(text[:_READ])
    return str(language), float(probability)


@functools.cache
def _identifier():  # type: ignore[no-untyped-def]
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_pickled_model(MODEL_FILE, norm_probs=True)


def _faults(
    document: Document, words: Sequence[str], hashes: np.ndarray, config: CleaningConfig
) -> Iterator[Fault]:
    # Of what is no text in any language, its make-up tells more than the likeliest language.
    if config.quality:
        yield from _make_up(document, words, config)
    if config.language_confidence is not None:
        found, probability = language_of(document.text)
        if found != _primary(document.lang) and probability >= config.language_confidence:
            yield Fault("other language", f"{found}, not {document.lang} ({probability:.2f})")
    if config.quality:
        yield from _stop_words(document, words, config)
        yield from _repetition(document.text, hashes, config)


def _make_up(document: Document, words: Sequence[str], config: CleaningConfig) -> Iterator[Fault]:
    text, language = document.text, _primary(document.lang)
    if len(words) < config.min_words:
        yield Fault("few words", f"{len(words):,}")
    if len(words) > config.max_words:
        yield Fault("many words", f"{len(words):,}")
    if language not in _UNSPACED:
        length = sum(map(len, words)) / max(len(words), 1)
        if not config.min_mean_word_length <= length <= config.max_mean_word_length:
            yield Fault("word length", f"{length:.1f} characters on average")
    symbols = text.count("#") + sum(map(text.count, _ELLIPSES))
    if symbols > config.max_symbol_ratio * len(words):
        yield Fault("symbols", f"{symbols:,} for {len(words):,} words")
    lines = [line for line in map(str.strip, text.splitlines()) if line]
    bullets = sum(line.startswith(_BULLETS) for line in lines) / len(lines)
    if bullets > config.max_bullet_lines:
        yield Fault("bullets", f"{bullets:.0%} of the lines")
    ellipses = sum(line.endswith(_ELLIPSES) for line in lines) / len(lines)
    if ellipses > config.max_ellipsis_lines:
        yield Fault("ellipses", f"{ellipses:.0%} of the lines")
    spaced = text.split()
    letters = sum(map(bool, map(_LETTER.search, spaced))) / len(spaced)
    if letters < config.min_alphabetic_words:
        yield Fault("few letters", f"in {letters:.0%} of the words")


def _stop_words(
    document: Document, words: Sequence[str], config: CleaningConfig
) -> Iterator[Fault]:
    stop_words = _STOP_WORDS.get(_primary(document.lang))
    if stop_words and (count := sum(map(stop_words.__contains__, words))) < config.min_stop_words:
        yield Fault("stop words", f"{count} of them")


def _repetition(text: str, hashes: np.ndarray, config: CleaningConfig) -> Iterator[Fault]:
    lines = [line for line in map(str.strip, text.splitlines()) if line]
    repeated = 1 - len(set(lines)) / len(lines)
    if repeated > config.max_repeated_lines:
        yield Fault("repeated lines", f"{repeated:.0%} of the lines")
    for n, part in ((2, 1.0), (3, 0.9), (4, 0.8)):
        runs = hash_grams(hashes, n)
        found, counts = np.unique(runs, return_counts=True)
        if counts.max(initial=0) > 1:
            most = runs == found[counts.argmax()]
            share = np.count_nonzero(np.convolve(most, np.ones(n))) / len(hashes)
            if share > part * config.max_repeated_words:
                yield Fault("repeated words", f"one run of {n} words makes {share:.0%} of them")


def _primary(lang: str) -> str:
    return lang.split("-")[0].lower()
