"""Tests of MinHash: how often similar and different texts have a band in common."""

import numpy as np
import pytest

from components.cleaning.near_duplicates import SHINGLE_WORDS, band_hashes, choose_banding


def test_band_hashes_do_not_change_unnoticed() -> None:
    # A literal: if a release of the library changed it, other documents would be dropped.
    words = np.arange(100, dtype=np.uint64)
    assert band_hashes(words, 0.75)[0].hex() == "2ae40d80565575ffb66c1d197cae6bb8"
    assert len(band_hashes(words, 0.75)) == 14


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [(0.75, (14, 9)), (0.5, (25, 5)), (0.9, (7, 18)), (0.01, (128, 1)), (0.999, (1, 65))],
)
def test_the_s_curve_rises_at_the_threshold(threshold: float, expected: tuple[int, int]) -> None:
    assert choose_banding(threshold) == expected


def test_equal_texts_share_all_bands_and_others_none() -> None:
    words = np.arange(1_000, dtype=np.uint64)
    bands = band_hashes(words, 0.75)
    assert len(bands) == len(set(bands)) == choose_banding(0.75).bands
    assert {len(band) for band in bands} == {16}
    assert band_hashes(words, 0.75) == bands
    assert not set(bands) & set(band_hashes(words + np.uint64(1_000), 0.75))


def test_a_text_shorter_than_a_shingle_has_no_bands() -> None:
    assert band_hashes(np.arange(SHINGLE_WORDS - 1, dtype=np.uint64), 0.75) == []
    assert (
        len(band_hashes(np.arange(SHINGLE_WORDS, dtype=np.uint64), 0.75))
        == choose_banding(0.75).bands
    )


@pytest.mark.parametrize(("similarity", "threshold"), [(0.95, 0.75), (0.75, 0.75), (0.4, 0.75)])
def test_texts_share_a_band_as_often_as_predicted(similarity: float, threshold: float) -> None:
    # Two texts of n + k shingles each that share n have the Jaccard similarity n / (n + 2k).
    trials, total = 200, 200
    bands, rows = choose_banding(threshold)
    expected = 1 - (1 - similarity**rows) ** bands
    changed = round(total * (1 - similarity) / (1 + similarity))
    matches = 0
    for trial in range(trials):
        rng = np.random.default_rng(trial)
        first = rng.integers(2**62, size=total + SHINGLE_WORDS - 1, dtype=np.uint64)
        second = first.copy()
        second[: changed or 1] = rng.integers(2**62, size=changed or 1, dtype=np.uint64)
        shared = total - (changed or 1)
        assert abs(shared / (2 * total - shared) - similarity) < 0.02
        matches += bool(set(band_hashes(first, threshold)) & set(band_hashes(second, threshold)))
    assert abs(matches / trials - expected) < 5 * np.sqrt(expected * (1 - expected) / trials) + 0.02


def test_a_signature_computed_in_batches_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    words = np.arange(10_000, dtype=np.uint64)
    bands = band_hashes(words, 0.75)
    monkeypatch.setattr("components.cleaning.near_duplicates._BATCH_SHINGLES", 100_000)
    assert band_hashes(words, 0.75) == bands
