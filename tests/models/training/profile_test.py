"""Tests of the profile of some training steps."""

import logging
import pathlib

import pytest
import tensorflow as tf

from models.training.config import PROFILE
from models.training.profile import TrainingProfile


def _run(folder: pathlib.Path, executions: int) -> list[pathlib.Path]:
    profile = TrainingProfile(folder)
    for step in range(executions):
        with profile.execution(step):
            tf.reduce_sum(tf.random.uniform((100, 100)) @ tf.ones((100, 100))).numpy()
    profile.close()
    return list(folder.glob("plugins/profile/*/*.xplane.pb"))


def _warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


@pytest.mark.parametrize("executions", [4, 5, 20])
def test_a_trace_is_written_if_it_is_requested(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    executions: int,
) -> None:
    monkeypatch.setenv(PROFILE, "1")
    (trace,) = _run(tmp_path, executions)
    content = trace.read_bytes()
    assert b"MatMul" in content
    assert b"RandomUniform" in content
    assert _warnings(caplog) == []


@pytest.mark.parametrize("executions", [0, 3])
def test_a_run_that_is_too_short_writes_no_trace_and_logs_why(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    executions: int,
) -> None:
    monkeypatch.setenv(PROFILE, "1")
    assert _run(tmp_path, executions) == []
    assert _warnings(caplog) == [
        f"no profile was written: it starts with execution 4, and this process had {executions}; "
        "train more steps, or lower devices.steps_per_execution"
    ]


@pytest.mark.parametrize("executions", [3, 20])
def test_without_a_request_there_is_no_trace(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    executions: int,
) -> None:
    monkeypatch.delenv(PROFILE, raising=False)
    assert _run(tmp_path, executions) == []
    assert _warnings(caplog) == []
