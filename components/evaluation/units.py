"""The units of the evaluation text that are resampled: examples of two units share no document.

A BERT example takes its second segment from another document, and a window of GPT holds the end of
one and the beginning of the next. Examples of the held-out documents are therefore made of blocks
of documents, each as if it were all there is. What an example's block is, its feature `unit` says.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from models.objective import Feature

UNIT = "unit"
UNIT_FEATURE = Feature((1,), "string", "block of documents, and a part of its examples")
LEAST_UNITS = 5
"""With fewer units there is no interval. The extremes of four equal units lie beyond the truth in
one case of 16 on either side, so that no resampling of them can promise 2.5 %."""
PARTS = 16
"""Parts that a block's examples are dealt to in turn, for texts of fewer than `LEAST_UNITS` blocks:
then these are resampled."""
UNITS_AT_MOST = 1_024
"""Blocks that are told apart; more of them share a number by a hash."""
_WINDOWS = 16  # of a block where there is text enough: then padding is 3 % of its windows at most
_BLOCKS = 64  # that a group is cut into where there is less text


def blocks(tokens: Sequence[int], window: int) -> list[range]:
    """Which documents of a group go together, each a run of them as they are given.

    A block holds two documents with text at least, so that each has another one, and as many tokens
    as `_WINDOWS` examples, or as a 64th of the group if that is less. What is left over at the end
    goes into the last block.

    Args:
        tokens: of each document of a group.
        window: tokens of an example.

    Returns:
        Places of each block's documents; none if there is no document.
    """
    least = min(_WINDOWS * window, sum(tokens) // _BLOCKS)
    found: list[range] = []
    begin = told = held = 0
    for place, count in enumerate(tokens):
        told += count > 0
        held += count
        if told >= 2 and held >= least:
            found.append(range(begin, place + 1))
            begin, told, held = place + 1, 0, 0
    if begin < len(tokens):
        first = found.pop().start if found else 0
        found.append(range(first, len(tokens)))
    return found


def unit_names(group: int, block: int, first: int, count: int) -> np.ndarray:
    """The column `unit` of a block's examples, object of bytes `[count, 1]`.

    Args:
        group: number of the group of documents.
        block: number of the block in it.
        first: how many examples of the block came before.
        count: how many there are.
    """
    parts = (first + np.arange(count)) % PARTS
    return np.array([[b"%05d-%05d-%02d" % (group, block, part)] for part in parts], object).reshape(
        count, 1
    )


def unit_number(name: bytes) -> int:
    """A number below `UNITS_AT_MOST * PARTS`: that of a block, times `PARTS`, and the part."""
    block, _, part = name.rpartition(b"-")
    return zlib.crc32(block) % UNITS_AT_MOST * PARTS + int(part)


def of_documents(sums: Mapping[int, np.ndarray]) -> tuple[np.ndarray, bool]:
    """Sums by block, or by part of a block where there are too few blocks to resample.

    Args:
        sums: by `unit_number`, each of the same shape.

    Returns:
        `[units, …]`, in the order of their numbers, and whether they are blocks.
    """
    by_block: dict[int, np.ndarray] = {}
    for number in sorted(sums):
        block = number // PARTS
        by_block[block] = by_block[block] + sums[number] if block in by_block else sums[number]
    if len(by_block) >= LEAST_UNITS:
        return np.stack([by_block[block] for block in sorted(by_block)]), True
    return np.stack([sums[number] for number in sorted(sums)]), False
