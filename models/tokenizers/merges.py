"""Byte-pair merges learned from word counts (Sennrich et al., 2016), the same in every process."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tokenizers

_MOST_OCCURRENCES = 4_000_000
"""The library learns from running text: of more words than this, as many are sampled."""


def learn_merges(
    words: Mapping[str, int], alphabet: Sequence[str], room: int
) -> tuple[list[str], list[tuple[str, str]]]:
    """Merges neighbours, the most frequent pair first, until none occurs twice or the room is full.

    Of equally frequent pairs the one that comes first by the places of its parts.

    Args:
        words: occurrences; the same words in another order may be sampled otherwise. No word is
            empty or holds white space.
        alphabet: distinct characters by code point, all of those in `words`.
        room: entries to learn at most, the alphabet included.

    Returns:
        The entries made, best first, without the alphabet; and the pairs that make them.
    """
    if not words:
        return [], []
    total = np.cumsum(np.fromiter(words.values(), np.float64, len(words)))
    # A systematic sample: what is drawn of any group of words is in proportion, rare ones included.
    drawn = np.floor(total * min(1.0, _MOST_OCCURRENCES / total[-1]) + 1e-6)
    repeats = np.diff(drawn, prepend=0.0).astype(int).tolist()

    def lines() -> Iterator[str]:
        for word, repeat in zip(words, repeats, strict=True):
            yield " ".join([word] * repeat)

    model = tokenizers.Tokenizer(tokenizers.models.BPE())
    model.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=room, min_frequency=2, initial_alphabet=list(alphabet), show_progress=False
    )
    model.train_from_iterator(lines(), trainer)
    learned = model.get_vocab()
    entries = sorted((entry for entry in learned if len(entry) > 1), key=learned.__getitem__)
    return entries, [(a, b) for a, b in json.loads(model.to_str())["model"]["merges"]]
