"""Units of held-out text for the bootstrap: examples of two units share no document.

A BERT example takes its second segment from another document, and a GPT window holds the end of
one document and the beginning of the next. Held-out examples are therefore made from blocks of
documents, each block as if it were all the text there is. An example's block is in its feature
`unit`.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from models.objective import Feature

UNIT = "unit"
UNIT_FEATURE = Feature((1,), "string", "block of documents, and part of the block's examples")
MIN_UNITS = 5
"""With fewer units there is no interval. The extremes of four equal units miss the true value in
one case of 16 on either side, so no resampling of them can promise 2.5 %."""
PARTS = 16
"""Parts of a block; its examples are assigned to them in turn. If a text has fewer than `MIN_UNITS`
blocks, the parts are resampled instead of the blocks."""
MAX_BLOCKS = 1_024
"""Number of different block numbers; a hash assigns them, so blocks of a long text share them."""
_MIN_WINDOWS = 16  # per block, in a long text: at most 3 % of its windows are then padding
_BLOCKS_PER_GROUP = 64  # in a shorter text


def blocks(tokens: Sequence[int], window: int) -> list[range]:
    """Cuts a group of documents into blocks of consecutive documents.

    A block holds at least two documents with text, so that each document has a partner, and at
    least as many tokens as `_MIN_WINDOWS` examples, or as a 64th of the group if that is less. The
    documents that remain at the end are added to the last block.

    Args:
        tokens: number of tokens of each document of the group.
        window: tokens of an example.

    Returns:
        The indices of each block's documents; no block if there is no document.
    """
    min_tokens = min(_MIN_WINDOWS * window, sum(tokens) // _BLOCKS_PER_GROUP)
    ranges: list[range] = []
    first = with_text = total = 0
    for index, count in enumerate(tokens):
        with_text += count > 0
        total += count
        if with_text >= 2 and total >= min_tokens:
            ranges.append(range(first, index + 1))
            first, with_text, total = index + 1, 0, 0
    if first < len(tokens):
        first = ranges.pop().start if ranges else 0
        ranges.append(range(first, len(tokens)))
    return ranges


def unit_names(group: int, block: int, first: int, count: int) -> np.ndarray:
    """The feature `unit` of some of a block's examples, an object array of bytes `[count, 1]`.

    Args:
        group: number of the group of documents.
        block: number of the block in the group.
        first: number of the block's examples before these.
        count: number of these examples.
    """
    parts = (first + np.arange(count)) % PARTS
    return np.array([[b"%05d-%05d-%02d" % (group, block, part)] for part in parts], object).reshape(
        count, 1
    )


def unit_number(name: bytes) -> int:
    """A number for a unit, below `MAX_BLOCKS * PARTS`: its block's number · `PARTS` + its part."""
    block, _, part = name.rpartition(b"-")
    return zlib.crc32(block) % MAX_BLOCKS * PARTS + int(part)


def sums_to_resample(sums: Mapping[int, np.ndarray]) -> tuple[np.ndarray, bool]:
    """Sums by block, or by part of a block if there are fewer than `MIN_UNITS` blocks.

    Args:
        sums: by `unit_number`, all of the same shape.

    Returns:
        The sums, `[units, ...]`, by ascending number, and whether the units are blocks.
    """
    by_block: dict[int, np.ndarray] = {}
    for number in sorted(sums):
        block = number // PARTS
        by_block[block] = by_block[block] + sums[number] if block in by_block else sums[number]
    if len(by_block) >= MIN_UNITS:
        return np.stack([by_block[block] for block in sorted(by_block)]), True
    return np.stack([sums[number] for number in sorted(sums)]), False
