"""A training process reports how it ended, by a message and by its exit code."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import pathlib
import types
from collections.abc import Iterator

import pytest

from components.training import worker
from components.training.worker_messages import MessageReceiver
from models.errors import ConfigError, Preempted
from models.training.metrics import TrainingResult
from tests.components.little_job import little_job, write_examples


@pytest.fixture(autouse=True)
def _logger() -> Iterator[None]:
    """Takes off the handlers that the program adds to the logger."""
    log = logging.getLogger("polyseme")
    level, handlers = log.level, [*log.handlers]
    yield
    log.level, log.handlers = level, handlers


@pytest.fixture(scope="module")
def job_file(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("job")
    (folder / "examples").mkdir()
    job = little_job(folder, write_examples(folder / "examples"))
    path = folder / "job.json"
    path.write_text(json.dumps(dataclasses.asdict(job)), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("outcome", "exit_code", "error"),
    [
        (None, None, None),
        (Preempted("received SIGTERM"), 75, "received SIGTERM"),
        (ConfigError("a batch of 7"), 1, "a batch of 7"),
        (KeyError("x"), 1, "a training process failed: KeyError: 'x'"),
    ],
)
def test_the_outcome_is_sent_to_the_launcher(
    job_file: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    outcome: Exception | None,
    exit_code: int | None,
    error: str | None,
) -> None:
    families = []

    def train_job(job: object) -> types.SimpleNamespace:
        families.append(job.family)  # type: ignore[attr-defined]
        if outcome:
            raise outcome
        return types.SimpleNamespace(result=TrainingResult(6, 0, 2.0, 100.0, {}))

    reading_end, writing_end = os.pipe()
    monkeypatch.setattr(worker, "train_job", train_job)
    monkeypatch.setattr(worker, "_exit_with_launcher", lambda: None)
    monkeypatch.setattr(worker.sys, "argv", ["worker", str(job_file), str(writing_end)])
    if exit_code is None:
        worker.main()
    else:
        with pytest.raises(SystemExit) as exited:
            worker.main()
        assert exited.value.code == exit_code
    os.close(writing_end)
    receiver = MessageReceiver()
    records = [record.getMessage() for record in receiver.receive(open(reading_end, "rb"))]
    assert families == ["bert"]
    assert receiver.done == (outcome is None)
    assert (str(receiver.error) if receiver.error else None) == error
    assert records == ([] if outcome else ["trained 6 steps in 2 s (100 tokens/s)"])
