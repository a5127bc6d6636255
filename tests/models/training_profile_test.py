import pathlib

import pytest
import tensorflow as tf

from models.config import PROFILE
from models.training_profile import TrainingProfile


def _run(folder: pathlib.Path, calls: int) -> list[pathlib.Path]:
    profile = TrainingProfile(folder)
    for step in range(calls):
        with profile.call(step):
            tf.reduce_sum(tf.random.uniform((100, 100)) @ tf.ones((100, 100))).numpy()
    profile.close()
    return list(folder.glob("plugins/profile/*/*.xplane.pb"))


@pytest.mark.parametrize("calls", [5, 20])
def test_a_trace_is_written_where_it_is_asked_for(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    monkeypatch.setenv(PROFILE, "1")
    (trace,) = _run(tmp_path, calls)
    content = trace.read_bytes()
    assert b"MatMul" in content
    assert b"RandomUniform" in content


def test_a_run_of_less_calls_has_none(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PROFILE, "1")
    assert _run(tmp_path, 3) == []


def test_nobody_asked_and_there_is_none(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(PROFILE, raising=False)
    assert _run(tmp_path, 20) == []
