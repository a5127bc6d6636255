"""What a training process tells arrives whole, whatever it holds."""

import io
import json
import logging
import os
import threading

import pytest

from components.training.worker_messages import FromProcess, ToStarter
from models.errors import ConfigError, Preempted

ODD = "50 % of \ud800 \x1b[2J\nerror: [1]"


def heard(*lines: bytes) -> tuple[FromProcess, list[logging.LogRecord]]:
    told = FromProcess()
    return told, list(told.listen(io.BytesIO(b"".join(lines))))


def test_records_progress_and_the_end_arrive() -> None:
    ours, theirs = os.pipe()
    starter = ToStarter(theirs)
    log = logging.Logger("a")
    log.addHandler(starter)
    log.info("step %d/%d", 1, 2, extra={"progress": (1, 2)})
    log.warning(ODD)
    starter.done()
    starter._pipe.close()
    told = FromProcess()
    first, second = told.listen(open(ours, "rb"))
    assert (first.getMessage(), first.levelname, first.progress) == ("step 1/2", "INFO", (1, 2))  # type: ignore[attr-defined]
    assert (second.getMessage(), second.levelno) == (ODD, logging.WARNING)
    assert (told.error, told.done) == (None, True)


@pytest.mark.parametrize(
    "error",
    [ConfigError("a batch of 7", where="training.batch_size", remedy=ODD), Preempted("cut short")],
)
def test_our_own_errors_arrive_as_what_they_are(error: Exception) -> None:
    ours, theirs = os.pipe()
    starter = ToStarter(theirs)
    starter.failed(error)
    starter._pipe.close()
    told = FromProcess()
    assert list(told.listen(open(ours, "rb"))) == []
    assert (type(told.error), str(told.error)) == (type(error), str(error))
    assert not told.done


def test_any_other_error_is_a_runtime_error_of_limited_length() -> None:
    ours, theirs = os.pipe()
    starter = ToStarter(theirs)
    told = FromProcess()
    listener = threading.Thread(target=lambda: list(told.listen(open(ours, "rb"))))
    listener.start()  # more than a pipe holds
    starter.failed(KeyError("k" * 10_000_000))
    starter._pipe.close()
    listener.join()
    assert isinstance(told.error, RuntimeError)
    assert str(told.error).startswith("a training process failed: KeyError: 'kkk")
    assert len(str(told.error)) < 11_000


@pytest.mark.parametrize(
    "line", [b"{", b"7\n", b"[]\n", b"\xff\xfe\n", b"{}\n", b'{"log": 1}\n', b'{"error": 5}\n']
)
def test_what_is_no_message_ends_nobody(line: bytes) -> None:
    whole = json.dumps({"log": "a", "level": 20, "progress": None}).encode() + b"\n"
    told, records = heard(whole, line if line.endswith(b"\n") else b"")
    assert [record.getMessage() for record in records] == ["a"]
    told, records = heard(whole, line)
    assert [record.getMessage() for record in records] == ["a"]
    assert (told.error, told.done) == (None, False)


def test_an_error_of_a_kind_that_is_none_of_ours_is_a_runtime_error() -> None:
    message = {"error": "annotations", "what": "bad", "where": None, "remedy": None}
    told, _ = heard(json.dumps(message).encode())
    assert isinstance(told.error, RuntimeError)


def test_a_starter_that_is_gone_is_no_error() -> None:
    ours, theirs = os.pipe()
    starter = ToStarter(theirs)
    os.close(ours)
    starter.done()
