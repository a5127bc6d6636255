"""Tests of when a run counts as diverged, and what the error says."""

import math
import pathlib
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from models.errors import TrainingDiverged
from models.training.checkpoints import HostNumber
from models.training.divergence import DivergenceDetector


def check(detector: DivergenceDetector, step: int, loss: float) -> None:
    """Checks a step whose batch has the step's number as its only label."""
    labels = tf.constant([[[0.0]], [[float(step)]]])
    detector.check(step, {"loss": loss, "gradient_norm": 0.5}, {"label": labels}, index=1)


def diverges_at(
    detector: DivergenceDetector, loss: Callable[[int], float], first_step: int = 1
) -> int:
    """The step at which a run of 100 steps diverges; 101 if it does not."""
    for step in range(first_step, 101):
        try:
            check(detector, step, loss(step))
        except TrainingDiverged as error:
            return int((error.where or "").removeprefix("training step "))
    return 101


def test_a_mean_of_ten_losses_far_above_the_first_loss_stops_the_run(
    tmp_path: pathlib.Path,
) -> None:
    # Losses 2, 3, 4, …: the mean of the ten steps up to n is n - 3.5 = 2 + 10 at n = 15.5.
    assert diverges_at(DivergenceDetector(tmp_path, 10.0), lambda step: step + 1.0) == 16
    with np.load(tmp_path / "diverged-at-step-16.npz") as saved:
        assert saved["label"].tolist() == [[16.0]]
    assert diverges_at(DivergenceDetector(tmp_path, 0.0), lambda step: step + 1.0) == 101


def test_the_error_has_the_losses_and_one_high_loss_is_allowed(tmp_path: pathlib.Path) -> None:
    detector = DivergenceDetector(tmp_path, 10.0)
    for step, loss in enumerate([2.0, 100.0, *[2.0] * 8], 1):  # mean 11.8
        check(detector, step, loss)
    with pytest.raises(TrainingDiverged) as caught:
        check(detector, 11, 100.0)
    assert caught.value.what == (
        "the loss rises: its mean over the last 10 steps is 21.60, the first loss was 2.00; the "
        f"batch is in {tmp_path / 'diverged-at-step-11.npz'}"
    )


def test_a_resumed_run_compares_with_the_first_loss_of_the_whole_run(
    tmp_path: pathlib.Path,
) -> None:
    first_loss = HostNumber(2.0, np.float64)
    detector = DivergenceDetector(tmp_path, 60.0, first_loss)
    # n - 3.5 > 62 at n = 66; compared with the loss of step 51 the run would not diverge.
    assert diverges_at(detector, lambda step: step + 1.0, first_step=51) == 66
    assert float(first_loss) == 2.0


def test_the_first_loss_is_kept_for_the_checkpoint(tmp_path: pathlib.Path) -> None:
    first_loss = HostNumber(math.nan, np.float64)
    detector = DivergenceDetector(tmp_path, 0.0, first_loss)
    check(detector, 1, 3.0)
    check(detector, 2, 1.0)
    assert float(first_loss) == 3.0


def test_a_gradient_that_is_not_finite_stops_the_run(tmp_path: pathlib.Path) -> None:
    metrics = {"loss": 1.0, "gradient_norm": math.inf}
    with pytest.raises(TrainingDiverged, match=r"the loss is 1\.0, the gradient norm inf"):
        DivergenceDetector(tmp_path).check(1, metrics, {"label": tf.zeros([1, 1])}, index=0)
