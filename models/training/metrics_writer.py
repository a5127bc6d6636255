"""Writes the metrics of a training to `training.jsonl` and to TensorBoard's events."""

from __future__ import annotations

import json
import logging
import pathlib
import time
from collections.abc import Mapping

import tensorflow as tf

from models.private_api import write_event
from models.published import published
from models.training.layout import TRAINING_LOG

_log = logging.getLogger("polyseme.training")


class MetricsWriter:
    """Writes one record per logged step, also when a run is killed and resumed.

    Args:
        folder: receives `training.jsonl`, one JSON object per line, and the events.
        resumed_from: the step that this process starts from. Records of later steps are removed
            from `training.jsonl` and hidden in TensorBoard, because those steps are repeated.
    """

    def __init__(self, folder: pathlib.Path, resumed_from: int) -> None:
        self._path = folder / TRAINING_LOG
        _remove_records_after(self._path, resumed_from)
        self._board = _event_writer(folder, resumed_from)
        self._started_at = time.monotonic()

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Writes a record: `step`, the metrics, and the `seconds` since this object was made."""
        with self._board.as_default(step=step):
            for name, value in metrics.items():
                tf.summary.scalar(name, value)
        record = {"step": step, **metrics, "seconds": time.monotonic() - self._started_at}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def close(self) -> None:
        """Closes TensorBoard's file."""
        self._board.close()


def _remove_records_after(path: pathlib.Path, last_step: int) -> None:
    """Keeps the records up to a step; creates the file if it is missing."""
    lines = path.read_bytes().splitlines() if last_step and path.exists() else []
    steps = [_step(line) for line in lines]
    if unreadable := steps.count(None):
        _log.warning("%d lines of %s cannot be read and are removed", unreadable, path)
    kept = [
        line + b"\n"
        for line, step in zip(lines, steps, strict=True)
        if step is not None and step <= last_step
    ]
    with published(path, durable=True) as partial:
        partial.write_bytes(b"".join(kept))


def _step(line: bytes) -> int | None:
    """The step of a record; None if the line is damaged, as by a power failure (all NULs)."""
    try:
        step = json.loads(line)["step"]
    except (ValueError, LookupError, TypeError):
        return None
    return step if isinstance(step, int) else None


def _event_writer(folder: pathlib.Path, resumed_from: int) -> tf.summary.SummaryWriter:
    """Opens an event file that makes TensorBoard hide later steps of earlier processes.

    TensorBoard does so when an event file begins with a session's start, if the earlier files do
    too.
    """
    writer = tf.summary.create_file_writer(str(folder))
    start = tf.compat.v1.Event(
        wall_time=time.time(),
        step=resumed_from + 1,
        session_log=tf.compat.v1.SessionLog(status=tf.compat.v1.SessionLog.START),
    )
    write_event(writer, start)
    return writer
