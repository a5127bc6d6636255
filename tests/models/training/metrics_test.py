"""Tests of the metrics of a run: what is logged, and when the outputs of steps are checked."""

import json
import logging
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from models.errors import TrainingDiverged
from models.training import progress
from models.training.metrics import TrainingMetrics
from models.training.throughput import StepCost


def batches(*labels: float) -> dict[str, tf.Tensor]:
    """Features of one step per label."""
    return {
        "label": tf.constant([[[label], [2.0]] for label in labels]),
        "padding_mask": tf.constant([[[1, 0], [1, 1]]] * len(labels)),
    }


def outputs(*losses: float, norm: float = 0.5) -> dict[str, tf.Tensor]:
    """Outputs of one step per loss."""
    same = {
        "learning_rate": 0.1, "gradient_norm": norm, "tokens": 3, "positions": 4,
        "termination_requests": 0,
    }  # fmt: skip
    return {name: tf.constant(losses) for name in ("loss", "squares")} | {
        name: tf.constant([value] * len(losses)) for name, value in same.items()
    }


def test_a_record_is_a_line_with_the_metrics_of_the_last_step(tmp_path: pathlib.Path) -> None:
    metrics = TrainingMetrics(tmp_path, 0, 4)
    for step in (1, 2, 3, 4):
        metrics.add(step - 1, batches(1.0), outputs(1.0 / step))
        if step % 2 == 0:
            metrics.write(step)
    lines = (tmp_path / "training.jsonl").read_text(encoding="utf-8").splitlines()
    second, fourth = map(json.loads, lines)
    assert (second["step"], second["loss"]) == (2, 0.5)
    assert (fourth["step"], fourth["loss"], fourth["squares"]) == (4, 0.25, 0.25)
    assert fourth["tokens_per_second"] > 0
    assert second["padding_share"] == fourth["padding_share"] == 0.25
    result = metrics.result()
    assert result.losses == {"loss": 0.25, "squares": 0.25, "gradient_norm": 0.5}
    assert list(tmp_path.glob("events.*"))


def test_matmul_utilization_is_the_models_operations_over_those_of_a_matrix_product(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    cost = StepCost(lambda length: 100.0 * length, matmul_rate=4_000.0)
    metrics = TrainingMetrics(tmp_path, 0, 9, cost)
    metrics.add(0, batches(1.0), outputs(1.0))  # compiles, and does not count
    now[0] = 0.5
    metrics.add(1, batches(1.0, 2.0, 3.0, 4.0), outputs(1.0, 1.0, 1.0, 1.0))
    metrics.write(5)
    (line,) = (tmp_path / "training.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["matmul_utilization"] == pytest.approx(4 * 100 * 2 / 0.5 / 4_000)


def test_a_held_out_loss_is_in_one_record(tmp_path: pathlib.Path) -> None:
    metrics = TrainingMetrics(tmp_path, 0, 9)
    metrics.add(0, batches(1.0), outputs(1.0))
    metrics.add_evaluation(2.5)
    metrics.write(1)
    metrics.add(1, batches(1.0), outputs(1.0))
    metrics.write(2)
    lines = (tmp_path / "training.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line).get("held_out_loss") for line in lines] == [2.5, None]


@pytest.mark.parametrize("bad", [(float("nan"), 0.5), (1.0, float("inf"))])
def test_the_first_step_that_diverged_is_found_and_its_batch_is_kept(
    tmp_path: pathlib.Path, bad: tuple[float, float]
) -> None:
    metrics = TrainingMetrics(tmp_path, 0, 100)
    done: list[int] = []

    def train() -> None:
        for step in range(1, 100):
            done.append(step)
            metrics.add(
                step - 1,
                batches(float(step)),
                outputs(bad[0], norm=bad[1]) if step >= 13 else outputs(1.0),
            )

    with pytest.raises(TrainingDiverged) as caught:
        train()
    assert done[-1] < 13 + 10
    assert caught.value.where == "training step 13"
    path = tmp_path / "diverged-at-step-13.npz"
    assert str(path) in caught.value.what
    assert "learning_rate" in (caught.value.remedy or "")
    with np.load(path) as saved:
        assert saved["label"].tolist() == [[13.0], [2.0]]
        assert saved["padding_mask"].tolist() == [[1, 0], [1, 1]]


def test_the_first_diverged_step_of_an_execution_is_found(tmp_path: pathlib.Path) -> None:
    metrics = TrainingMetrics(tmp_path, 0, 100)
    metrics.add(0, batches(1.0, 2.0, 3.0, 4.0), outputs(1.0, 1.0, 1.0, 1.0))
    metrics.add(4, batches(5.0, 6.0, 7.0, 8.0), outputs(1.0, float("nan"), float("nan"), 1.0))
    with pytest.raises(TrainingDiverged) as caught:
        metrics.check()
    assert caught.value.where == "training step 6"
    with np.load(tmp_path / "diverged-at-step-6.npz") as saved:
        assert saved["label"].tolist() == [[6.0], [2.0]]


def test_check_fetches_pending_steps(tmp_path: pathlib.Path) -> None:
    metrics = TrainingMetrics(tmp_path, 0, 100)
    metrics.add(0, batches(1.0), outputs(1.0))
    metrics.add(1, batches(2.0), outputs(float("nan")))
    with pytest.raises(TrainingDiverged, match="the loss is nan"):
        metrics.check()


def test_the_progress_line_has_step_losses_speed_and_time_left(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_INTERVAL_SECONDS", 1e9)  # or a slow machine logs more lines
    metrics = TrainingMetrics(tmp_path, 0, 7)
    with caplog.at_level(logging.INFO, logger="polyseme.training"):
        for step in range(1, 8):
            metrics.add(step - 1, batches(1.0), outputs(0.125))
        metrics.close(7)
    (line,) = caplog.messages
    assert line.startswith("step 7/7  loss 0.125  squares 0.125  ")
    assert line.endswith(" 0s left")
    assert " tokens/s " in line
