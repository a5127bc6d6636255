"""Tests that every logged step has one record, also after kills and damage."""

import json
import logging
import pathlib

import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator

from models.training.metrics_writer import MetricsWriter


def test_a_record_is_a_json_object_with_step_and_seconds(tmp_path: pathlib.Path) -> None:
    MetricsWriter(tmp_path, 0).write(3, {"loss": 0.5, "gradient_norm": 2.0})
    (line,) = (tmp_path / "training.jsonl").read_text(encoding="utf-8").splitlines()
    record = json.loads(line)
    assert record.pop("seconds") >= 0.0
    assert record == {"step": 3, "loss": 0.5, "gradient_norm": 2.0}


def test_records_after_the_checkpoint_are_removed(tmp_path: pathlib.Path) -> None:
    lines = ['{"step": 2}\n', '{"step": 4}\n', '{"st']
    (tmp_path / "training.jsonl").write_text("".join(lines), encoding="utf-8")
    MetricsWriter(tmp_path, 3)
    assert (tmp_path / "training.jsonl").read_text(encoding="utf-8") == lines[0]


def test_a_run_that_starts_from_scratch_removes_all_records(tmp_path: pathlib.Path) -> None:
    (tmp_path / "training.jsonl").write_text('{"step": 2}\n', encoding="utf-8")
    MetricsWriter(tmp_path, 0)
    assert (tmp_path / "training.jsonl").read_bytes() == b""


@pytest.mark.parametrize(
    "bad",
    [b"\0" * 9, b"\xff\xfe", b"", b'{"st": 1}', b'{"step": "2"}', b"[2]", b"3", b'{"step": 2'],
)
def test_a_line_that_cannot_be_read_is_removed(
    tmp_path: pathlib.Path, bad: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "training.jsonl"
    path.write_bytes(b"\n".join([b'{"step": 1}', bad, b'{"step": 3}', bad, b'{"step": 5}', b""]))
    MetricsWriter(tmp_path, 4)
    assert path.read_bytes() == b'{"step": 1}\n{"step": 3}\n'
    (warning,) = (record for record in caplog.records if record.levelno == logging.WARNING)
    assert warning.getMessage() == f"2 lines of {path} cannot be read and are removed"
    MetricsWriter(tmp_path, 4)
    assert len(caplog.records) == 1


def test_a_kill_never_loses_the_records(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "training.jsonl"
    path.write_text('{"step": 2}\n{"step": 4}\n', encoding="utf-8")
    before = path.read_bytes()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pathlib.Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            MetricsWriter(tmp_path, 3)
    assert path.read_bytes() == before
    MetricsWriter(tmp_path, 3)
    assert path.read_text(encoding="utf-8") == '{"step": 2}\n'
    assert not list(tmp_path.glob("*.partial"))


def write_steps(folder: pathlib.Path, resumed_from: int, steps: int) -> None:
    """Writes a record of each step, with a loss that differs by step and by process."""
    writer = MetricsWriter(folder, resumed_from)
    for step in range(resumed_from + 1, steps + 1):
        writer.write(step, {"loss": step + resumed_from / 1_000})
    writer.close()


@pytest.mark.parametrize(
    ("resumed_from", "losses"), [(2, [1.0, 2.0, 3.002, 4.002, 5.002]), (0, [1.0, 2.0, 3.0, 4.0])]
)
def test_tensorboard_shows_each_step_once(
    tmp_path: pathlib.Path, resumed_from: int, losses: list[float]
) -> None:
    write_steps(tmp_path, 0, 6)
    (events,) = tmp_path.glob("events.*")
    # TensorBoard orders files by the second in their names.
    events.rename(tmp_path / "events.out.tfevents.0000000001.host")
    write_steps(tmp_path, resumed_from, len(losses))
    board = EventAccumulator(str(tmp_path), size_guidance={"tensors": 0})
    board.Reload()
    events = board.Tensors("loss")
    assert [event.step for event in events] == list(range(1, len(losses) + 1))
    shown = [float(tf.make_ndarray(event.tensor_proto)) for event in events]
    assert shown == pytest.approx(losses)
