"""The exit code of each outcome of a run."""

import pathlib

import pytest

from models.errors import (
    ConfigError,
    DataRefused,
    InUse,
    Preempted,
    ServingCheckFailed,
    TrainingDiverged,
)
from pipeline.cli.exit_codes import exit_code
from pipeline.run import Outcome
from pipeline.spans import NothingNew
from pipeline.steps import Until
from pipeline.summary import Step, Summary
from pipeline.terminal.failures import DiskFull


def outcome(**parts: object) -> Outcome:
    state = "done" if parts.get("complete", True) else "failed"
    version = parts.get("version")
    assert version is None or isinstance(version, str)
    until: Until | None = "examples" if parts.get("partial") else None
    steps = [Step("Pusher", state, 1.0, "")]
    summary = Summary("a", steps, None, (), version, None, until=until)
    error = parts.get("error")
    assert error is None or isinstance(error, Exception)
    return Outcome(summary, error, pathlib.Path("log"), None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ended", "code"),
    [
        (outcome(version="17"), 0),
        (outcome(), 4),
        (outcome(complete=False), 1),
        (outcome(partial=True), 0),
        (outcome(partial=True, complete=False), 1),
        (outcome(partial=True, error=DataRefused("x")), 3),
        (outcome(error=DataRefused("x")), 3),
        (outcome(error=ConfigError("x")), 2),
        (outcome(error=TrainingDiverged("x")), 1),
        (outcome(error=Preempted("x")), 75),
        (outcome(error=InUse("x")), 75),
        (outcome(error=ServingCheckFailed("x")), 1),
        (outcome(error=DiskFull("x")), 1),
        (outcome(error=NothingNew("x")), 5),
        (Outcome(None, DiskFull("x"), pathlib.Path("log"), None), 1),
    ],
)
def test_each_outcome_has_its_exit_code(ended: Outcome, code: int) -> None:
    assert exit_code(ended) == code
