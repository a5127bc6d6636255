"""A learning rate that is a thousand times too high ends a run at once, and says why."""

import pathlib
import re
from typing import Any

import numpy as np
import pytest

from models.registry import FAMILIES
from tests.testdata.training_program import finish, losses, start, write_examples

RATES: dict[str, dict[str, Any]] = {
    "bert": {"learning_rate": 1e-3},
    "gpt": {"learning_rate": 1e-3},
    "elmo": {"kind": "adagrad", "learning_rate": 0.2, "clip_norm": 0.5},
}


@pytest.mark.e2e
@pytest.mark.parametrize("family", FAMILIES)
def test_a_thousand_times_the_learning_rate_stops_within_ten_steps_of_the_rise(
    family: str, tmp_path: pathlib.Path
) -> None:
    write_examples(family, tmp_path, streams=8)
    rates = RATES[family] | {"warmup_steps": 2}
    training = {"batch_size": 8, "jit_compile": False, "log_steps": 1, "steps": 40}
    finish(start(family, tmp_path, training | {"optimizer": rates}))
    right = losses(tmp_path)
    assert len(right) == 40
    assert max(right) < right[0] + 1.0

    high = tmp_path / "high"
    high.mkdir()
    (high / "examples").symlink_to(tmp_path / "examples")
    rates["learning_rate"] *= 1_000
    told = finish(start(family, high, training | {"optimizer": rates}), code=1)
    message = re.search(
        r"TrainingDiverged: the loss rises: .* in the mean of the last 10 steps, .* at the first; "
        r"the batch is in (\S+\.npz)\n  where: training step (\d+)\n"
        r"  to do: lower training\.optimizer\.learning_rate or lengthen warmup_steps",
        told,
    )
    assert message, told[-2_000:]
    first_risen = next(i for i, loss in enumerate(losses(high), 1) if loss > right[0] + 10.0)
    assert first_risen <= int(message[2]) < first_risen + 10
    with np.load(message[1]) as batch:
        assert len(batch["padding_mask"]) == 8
