"""Masked words: which positions, and what stands there instead, for many examples at once.

Follows `create_masked_lm_predictions` of google-research/bert: `max(1, round(length · share))`
positions of an example, at most `max_predictions`, special tokens apart; of these 80 % become
[MASK], 10 % stay as they are and 10 % become a random word, never a special one.
"""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Masked:
    """Masked examples.

    Attributes:
        token_ids: `[examples, time]`, with the masked positions replaced.
        positions: int64 `[examples, max_predictions]`, ascending, then 0.
        labels: int64 `[examples, max_predictions]`, the ids that stood there, then 0.
        weights: float32 `[examples, max_predictions]`, 1 for a masked position, else 0.
    """

    token_ids: np.ndarray
    positions: np.ndarray
    labels: np.ndarray
    weights: np.ndarray


def mask_words(
    token_ids: np.ndarray,
    maskable: np.ndarray,
    lengths: np.ndarray,
    *,
    share: float,
    max_predictions: int,
    mask_id: int,
    words: np.ndarray,
    rng: np.random.Generator,
) -> Masked:
    """Masks examples.

    Args:
        token_ids: `[examples, time]`.
        maskable: bool `[examples, time]`, real tokens that are not special.
        lengths: `[examples]`, tokens with the special ones, of which `share` are masked.
        words: ids that a random replacement is drawn from.
        rng: the only source of chance.
    """
    examples, time = token_ids.shape
    slots = min(max_predictions, time)
    wanted = np.maximum(1, np.rint(lengths * share)).astype(np.int64)
    wanted = np.minimum(np.minimum(wanted, slots), maskable.sum(axis=1))

    # The positions with the smallest of independent uniform keys are a uniform sample. Keys have
    # 53 bits: ties, which a sort may break by its hardware, do not happen.
    keys = np.where(maskable, rng.random((examples, time)), 2.0)
    order = np.argpartition(keys, slots - 1, axis=1)[:, :slots]
    by_key = np.argsort(np.take_along_axis(keys, order, axis=1), axis=1)
    order = np.take_along_axis(order, by_key, axis=1)
    taken = np.arange(slots) < wanted[:, None]
    positions = np.sort(np.where(taken, order, time), axis=1)

    rows = np.arange(examples)[:, None]
    positions = np.where(taken, positions, 0)
    labels = np.where(taken, token_ids[rows, positions], 0)
    how = rng.random((examples, slots))
    drawn = words[rng.integers(len(words), size=(examples, slots))]
    replaced = np.where(how < 0.8, mask_id, np.where(how < 0.9, labels, drawn))
    masked = token_ids.copy()
    row, slot = np.nonzero(taken)
    masked[row, positions[row, slot]] = replaced[row, slot]

    def padded(values: np.ndarray, dtype: type) -> np.ndarray:
        out: np.ndarray = np.zeros((examples, max_predictions), dtype)
        out[:, :slots] = values
        return out

    return Masked(
        token_ids=masked,
        positions=padded(positions, np.int64),
        labels=padded(labels, np.int64),
        weights=padded(taken, np.float32),
    )
