"""Compares the speed and the ids of tokenizers on the same batches of paragraphs."""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from benchmarks.cores import print_processor
from benchmarks.corpus import paragraph_batches
from models.tokenizers.tokenizer import WordSplitter

BATCH = 1_000

Batch = Sequence[str]


def start(options: argparse.Namespace) -> tuple[list[list[str]], float]:
    """Binds the process to one core; returns the batches and their size in megabytes."""
    print_processor()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    return paragraph_batches(options, BATCH)


def count_words(splitter: WordSplitter, batches: Sequence[Batch]) -> Counter[str]:
    """Counts words, from which a vocabulary can be learned."""
    counts: Counter[str] = Counter()
    for batch in batches:
        words, numbers = splitter.count(tf.constant(batch))
        for word, number in zip(words.numpy(), numbers.numpy(), strict=True):
            counts[word.decode()] += int(number)
    return counts


def race(
    candidates: Mapping[str, Callable[[Batch], Any]],
    batches: Sequence[Batch],
    size: float,
    repeats: int,
) -> dict[str, float]:
    """Prints and returns megabytes per second of each candidate; the fastest repeat counts."""
    speeds = {}
    for name, tokenize in candidates.items():
        tokenize(batches[0])
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            for batch in batches:
                tokenize(batch)
            seconds.append(time.perf_counter() - start)
        speeds[name] = size / min(seconds)
        print(f"{name:26s} {speeds[name]:7.2f} MB/s")
    return speeds


def print_equal(
    ours: Callable[[Batch], Sequence[Sequence[int]]],
    theirs: Callable[[Batch], Sequence[Sequence[int]]],
    batches: Sequence[Batch],
    name: str,
) -> None:
    """Prints the number of paragraphs with the same ids in both."""
    equal = sum(
        row == peer_row
        for batch in batches
        for row, peer_row in zip(ours(batch), theirs(batch), strict=True)
    )
    print(f"same ids as {name} in {equal:,} of {sum(map(len, batches)):,} paragraphs")
