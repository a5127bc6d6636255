"""Prompts come from the held-out text, in its language."""

import pathlib

from components.documents import Document, serialize
from components.reporting.prompts import Prompt, Prompts, held_out_prompts, prompts_of
from components.storage.record_files import RecordWriter

LIGHTHOUSE = (
    "The keeper climbed the narrow stairs before dawn. He lit the lamp when the fog came in. Then."
)
ORCHARD = "Apples fell in the orchard after the storm. Nobody picked them up until Sunday."
HARBOUR = "港口的渔民在黎明前修好了渔网。货船第二天才能出海去远方。"


def document(name: str, text: str, lang: str = "en") -> Document:
    return Document(name, text, "here", lang, 0)


ENGLISH = [document("a", LIGHTHOUSE), document("b", ORCHARD)]


def test_prompts_are_sentences_of_the_text() -> None:
    found = prompts_of(ENGLISH)
    assert found.masked == [
        Prompt(("Apples fell in the [MASK] after the storm.",), "orchard"),
        Prompt(("The keeper [MASK] the narrow stairs before dawn.",), "climbed"),
    ]
    assert [prompt.expected for prompt in found.pairs] == ["follows", "from another document"]
    first, second = found.pairs
    assert first.texts[0] == second.texts[0]
    assert " ".join(first.texts) in ORCHARD
    assert second.texts[1] in LIGHTHOUSE
    assert found.beginnings[1] == Prompt(("He lit the lamp",), " when the fog came in.")


def test_the_same_documents_give_the_same_prompts_whatever_their_order() -> None:
    assert prompts_of(ENGLISH) == prompts_of(ENGLISH[::-1])


def test_chinese_text_gives_chinese_prompts() -> None:
    found = prompts_of([document("c", HARBOUR, "zh")])
    (masked,) = found.masked
    assert masked.texts[0].replace("[MASK]", masked.expected) in HARBOUR
    assert len(masked.expected) == 1
    assert found.pairs == [
        Prompt(("港口的渔民在黎明前修好了渔网。", "货船第二天才能出海去远方。"), "follows")
    ]
    assert found.beginnings == [Prompt(("货船第二天",), "才能出海去远方。")]


def test_texts_with_a_mask_or_without_a_suitable_sentence_give_no_prompts() -> None:
    odd = [
        document("a", "What does the word [mask] stand for in this sentence?"),
        document("b", "Short. One. Two three."),
        document("c", "word " * 500),
        document("d", "1 2 3 4 5 6 7 8 9."),
    ]
    found = prompts_of(odd)
    assert found.masked == []
    assert found.pairs == []
    assert prompts_of([]) == Prompts([], [], [])


def test_only_the_split_test_is_read(tmp_path: pathlib.Path) -> None:
    for split, texts in (("train", [ORCHARD]), ("test", [LIGHTHOUSE])):
        folder = tmp_path / f"Split-{split}"
        folder.mkdir()
        with RecordWriter(str(folder / "documents-00000-of-00001.tfrecord.gz")) as file:
            file.write(serialize([document(str(i), text) for i, text in enumerate(texts)]))
    assert held_out_prompts(tmp_path) == prompts_of([document("0", LIGHTHOUSE)])
    assert held_out_prompts(tmp_path / "gone") == Prompts([], [], [])
