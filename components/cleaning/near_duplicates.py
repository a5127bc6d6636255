"""Finds near duplicates by MinHash: documents that share most of their word 5-grams.

MinHash with banding (Broder, 1997; Leskovec et al., "Mining of Massive Datasets", section 3.4): two
texts of Jaccard similarity s have one of b bands of r values in common with probability
1 - (1 - sʳ)ᵇ, an S-curve that rises at the threshold. As in FineWeb (Penedo et al., 2024), texts
with a common band count as near duplicates, without a further comparison.
"""

import functools
import hashlib
from typing import Any, NamedTuple

import numpy as np

from components.cleaning.word_grams import hash_ngrams

SHINGLE_WORDS = 5
"""Words of a shingle, the n-gram by which texts are compared."""

_PERMUTATIONS = 128
_BATCH_SHINGLES = 4_096  # hashed under all permutations at once


class Banding(NamedTuple):
    """How a MinHash signature is divided: into `bands` bands of `rows` values."""

    bands: int
    rows: int


@functools.cache
def choose_banding(threshold: float) -> Banding:
    """The banding whose S-curve rises closest to a similarity: it rises at (1/b)^(1/r)."""
    bandings = (Banding(_PERMUTATIONS // rows, rows) for rows in range(1, _PERMUTATIONS + 1))
    return min(
        bandings, key=lambda banding: abs((1 / banding.bands) ** (1 / banding.rows) - threshold)
    )


def band_hashes(words: np.ndarray, threshold: float) -> list[bytes]:
    """Hashes of a text's bands, 16 bytes each; near duplicates have one in common.

    Args:
        words: hashes of the text's words, uint64 `[words]`.
        threshold: Jaccard similarity of two texts' shingles at which they have a band in common
            with a probability of about 2/3.

    Returns:
        One hash per band; empty for a text with fewer words than a shingle.
    """
    shingles = np.unique(hash_ngrams(words, SHINGLE_WORDS))
    if not len(shingles):
        return []
    signature = _empty_signature().copy()
    for begin in range(0, len(shingles), _BATCH_SHINGLES):
        signature.update_batch(shingles[begin : begin + _BATCH_SHINGLES])
    values = signature.hashvalues.astype("<u8")
    bands, rows = choose_banding(threshold)
    banded = values[: bands * rows].reshape(bands, rows)
    return [
        hashlib.sha256(bytes([number]) + band.tobytes()).digest()[:16]
        for number, band in enumerate(banded)
    ]


@functools.cache
def _empty_signature() -> Any:
    """The signature of an empty text; copies of it share its permutations."""
    from datasketch import MinHash

    return MinHash(_PERMUTATIONS, seed=1, scheme="affine64", hashfunc=int)
