"""Masked words: which positions, and what stands there instead, for many examples at once.

Follows `create_masked_lm_predictions` of google-research/bert: `max(1, round(length · share))`
positions of an example, at most `max_predictions_per_seq`, special tokens apart; of these 80 %
become [MASK], 10 % stay as they are and 10 % become a random word, never a special one. Words can
be masked whole (its `do_whole_word_mask`), and several in a row (Lan et al., 2020, "ALBERT").
"""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Masked:
    """Masked examples.

    Attributes:
        token_ids: `[examples, time]`, with the masked positions replaced.
        positions: int64 `[examples, max_predictions_per_seq]`, ascending, then 0.
        labels: int64 `[examples, max_predictions_per_seq]`, the ids that stood there, then 0.
        weights: float32 `[examples, max_predictions_per_seq]`, 1 for a masked position, else 0.
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
    max_predictions_per_seq: int,
    mask_id: int,
    words: np.ndarray,
    rng: np.random.Generator,
    begins: np.ndarray | None = None,
    max_ngram: int = 1,
) -> Masked:
    """Masks examples.

    Args:
        token_ids: `[examples, time]`.
        maskable: bool `[examples, time]`, real tokens that are not special.
        lengths: `[examples]`, tokens with the special ones, of which `share` are masked.
        words: ids that a random replacement is drawn from.
        rng: the only source of chance.
        begins: bool `[examples, time]`, where a word begins, to mask words whole: never more
            tokens than wanted, and fewer where no word is left that fits. None: tokens one by one.
        max_ngram: with `begins`, up to so many words in a row are masked together, n of them
            with a probability that goes by 1/n.
    """
    examples, time = token_ids.shape
    slots = min(max_predictions_per_seq, time)
    wanted = np.maximum(1, np.rint(lengths * share)).astype(np.int64)
    wanted = np.minimum(np.minimum(wanted, slots), maskable.sum(axis=1))
    if begins is None:
        positions = _tokens(maskable, wanted, slots, rng)
    else:
        positions = _whole_words(maskable, begins, wanted, slots, max_ngram, rng)

    taken = positions < time
    rows = np.arange(examples)[:, None]
    positions = np.where(taken, positions, 0)
    labels = np.where(taken, token_ids[rows, positions], 0)
    how = rng.random((examples, slots))
    drawn = words[rng.integers(len(words), size=(examples, slots))]
    replaced = np.where(how < 0.8, mask_id, np.where(how < 0.9, labels, drawn))
    masked = token_ids.copy()
    masked.ravel()[(rows * time + positions)[taken]] = replaced[taken]

    def padded(values: np.ndarray, dtype: type) -> np.ndarray:
        out: np.ndarray = np.zeros((examples, max_predictions_per_seq), dtype)
        out[:, :slots] = values
        return out

    return Masked(
        token_ids=masked,
        positions=padded(positions, np.int64),
        labels=padded(labels, np.int64),
        weights=padded(taken, np.float32),
    )


def _tokens(
    maskable: np.ndarray, wanted: np.ndarray, slots: int, rng: np.random.Generator
) -> np.ndarray:
    """Positions `[examples, slots]` of single tokens, ascending, then `time`."""
    examples, time = maskable.shape
    # The positions with the smallest of independent uniform keys are a uniform sample. A key ends
    # in its position: no two are the same, so a sort gives one result on whatever hardware.
    bits = (time - 1).bit_length()
    keys = rng.integers(2**64, size=(examples, time), dtype=np.uint64)
    keys = keys >> np.uint64(bits) << np.uint64(bits) | np.arange(time, dtype=np.uint64)
    keys[~maskable] = 2**64 - 1
    order = np.sort(keys, axis=1)[:, :slots] & np.uint64((1 << bits) - 1)
    return np.sort(
        np.where(np.arange(slots) < wanted[:, None], order.astype(np.int64), time), axis=1
    )


def _whole_words(
    maskable: np.ndarray,
    begins: np.ndarray,
    wanted: np.ndarray,
    slots: int,
    max_ngram: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Positions `[examples, slots]` of words in a row, ascending, then `time`.

    Words are tried in random order, as many in a row as was drawn, fewer if they would be too many
    tokens; what would still be, or holds a word that is masked already, is passed over.
    """
    examples, time = maskable.shape
    before = np.pad(maskable, ((0, 0), (1, 0)))[:, :-1]
    first = maskable & (begins | ~before)  # what a special token cuts off is a word of its own
    word = np.where(maskable, np.cumsum(first, axis=1) - 1, -1)
    count = first.sum(axis=1)
    most = int(count.max(initial=0)) + max_ngram  # so many words a row, some of them none
    flat = (np.arange(examples)[:, None] * most + word)[maskable]
    tokens = np.bincount(flat, minlength=examples * most).reshape(examples, most)
    ends = np.pad(np.cumsum(tokens, axis=1), ((0, 0), (1, 0)))  # in tokens, special ones apart

    # How many words, up to the longest, follow one another from a word on without a special token.
    alone = np.zeros((examples, most + 1), bool)
    alone[:, most] = True
    opens = first & ~before
    alone[np.nonzero(opens)[0], word[opens]] = True
    alone[np.arange(most + 1) >= count[:, None]] = True
    reach = np.ones((examples, most), np.int64)
    for n in range(1, max_ngram):
        unbroken = ~alone[:, n : most + 1][:, : most - n]
        reach[:, : most - n] += (reach[:, : most - n] == n) & unbroken

    rows = np.arange(examples)
    keys = np.where(np.arange(most) < count[:, None], rng.random((examples, most)), 2.0)
    order = np.argsort(keys, axis=1)
    sizes = np.arange(1, max_ngram + 1)
    chances = np.cumsum(1 / sizes) / np.sum(1 / sizes)
    drawn = 1 + np.searchsorted(chances, rng.random((examples, most)), side="right")
    masked = np.zeros((examples, most), bool)
    left = wanted.copy()
    for rank in range(int(count.max(initial=0))):
        if not left.any():
            break
        at = np.where(rank < count, order[:, rank], 0)  # a row may have no such word
        most_words = np.minimum(drawn[:, rank], reach[rows, at])
        spans = np.stack([ends[rows, at + size] - ends[rows, at] for size in sizes], axis=1)
        n = np.sum((sizes <= most_words[:, None]) & (spans <= left[:, None]), axis=1)
        n[rank >= count] = 0
        together = [(size <= n) & masked[rows, at + size - 1] for size in sizes]
        n[np.any(together, axis=0)] = 0
        for size in sizes:
            masked[rows[size <= n], at[size <= n] + size - 1] = True
        left -= np.where(n > 0, spans[rows, n - 1], 0)
    taken = maskable & masked[rows[:, None], word]
    return np.sort(np.where(taken, np.arange(time), time), axis=1)[:, :slots]
