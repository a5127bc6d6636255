"""The best of several seeds, their spread, and the file of their results."""

from __future__ import annotations

import math
import pathlib

import pytest

from components.training.seed_results import SeedRun, SeedRuns

RUNS = SeedRuns(
    (
        SeedRun(4, {"loss": 2.0, "accuracy": 0.5}),
        SeedRun(5, {"loss": 1.0, "accuracy": 0.25}),
        SeedRun(6, {}, "training step 3: the loss is nan"),
        SeedRun(7, {"loss": 3.0, "accuracy": 0.75}),
    )
)


def test_the_best_seed_has_the_lowest_finite_loss() -> None:
    assert RUNS.best.seed == 5
    assert SeedRuns((SeedRun(1, {"loss": math.nan}), RUNS.runs[3])).best.seed == 7
    assert SeedRuns((RUNS.runs[1], SeedRun(9, {"loss": 1.0}))).best.seed == 5
    assert SeedRuns((RUNS.runs[2], SeedRun(8, {"loss": math.inf}))).best.seed == 8


def test_the_spread_is_of_the_seeds_that_did_not_fail() -> None:
    # The mean of 2, 1 and 3 is 2, the sample standard deviation is 1.
    assert RUNS.spread["loss"] == (2.0, 1.0)
    assert RUNS.spread["accuracy"] == (0.5, 0.25)
    infinite = SeedRun(9, {"loss": 4.0, "accuracy": math.nan})
    assert SeedRuns((*RUNS.runs, infinite)).spread["accuracy"] == (0.5, 0.25)
    mean, deviation = SeedRuns(RUNS.runs[:1]).spread["loss"]
    assert mean == 2.0
    assert math.isnan(deviation)


def test_the_file_is_read_as_it_was_written(tmp_path: pathlib.Path) -> None:
    RUNS.write(tmp_path)
    assert SeedRuns.read(tmp_path) == RUNS
    assert (tmp_path / "seeds.json").read_text().startswith('{\n  "runs": [')
    with pytest.raises(FileNotFoundError):
        SeedRuns.read(tmp_path / "nowhere")


def test_a_file_of_an_earlier_release_is_read(tmp_path: pathlib.Path) -> None:
    (tmp_path / "seeds.json").write_text(
        '{"runs": [{"seed": 4, "figures": {"loss": 2.0, "accuracy": NaN}, "failure": ""}]}'
    )
    (run,) = SeedRuns.read(tmp_path).runs
    assert (run.seed, run.loss) == (4, 2.0)
    assert math.isnan(run.metrics["accuracy"])
