"""What the report asks a model: sentences of the documents that it was evaluated on.

The documents of the split "test" were not trained on. The same documents give the same prompts.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import pathlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from components.layout import TEST, shard_files
from models.tokenizers.sentences import split_sentences

if TYPE_CHECKING:
    from components.documents import Document  # Beam, which a page does without

MASK = "[MASK]"
_READ, _CHARACTERS = 200, 5_000  # documents, and of each so much of its beginning
_MASKED, _BEGINNINGS = 4, 3
_FEWEST, _MOST, _LONGEST = 5, 24, 240  # words of a sentence that is asked about, and characters
_BEGINNING = 5  # words
_WORD_LETTERS = 8  # of a masked word: longer ones are often several tokens
_CHINESE = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_CHINESE}]|[^\s{_CHINESE}]+")


@dataclasses.dataclass(frozen=True)
class Asked:
    """One question.

    Attributes:
        texts: what the model is given.
        expected: what the text has there: the masked word, whether the second sentence follows, or
            the rest of the sentence.
    """

    texts: tuple[str, ...]
    expected: str


@dataclasses.dataclass(frozen=True)
class Prompts:
    """Questions to a model.

    Attributes:
        masked: sentences with one [MASK] each.
        pairs: two sentences that follow one another, and two that do not.
        beginnings: beginnings of sentences, to be continued.
    """

    masked: Sequence[Asked] = ()
    pairs: Sequence[Asked] = ()
    beginnings: Sequence[Asked] = ()


FOLLOWS, UNRELATED = "follows", "of another document"


def held_out_prompts(folder: pathlib.Path | str) -> Prompts:
    """Questions out of the split "test" of documents.

    Args:
        folder: what TextExampleGen or TextCleaner wrote; where it is gone there are no questions.
    """
    return prompts_of(itertools.islice(_documents(pathlib.Path(folder)), _READ))


def prompts_of(documents: Iterable[Document]) -> Prompts:
    """Questions out of documents, whatever their order; of each document one of a kind at most."""
    chosen = sorted(
        documents, key=lambda document: hashlib.sha256(document.id.encode()).digest()
    )  # neighbours may be alike
    told = [
        split_sentences(document.text[:_CHARACTERS], document.lang)[:_READ] for document in chosen
    ]
    fit = [[sentence for sentence in sentences if _is_fit(sentence)] for sentences in told]
    masked = (_masked(sentence) for sentences in fit for sentence in sentences[:1])
    begun = (_begun(sentence) for sentences in fit for sentence in sentences[-1:])
    return Prompts(
        masked=list(itertools.islice(filter(None, masked), _MASKED)),
        pairs=_pairs(told),
        beginnings=list(itertools.islice(begun, _BEGINNINGS)),
    )


def _documents(folder: pathlib.Path) -> Iterator[Document]:
    import tensorflow as tf

    from components.documents import parse

    for file in shard_files(folder, TEST):
        for record in tf.data.TFRecordDataset(file, "GZIP").as_numpy_iterator():
            yield parse(record)


def _is_fit(sentence: str) -> bool:
    words = len(_WORD.findall(sentence))
    return _FEWEST <= words <= _MOST and len(sentence) <= _LONGEST and MASK not in sentence.upper()


def _masked(sentence: str) -> Asked | None:
    """The sentence without its longest word of few letters, the first of several."""
    words = [_core(match) for match in _WORD.finditer(sentence)]
    words = [word for word in words if word[1] > word[0] and _is_word(sentence[slice(*word)])]
    if not words:
        return None

    def suits(word: tuple[int, int]) -> tuple[bool, int, int]:
        letters = word[1] - word[0]
        short = letters <= _WORD_LETTERS
        middle = -abs(words.index(word) - len(words) // 2)  # Chinese: all are of one character
        return short, letters if short else -letters, middle

    begin, end = max(words, key=suits)
    return Asked((f"{sentence[:begin]}{MASK}{sentence[end:]}",), sentence[begin:end])


def _begun(sentence: str) -> Asked:
    words = list(_WORD.finditer(sentence))
    cut = words[min(_BEGINNING, len(words) // 2)].start()
    beginning = sentence[:cut].rstrip()
    return Asked((beginning,), sentence[len(beginning) :])


def _pairs(documents: Sequence[Sequence[str]]) -> list[Asked]:
    """A pair that follows, and the same first sentence with one of another document."""
    found = (
        (place, first, second)
        for place, sentences in enumerate(documents)
        for first, second in itertools.pairwise(sentences)
        if _is_fit(first) and _is_fit(second)
    )
    place, first, second = next(found, (0, "", ""))
    if not first:
        return []
    others = (
        sentence
        for number, sentences in enumerate(documents)
        if number != place
        for sentence in sentences
        if _is_fit(sentence) and sentence not in documents[place]
    )
    other = next(others, "")
    pairs = [Asked((first, second), FOLLOWS)]
    return [*pairs, Asked((first, other), UNRELATED)] if other else pairs


def _core(match: re.Match[str]) -> tuple[int, int]:
    """Where a word begins and ends without the marks around it."""
    begin, end = match.span()
    while begin < end and not _is_letter(match.string[begin]):
        begin += 1
    while begin < end and not _is_letter(match.string[end - 1]):
        end -= 1
    return begin, end


def _is_word(text: str) -> bool:
    return all(map(_is_letter, text))


def _is_letter(character: str) -> bool:
    return unicodedata.category(character)[0] in "LM"
