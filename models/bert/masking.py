"""Masked-word prediction: which positions of an example are masked, and what replaces them.

Follows `create_masked_lm_predictions` of google-research/bert. An example of `length` tokens gets
`max(1, round(length · mask_prob))` masked positions, at most `max_predictions_per_seq`, and never
at special tokens. 80 % of them become [MASK], 10 % keep their token and 10 % become a random word
that is not special. Words can be masked whole (its `do_whole_word_mask`), and several words in a
row (Lan et al., 2020, "ALBERT").
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
        labels: int64 `[examples, max_predictions_per_seq]`, the original ids there, then 0.
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
    mask_prob: float,
    max_predictions_per_seq: int,
    mask_id: int,
    words: np.ndarray,
    rng: np.random.Generator,
    begins: np.ndarray | None = None,
    max_ngram: int = 1,
) -> Masked:
    """Masks many examples at once.

    Args:
        token_ids: `[examples, time]`.
        maskable: bool `[examples, time]`, real tokens that are not special.
        lengths: `[examples]`, tokens including special ones, of which `mask_prob` are masked.
        words: ids that a random replacement is drawn from.
        rng: the only source of randomness.
        begins: bool `[examples, time]`, tokens that begin a word, to mask words whole. The number
            of masked tokens is then never exceeded, and not reached where no remaining word fits.
            None masks single tokens.
        max_ngram: with `begins`, the largest number of words in a row that are masked together; n
            words are drawn with a probability proportional to 1/n.
    """
    examples, time = token_ids.shape
    slots = min(max_predictions_per_seq, time)
    quota = np.maximum(1, np.rint(lengths * mask_prob)).astype(np.int64)
    quota = np.minimum(np.minimum(quota, slots), maskable.sum(axis=1))
    if begins is None:
        positions = _tokens(maskable, quota, slots, rng)
    else:
        positions = _whole_words(maskable, begins, quota, slots, max_ngram, rng)

    taken = positions < time
    rows = np.arange(examples)[:, None]
    positions = np.where(taken, positions, 0)
    labels = np.where(taken, token_ids[rows, positions], 0)
    draw = rng.random((examples, slots))
    random_words = words[rng.integers(len(words), size=(examples, slots))]
    replaced = np.where(draw < 0.8, mask_id, np.where(draw < 0.9, labels, random_words))
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
    maskable: np.ndarray, quota: np.ndarray, slots: int, rng: np.random.Generator
) -> np.ndarray:
    """Positions `[examples, slots]` of single tokens, ascending, then `time`."""
    examples, time = maskable.shape
    # The positions with the smallest of independent uniform keys are a uniform sample. The low bits
    # of a key are its position, so no two keys are equal and a sort has one result on any hardware.
    bits = (time - 1).bit_length()
    keys = rng.integers(2**64, size=(examples, time), dtype=np.uint64)
    keys = keys >> np.uint64(bits) << np.uint64(bits) | np.arange(time, dtype=np.uint64)
    keys[~maskable] = 2**64 - 1
    order = np.sort(keys, axis=1)[:, :slots] & np.uint64((1 << bits) - 1)
    return np.sort(
        np.where(np.arange(slots) < quota[:, None], order.astype(np.int64), time), axis=1
    )


@dataclasses.dataclass(frozen=True)
class _Words:
    """The words of examples, one column per word.

    The number of columns is the largest number of words of an example, plus `max_ngram`.

    Attributes:
        word: int64 `[examples, time]`, the number of the word of a maskable token, else -1.
        count: int64 `[examples]`, words of each example.
        ends: int64 `[examples, columns + 1]`, maskable tokens before each word, and before the end.
        reach: int64 `[examples, columns]`, the length of the run of words that begins with this
            word, at most `max_ngram`. A special token ends a run.
    """

    word: np.ndarray
    count: np.ndarray
    ends: np.ndarray
    reach: np.ndarray


def _whole_words(
    maskable: np.ndarray,
    begins: np.ndarray,
    quota: np.ndarray,
    slots: int,
    max_ngram: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Positions `[examples, slots]` of whole words, ascending, then `time`.

    Words are tried in random order. From each word, n words in a row are taken, where n is random;
    fewer if n words would exceed the quota of tokens. A word is skipped if even that is too long,
    or if a word among them is masked already.
    """
    examples, time = maskable.shape
    words = _find_words(maskable, begins, max_ngram)
    columns = words.reach.shape[1]
    rows = np.arange(examples)
    keys = np.where(np.arange(columns) < words.count[:, None], rng.random((examples, columns)), 2.0)
    order = np.argsort(keys, axis=1)
    sizes = np.arange(1, max_ngram + 1)
    chances = np.cumsum(1 / sizes) / np.sum(1 / sizes)
    drawn = 1 + np.searchsorted(chances, rng.random((examples, columns)), side="right")
    masked = np.zeros((examples, columns), bool)
    left = quota.copy()
    for rank in range(int(words.count.max(initial=0))):
        if not left.any():
            break
        word = np.where(rank < words.count, order[:, rank], 0)  # an example may have fewer words
        most = np.minimum(drawn[:, rank], words.reach[rows, word])
        spans = np.stack(
            [words.ends[rows, word + size] - words.ends[rows, word] for size in sizes], axis=1
        )
        n = np.sum((sizes <= most[:, None]) & (spans <= left[:, None]), axis=1)
        n[rank >= words.count] = 0
        already_masked = [(size <= n) & masked[rows, word + size - 1] for size in sizes]
        n[np.any(already_masked, axis=0)] = 0
        for size in sizes:
            masked[rows[size <= n], word[size <= n] + size - 1] = True
        left -= np.where(n > 0, spans[rows, n - 1], 0)
    taken = maskable & masked[rows[:, None], words.word]
    return np.sort(np.where(taken, np.arange(time), time), axis=1)[:, :slots]


def _find_words(maskable: np.ndarray, begins: np.ndarray, max_ngram: int) -> _Words:
    examples = len(maskable)
    before = np.pad(maskable, ((0, 0), (1, 0)))[:, :-1]
    # A token after a special token begins a word, even if it continues the word before that token.
    first = maskable & (begins | ~before)
    word = np.where(maskable, np.cumsum(first, axis=1) - 1, -1)
    count = first.sum(axis=1)
    columns = int(count.max(initial=0)) + max_ngram
    flat = (np.arange(examples)[:, None] * columns + word)[maskable]
    tokens = np.bincount(flat, minlength=examples * columns).reshape(examples, columns)
    ends = np.pad(np.cumsum(tokens, axis=1), ((0, 0), (1, 0)))

    # Words that no other word precedes directly, and columns without a word.
    unconnected = np.zeros((examples, columns + 1), bool)
    unconnected[:, columns] = True
    after_special = first & ~before
    unconnected[np.nonzero(after_special)[0], word[after_special]] = True
    unconnected[np.arange(columns + 1) >= count[:, None]] = True
    reach = np.ones((examples, columns), np.int64)
    for n in range(1, max_ngram):
        connected = ~unconnected[:, n : columns + 1][:, : columns - n]
        reach[:, : columns - n] += (reach[:, : columns - n] == n) & connected
    return _Words(word, count, ends, reach)
