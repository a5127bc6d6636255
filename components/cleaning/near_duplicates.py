"""Near duplicates: documents that share most of their runs of five words.

MinHash with banding (Broder, 1997; Leskovec et al., "Mining of Massive Datasets", section 3.4): two
texts of similarity s meet in one of b bands of r values with probability 1 - (1 - sʳ)ᵇ, an S that
rises at the threshold. As in FineWeb (Penedo et al., 2024) a common band is all that is asked for.
"""

import functools
import hashlib
from typing import Any, NamedTuple

import numpy as np

from components.cleaning.word_grams import hash_grams

SHINGLE = 5
"""Words of a run that texts are compared by."""

_PERMUTATIONS = 128
_AT_ONCE = 4_096  # shingles, whose hashes under all permutations are held at once


class Banding(NamedTuple):
    """How a sketch is cut: `bands` of `rows` values."""

    bands: int
    rows: int


@functools.cache
def banding(threshold: float) -> Banding:
    """The banding whose S rises nearest to a similarity between 0 and 1: there, (1/b)^(1/r)."""
    cuts = (Banding(_PERMUTATIONS // rows, rows) for rows in range(1, _PERMUTATIONS + 1))
    return min(cuts, key=lambda cut: abs((1 / cut.bands) ** (1 / cut.rows) - threshold))


def bands_of(words: np.ndarray, threshold: float) -> list[bytes]:
    """What a text shares with its near duplicates: 16 bytes for each band.

    Args:
        words: hashes of its words, uint64 `[words]`.
        threshold: share of common shingles, of all that either has, at which two texts have a band
            in common in about two cases of three.

    Returns:
        No band for a text with fewer words than a shingle.
    """
    shingles = np.unique(hash_grams(words, SHINGLE))
    if not len(shingles):
        return []
    sketch = _empty().copy()
    for begin in range(0, len(shingles), _AT_ONCE):
        sketch.update_batch(shingles[begin : begin + _AT_ONCE])
    values = sketch.hashvalues.astype("<u8")
    bands, rows = banding(threshold)
    cut = values[: bands * rows].reshape(bands, rows)
    return [hashlib.sha256(bytes([n]) + row.tobytes()).digest()[:16] for n, row in enumerate(cut)]


@functools.cache
def _empty() -> Any:
    """The sketch of no text, whose permutations all others share."""
    from datasketch import MinHash

    return MinHash(_PERMUTATIONS, seed=1, scheme="affine64", hashfunc=int)
