import json
import logging
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator

from models.errors import TrainingDiverged
from models.training import record as training_record
from models.training.record import TrainingRecord, Work


def batches(*labels: float) -> dict[str, tf.Tensor]:
    """Of as many steps."""
    return {
        "label": tf.constant([[[label], [2.0]] for label in labels]),
        "padding_mask": tf.constant([[[1, 0], [1, 1]]] * len(labels)),
    }


def state(*losses: float, norm: float = 0.5) -> dict[str, tf.Tensor]:
    """Of as many steps."""
    same = {"learning_rate": 0.1, "gradient_norm": norm, "tokens": 3, "positions": 4, "asked": 0}
    return {name: tf.constant(losses) for name in ("loss", "squares")} | {
        name: tf.constant([value] * len(losses)) for name, value in same.items()
    }


def test_a_record_is_a_line_of_the_last_steps_figures(tmp_path: pathlib.Path) -> None:
    record = TrainingRecord(tmp_path, 0, 4)
    for step in (1, 2, 3, 4):
        record.add(step - 1, batches(1.0), state(1.0 / step))
        if step % 2 == 0:
            record.write(step)
    lines = (tmp_path / "training.jsonl").read_text(encoding="utf-8").splitlines()
    second, fourth = map(json.loads, lines)
    assert (second["step"], second["loss"]) == (2, 0.5)
    assert (fourth["step"], fourth["loss"], fourth["squares"]) == (4, 0.25, 0.25)
    assert fourth["tokens_per_second"] > 0
    assert second["padding_share"] == fourth["padding_share"] == 0.25
    result = record.result(0)
    assert result.losses == {"loss": 0.25, "squares": 0.25, "gradient_norm": 0.5}
    assert list(tmp_path.glob("events.*"))


