"""The words for splits."""

from __future__ import annotations

from components.layout import SPLITS, splits_in_words


def test_splits_in_words() -> None:
    counts = dict(zip(SPLITS, (1_200, 30, 0), strict=True))
    assert splits_in_words(counts) == "1,200 to train on, 30 to test on"
    assert splits_in_words(counts | {"eval": 40}).endswith(", 40 for looks during training")
