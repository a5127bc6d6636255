"""Finds documents that contain evaluation texts, by their word n-grams.

A model that was trained on such a document has read the evaluation text, so that a metric on the
text measures memory (Brown et al., 2020, "GPT-3", appendix C).
"""

import dataclasses
import functools
import os
from collections.abc import Iterable, Iterator

import numpy as np

from components.cleaning.word_grams import hash_ngrams, hash_words
from components.config import CleaningConfig
from components.readers.files import find_files
from components.readers.parts import split_file
from components.readers.records import Malformed, Unreadable
from components.readers.text_records import RecordReader
from components.words import split_words
from models.errors import DataRefused

_REMEDY = "Repair it, or remove it from cleaning.evaluation_texts."


@dataclasses.dataclass(frozen=True)
class EvaluationTexts:
    """The n-grams of evaluation texts.

    Attributes:
        path: file of the n-grams' hashes, uint64, sorted and distinct.
        texts: number of texts.
        too_short: number of texts with fewer words than an n-gram, which cannot be found.
    """

    path: str
    texts: int
    too_short: int


def read_evaluation_texts(config: CleaningConfig, path: str) -> EvaluationTexts:
    """Reads evaluation texts, and writes the hashes of their word n-grams.

    Args:
        config: has the paths of the texts and the length of n-grams.
        path: the `.npy` file to write.

    Raises:
        DataRefused: a file cannot be read or has a malformed record, whose text would not be found
            in documents.
    """
    ngrams: list[np.ndarray] = []
    texts = too_short = 0
    for text in _texts(config.evaluation_texts):
        words = hash_words(split_words(text))
        texts, too_short = texts + 1, too_short + (len(words) < config.evaluation_words)
        ngrams.append(hash_ngrams(words, config.evaluation_words))
    np.save(path, np.unique(np.concatenate([np.zeros(0, np.uint64), *ngrams])))
    return EvaluationTexts(path, texts, too_short)


def _texts(patterns: Iterable[str]) -> Iterator[str]:
    # The language and a limit on the size do not matter here.
    reader = RecordReader(lang="en", max_record_bytes=1 << 30)
    for file in (file for pattern in patterns for file in find_files(pattern).files):
        for record in (record for part in split_file(file) for record in reader.read(part)):
            if isinstance(record, Malformed) and record.empty:
                continue
            if isinstance(record, Unreadable):
                raise DataRefused(
                    f"An evaluation text cannot be read: {record}.",
                    where=record.file,
                    remedy=_REMEDY,
                )
            if isinstance(record, Malformed):
                raise DataRefused(
                    f"An evaluation text is malformed: {record.reason}.",
                    where=f"{record.file}:{record.line}",
                    remedy=_REMEDY,
                )
            yield record.document.text


def shared_ngram_share(words: np.ndarray, path: str, n: int) -> float:
    """The share of a document's word n-grams that occur in evaluation texts.

    Args:
        words: hashes of the document's words, uint64 `[words]`.
        path: the file that `read_evaluation_texts` wrote.
        n: words of an n-gram.
    """
    evaluation_ngrams = _load(path, os.stat(path).st_mtime_ns)
    ngrams = hash_ngrams(words, n)
    if not len(evaluation_ngrams) or not len(ngrams):
        return 0.0
    places = np.minimum(np.searchsorted(evaluation_ngrams, ngrams), len(evaluation_ngrams) - 1)
    return float(np.mean(evaluation_ngrams[places] == ngrams))


@functools.lru_cache(maxsize=1)
def _load(path: str, _modified: int) -> np.ndarray:
    """The hashes, mapped into memory that the workers of a machine share."""
    return np.load(path, mmap_mode="r")