def test_the_mfu_is_the_models_operations_over_what_the_devices_could_have_done(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(training_record.time, "monotonic", lambda: now[0])
    work = Work(lambda time: 100.0 * time, peak=4_000.0)
    record = TrainingRecord(tmp_path, 0, 9, work)
    record.add(0, batches(1.0), state(1.0))  # compiles, and does not count
    now[0] = 0.5
    record.add(1, batches(1.0, 2.0, 3.0, 4.0), state(1.0, 1.0, 1.0, 1.0))
    record.write(5)
    (line,) = (tmp_path / "training.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["mfu"] == pytest.approx(4 * 100 * 2 / 0.5 / 4_000)


def test_lines_past_the_checkpoint_are_made_again(tmp_path: pathlib.Path) -> None:
    lines = ['{"step": 2}\n', '{"step": 4}\n', '{"st']
    (tmp_path / "training.jsonl").write_text("".join(lines), encoding="utf-8")
    TrainingRecord(tmp_path, 3, 9)
    assert (tmp_path / "training.jsonl").read_text(encoding="utf-8") == lines[0]


def test_a_run_that_starts_anew_makes_all_lines_again(tmp_path: pathlib.Path) -> None:
    (tmp_path / "training.jsonl").write_text('{"step": 2}\n', encoding="utf-8")
    TrainingRecord(tmp_path, 0, 9)
    assert (tmp_path / "training.jsonl").read_bytes() == b""


@pytest.mark.parametrize(
    "bad",
    [b"\0" * 9, b"\xff\xfe", b"", b'{"st": 1}', b'{"step": "2"}', b"[2]", b"3", b'{"step": 2'],
)
def test_a_line_that_cant_be_read_is_left_out(
    tmp_path: pathlib.Path, bad: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "training.jsonl"
    path.write_bytes(b"\n".join([b'{"step": 1}', bad, b'{"step": 3}', bad, b'{"step": 5}', b""]))
    TrainingRecord(tmp_path, 4, 9)
    assert path.read_bytes() == b'{"step": 1}\n{"step": 3}\n'
    (warning,) = (record for record in caplog.records if record.levelno == logging.WARNING)
    assert warning.getMessage() == f"2 lines of {path} can't be read and are left out"
    TrainingRecord(tmp_path, 4, 9)
    assert len(caplog.records) == 1


def test_the_lines_are_never_away(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "training.jsonl"
    path.write_text('{"step": 2}\n{"step": 4}\n', encoding="utf-8")
    before = path.read_bytes()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pathlib.Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            TrainingRecord(tmp_path, 3, 9)
    assert path.read_bytes() == before
    TrainingRecord(tmp_path, 3, 9)
    assert path.read_text(encoding="utf-8") == '{"step": 2}\n'
    assert not list(tmp_path.glob("*.partial"))


def run_until(folder: pathlib.Path, resumed_from: int, steps: int) -> None:
    """Writes a record of each step; its loss is that of the step, and of the process."""
    record = TrainingRecord(folder, resumed_from, steps)
    for step in range(resumed_from + 1, steps + 1):
        record.add(step - 1, batches(1.0), state(step + resumed_from / 1_000))
        record.write(step)
    record.close(steps)


@pytest.mark.parametrize(
    ("resumed_from", "losses"), [(2, [1.0, 2.0, 3.002, 4.002, 5.002]), (0, [1.0, 2.0, 3.0, 4.0])]
)
def test_tensorboard_shows_each_step_once(
    tmp_path: pathlib.Path, resumed_from: int, losses: list[float]
) -> None:
    run_until(tmp_path, 0, 6)
    (events,) = tmp_path.glob("events.*")
    events.rename(tmp_path / "events.out.tfevents.0000000001.host")  # files go by the second
    run_until(tmp_path, resumed_from, len(losses))
    board = EventAccumulator(str(tmp_path), size_guidance={"tensors": 0})
    board.Reload()
    found = board.Tensors("loss")
    assert [event.step for event in found] == list(range(1, len(losses) + 1))
    shown = [float(tf.make_ndarray(event.tensor_proto)) for event in found]
    assert shown == pytest.approx(losses)


@pytest.mark.parametrize("bad", [(float("nan"), 0.5), (1.0, float("inf"))])
def test_the_first_step_that_diverged_is_found_and_its_batch_is_kept(
    tmp_path: pathlib.Path, bad: tuple[float, float]
) -> None:
    record = TrainingRecord(tmp_path, 0, 100)
    done: list[int] = []

    def train() -> None:
        for step in range(1, 100):
            done.append(step)
            record.add(
                step - 1,
                batches(float(step)),
                state(bad[0], norm=bad[1]) if step >= 13 else state(1.0),
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


def test_of_steps_in_one_call_the_first_that_diverged_is_found(tmp_path: pathlib.Path) -> None:
    record = TrainingRecord(tmp_path, 0, 100)
    record.add(0, batches(1.0, 2.0, 3.0, 4.0), state(1.0, 1.0, 1.0, 1.0))
    record.add(4, batches(5.0, 6.0, 7.0, 8.0), state(1.0, float("nan"), float("nan"), 1.0))
    with pytest.raises(TrainingDiverged) as caught:
        record.check()
    assert caught.value.where == "training step 6"
    with np.load(tmp_path / "diverged-at-step-6.npz") as saved:
        assert saved["label"].tolist() == [[6.0], [2.0]]


def rising(record: TrainingRecord, before: int = 0) -> int:
    """Trains with losses 2, 3, 4, …; gives the step at which it stops, of 100."""
    try:
        for step in range(before + 1, 101):
            record.add(step - 1, batches(float(step)), state(step + 1.0))
    except TrainingDiverged as error:
        return int((error.where or "").removeprefix("training step "))
    return 100


def test_a_mean_of_ten_losses_that_is_far_above_the_first_one_stops(
    tmp_path: pathlib.Path,
) -> None:
    # Mean of the ten steps up to n: n - 3.5 = 2 + 10 at n = 15.5.
    assert rising(TrainingRecord(tmp_path, 0, 100, max_rise=10.0)) == 16
    with np.load(tmp_path / "diverged-at-step-16.npz") as saved:
        assert saved["label"].tolist() == [[16.0], [2.0]]
    assert rising(TrainingRecord(tmp_path, 0, 100, max_rise=0.0)) == 100


def test_a_rise_is_told_in_numbers_and_one_bad_step_is_none(tmp_path: pathlib.Path) -> None:
    record = TrainingRecord(tmp_path, 0, 100, max_rise=10.0)
    record.add(0, batches(1.0), state(2.0))
    record.add(1, batches(*[1.0] * 9), state(100.0, *[2.0] * 8))  # mean 11.8
    record.check()
    record.add(10, batches(1.0), state(100.0))
    with pytest.raises(TrainingDiverged) as caught:
        record.check()
    assert caught.value.what == (
        "the loss rises: 21.60 in the mean of the last 10 steps, 2.00 at the first; the batch is "
        f"in {tmp_path / 'diverged-at-step-11.npz'}"
    )


def test_a_run_that_goes_on_compares_with_the_first_loss_of_all(tmp_path: pathlib.Path) -> None:
    record = TrainingRecord(tmp_path, 50, 100, max_rise=60.0, first_loss=2.0)
    assert rising(record, before=50) == 66  # 66 - 3.5 > 62; with the loss of step 51 not at all
    assert record.first_loss == 2.0


def test_what_was_not_looked_at_is_before_a_checkpoint(tmp_path: pathlib.Path) -> None:
    record = TrainingRecord(tmp_path, 0, 100)
    record.add(0, batches(1.0), state(1.0))
    record.add(1, batches(2.0), state(float("nan")))
    with pytest.raises(TrainingDiverged, match="the loss is nan"):
        record.check()


def test_progress_says_step_loss_rate_and_time_left(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_record, "_PROGRESS_SECONDS", 1e9)  # a slow machine says more
    record = TrainingRecord(tmp_path, 0, 7)
    with caplog.at_level(logging.INFO, logger="polyseme.training"):
        for step in range(1, 8):
            record.add(step - 1, batches(1.0), state(0.125))
        record.close(7)
    (line,) = caplog.messages
    assert line.startswith("step 7/7  loss 0.125  squares 0.125  ")
    assert line.endswith(" 0s left")
    assert " tokens/s " in line
