"""Prompts for the example predictions: sentences of held-out documents.

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
    from components.documents import Document  # imports Beam, which a page does not need

MASK = "[MASK]"
FOLLOWS, UNRELATED = "follows", "from another document"
"""Whether the second sentence of a pair follows the first one in the text."""

_MAX_DOCUMENTS, _MAX_CHARACTERS, _MAX_SENTENCES = 200, 5_000, 200  # the latter two per document
_NUM_MASKED, _NUM_BEGINNINGS = 4, 3
_SENTENCE_WORDS, _MAX_SENTENCE_CHARACTERS = range(5, 25), 240
_BEGINNING_WORDS = 5
_MAX_MASKED_LETTERS = 8  # longer words are often several tokens
_CHINESE = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_CHINESE}]|[^\s{_CHINESE}]+")


@dataclasses.dataclass(frozen=True)
class Prompt:
    """One prompt.

    Attributes:
        texts: the inputs of the model's signature.
        expected: what the text has there: the masked word, whether the second sentence follows, or
            the rest of the sentence.
    """

    texts: tuple[str, ...]
    expected: str


@dataclasses.dataclass(frozen=True)
class Prompts:
    """Prompts of each kind.

    Attributes:
        masked: sentences with one [MASK] each.
        pairs: a sentence with the one that follows it, and with one from another document.
        beginnings: beginnings of sentences, for the model to continue.
    """

    masked: Sequence[Prompt] = ()
    pairs: Sequence[Prompt] = ()
    beginnings: Sequence[Prompt] = ()


def held_out_prompts(folder: pathlib.Path | str) -> Prompts:
    """Prompts from the split "test" of documents.

    Args:
        folder: folder that TextExampleGen or TextCleaner wrote; no prompts if it is gone.
    """
    return prompts_of(itertools.islice(_documents(pathlib.Path(folder)), _MAX_DOCUMENTS))


def prompts_of(documents: Iterable[Document]) -> Prompts:
    """Prompts from documents in any order; at most one prompt of a kind from a document."""
    # In the order of a hash, since documents next to each other may be similar.
    ordered = sorted(documents, key=lambda document: hashlib.sha256(document.id.encode()).digest())
    texts = [
        split_sentences(document.text[:_MAX_CHARACTERS], document.lang)[:_MAX_SENTENCES]
        for document in ordered
    ]
    suitable = [[sentence for sentence in text if _is_suitable(sentence)] for text in texts]
    masked = (_with_mask(sentence) for sentences in suitable for sentence in sentences[:1])
    beginnings = (_beginning(sentence) for sentences in suitable for sentence in sentences[-1:])
    return Prompts(
        masked=list(itertools.islice(filter(None, masked), _NUM_MASKED)),
        pairs=_pairs(texts),
        beginnings=list(itertools.islice(beginnings, _NUM_BEGINNINGS)),
    )


def _documents(folder: pathlib.Path) -> Iterator[Document]:
    import tensorflow as tf

    from components.documents import parse

    for file in shard_files(folder, TEST):
        for record in tf.data.TFRecordDataset(file, "GZIP").as_numpy_iterator():
            yield parse(record)


def _is_suitable(sentence: str) -> bool:
    return (
        len(_WORD.findall(sentence)) in _SENTENCE_WORDS
        and len(sentence) <= _MAX_SENTENCE_CHARACTERS
        and MASK not in sentence.upper()
    )


def _with_mask(sentence: str) -> Prompt | None:
    """The sentence with its longest short word masked, the most central of several.

    Returns:
        None if no word consists of letters only.
    """
    words = [_without_marks(match) for match in _WORD.finditer(sentence)]
    words = [word for word in words if word[1] > word[0] and _is_word(sentence[slice(*word)])]
    if not words:
        return None

    def rank(word: tuple[int, int]) -> tuple[bool, int, int]:
        letters = word[1] - word[0]
        short = letters <= _MAX_MASKED_LETTERS
        central = -abs(words.index(word) - len(words) // 2)  # Chinese words are single characters
        return short, letters if short else -letters, central

    begin, end = max(words, key=rank)
    return Prompt((f"{sentence[:begin]}{MASK}{sentence[end:]}",), sentence[begin:end])


def _beginning(sentence: str) -> Prompt:
    words = list(_WORD.finditer(sentence))
    cut = words[min(_BEGINNING_WORDS, len(words) // 2)].start()
    beginning = sentence[:cut].rstrip()
    return Prompt((beginning,), sentence[len(beginning) :])


def _pairs(texts: Sequence[Sequence[str]]) -> list[Prompt]:
    """A sentence with the one that follows it, and with one from another document.

    Args:
        texts: the sentences of each document.
    """
    following = (
        (index, first, second)
        for index, sentences in enumerate(texts)
        for first, second in itertools.pairwise(sentences)
        if _is_suitable(first) and _is_suitable(second)
    )
    index, first, second = next(following, (0, "", ""))
    if not first:
        return []
    unrelated = (
        sentence
        for other, sentences in enumerate(texts)
        if other != index
        for sentence in sentences
        if _is_suitable(sentence) and sentence not in texts[index]
    )
    pairs = [Prompt((first, second), FOLLOWS)]
    sentence = next(unrelated, "")
    return [*pairs, Prompt((first, sentence), UNRELATED)] if sentence else pairs


def _without_marks(match: re.Match[str]) -> tuple[int, int]:
    """Begin and end of a word without the punctuation around it."""
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
