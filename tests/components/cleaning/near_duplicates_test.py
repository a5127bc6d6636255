"""Sketches: what texts that are alike have in common, and how often others do."""

import numpy as np
import pytest

from components.cleaning.near_duplicates import SHINGLE, banding, bands_of


def test_what_is_near_does_not_change_unseen() -> None:
    # Another release of the library, or another cut, would drop other documents.
    words = np.arange(100, dtype=np.uint64)
    assert bands_of(words, 0.75)[0].hex() == "2ae40d80565575ffb66c1d197cae6bb8"
    assert len(bands_of(words, 0.75)) == 14


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [(0.75, (14, 9)), (0.5, (25, 5)), (0.9, (7, 18)), (0.01, (128, 1)), (0.999, (1, 65))],
)
def test_bands_rise_at_the_threshold(threshold: float, expected: tuple[int, int]) -> None:
    assert banding(threshold) == expected


def test_equal_texts_share_all_bands_and_others_none() -> None:
    words = np.arange(1_000, dtype=np.uint64)
    bands = bands_of(words, 0.75)
    assert len(bands) == len(set(bands)) == banding(0.75).bands
    assert {len(band) for band in bands} == {16}
    assert bands_of(words, 0.75) == bands
    assert not set(bands) & set(bands_of(words + np.uint64(1_000), 0.75))


def test_a_text_shorter_than_a_run_has_none() -> None:
    assert bands_of(np.arange(SHINGLE - 1, dtype=np.uint64), 0.75) == []
    assert len(bands_of(np.arange(SHINGLE, dtype=np.uint64), 0.75)) == banding(0.75).bands


@pytest.mark.parametrize(("similarity", "threshold"), [(0.95, 0.75), (0.75, 0.75), (0.4, 0.75)])
def test_texts_meet_as_often_as_the_theory_says(similarity: float, threshold: float) -> None:
    # Two texts of n + k runs each that share n have the Jaccard similarity n / (n + 2k).
    trials, total = 200, 200
    bands, rows = banding(threshold)
    expected = 1 - (1 - similarity**rows) ** bands
    own = round(total * (1 - similarity) / (1 + similarity))
    met = 0
    for trial in range(trials):
        rng = np.random.default_rng(trial)
        first = rng.integers(2**62, size=total + SHINGLE - 1, dtype=np.uint64)
        second = first.copy()
        second[: own or 1] = rng.integers(2**62, size=own or 1, dtype=np.uint64)
        shared = total - (own or 1)
        assert abs(shared / (2 * total - shared) - similarity) < 0.02
        met += bool(set(bands_of(first, threshold)) & set(bands_of(second, threshold)))
    assert abs(met / trials - expected) < 5 * np.sqrt(expected * (1 - expected) / trials) + 0.02


def test_a_sketch_made_in_parts_is_the_whole_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    words = np.arange(10_000, dtype=np.uint64)
    bands = bands_of(words, 0.75)
    monkeypatch.setattr("components.cleaning.near_duplicates._AT_ONCE", 100_000)
    assert bands_of(words, 0.75) == bands
