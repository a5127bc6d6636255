"""Tests that a learning rate a thousand times too high stops a run soon, with an explanation."""

import pathlib
from typing import Any

import numpy as np
import pytest

from models.errors import TrainingDiverged
from models.registry import FAMILIES
from tests.testdata.training_program import losses, run, write_examples

RATES: dict[str, dict[str, Any]] = {
    "bert": {"learning_rate": 1e-3},
    "gpt": {"learning_rate": 1e-3},
    "elmo": {"kind": "adagrad", "learning_rate": 0.2, "clip_norm": 0.5},
}


@pytest.mark.e2e
@pytest.mark.one_stack
@pytest.mark.parametrize("family", FAMILIES)
def test_a_run_with_a_thousand_times_the_learning_rate_stops_within_ten_steps_of_its_rise(
    family: str, tmp_path: pathlib.Path
) -> None:
    write_examples(family, tmp_path, streams=8)
    rates = RATES[family] | {"warmup_steps": 2}
    training = {"batch_size": 8, "jit_compile": False, "log_steps": 1, "steps": 40}
    run(family, tmp_path, training | {"optimizer": rates})
    right = losses(tmp_path)
    assert len(right) == 40
    assert max(right) < right[0] + 1.0

    high = tmp_path / "high"
    high.mkdir()
    (high / "examples").symlink_to(tmp_path / "examples")
    rates["learning_rate"] *= 1_000
    with pytest.raises(TrainingDiverged, match="the loss rises: ") as caught:
        run(family, high, training | {"optimizer": rates})
    assert "learning_rate" in (caught.value.remedy or "")
    stopped = int((caught.value.where or "").removeprefix("training step "))
    first_risen = next(i for i, loss in enumerate(losses(high), 1) if loss > right[0] + 10.0)
    assert first_risen <= stopped < first_risen + 10
    with np.load(high / "run" / "logs" / f"diverged-at-step-{stopped}.npz") as batch:
        assert len(batch["padding_mask"]) == 8
