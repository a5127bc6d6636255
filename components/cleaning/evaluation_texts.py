"""Texts that are not to be trained on, known by their runs of words.

A document that holds such a run was read by whoever learned from it, and what is measured on the
text is then memory (Brown et al., 2020, "GPT-3", appendix C).
"""

import dataclasses
import functools
import os

import numpy as np

from components.cleaning.word_grams import hash_grams, hash_words, words_of
from components.config import CleaningConfig
from components.readers.files import find_files
from components.readers.parts import split_file
from components.readers.records import Malformed, Unreadable
from components.readers.text_records import RecordReader
from models.errors import DataRefused


@dataclasses.dataclass(frozen=True)
class EvaluationTexts:
    """What was read.

    Attributes:
        path: file of the runs' hashes, uint64, sorted, no two alike.
        texts: their number.
        short: how many of them have fewer words than a run and are not looked for.
    """

    path: str
    texts: int
    short: int


def read_evaluation_texts(config: CleaningConfig, path: str) -> EvaluationTexts:
    """Reads the texts that a configuration names, and writes the hashes of their runs.

    Args:
        config: where the texts are, and how long runs are.
        path: the `.npy` file to write.

    Raises:
        DataRefused: a file cannot be read or holds a malformed record: what is not understood
            would not be looked for.
    """
    # A text's language and a limit on its size matter to nobody here.
    reader = RecordReader(lang="en", max_record_bytes=1 << 30)
    runs: list[np.ndarray] = []
    texts = short = 0
    for file in (file for pattern in config.evaluation_texts for file in find_files(pattern).files):
        for record in (record for part in split_file(file) for record in reader.read(part)):
            if isinstance(record, Malformed) and record.empty:
                continue  # nothing to look for
            if isinstance(record, Unreadable):
                raise DataRefused(
                    f"An evaluation text cannot be read: {record}.",
                    where=record.file,
                    remedy="Repair it, or take it out of cleaning.evaluation_texts.",
                )
            if isinstance(record, Malformed):
                raise DataRefused(
                    f"An evaluation text is malformed: {record.reason}.",
                    where=f"{record.file}:{record.line}",
                    remedy="Repair it, or take it out of cleaning.evaluation_texts.",
                )
            words = hash_words(words_of(record.document.text))
            texts, short = texts + 1, short + (len(words) < config.evaluation_words)
            runs.append(hash_grams(words, config.evaluation_words))
    np.save(path, np.unique(np.concatenate([np.zeros(0, np.uint64), *runs])))
    return EvaluationTexts(path, texts, short)


def shared_runs(words: np.ndarray, path: str, n: int) -> float:
    """The share of a document's runs of words that evaluation texts have as well.

    Args:
        words: hashes of the document's words, uint64 `[words]`.
        path: what `read_evaluation_texts` wrote.
        n: words of a run.
    """
    known, runs = _load(path, os.stat(path).st_mtime_ns), hash_grams(words, n)
    if not len(known) or not len(runs):
        return 0.0
    at = np.minimum(np.searchsorted(known, runs), len(known) - 1)
    return float(np.mean(known[at] == runs))


@functools.lru_cache(maxsize=1)
def _load(path: str, _written: int) -> np.ndarray:
    """The hashes, shared in memory by the workers of a machine."""
    return np.load(path, mmap_mode="r")
