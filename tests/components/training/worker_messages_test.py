"""Messages of a training process arrive complete, with any content."""

import io
import json
import logging
import os
import threading

import pytest

from components.training.worker_messages import MessageReceiver, MessageSender
from models.errors import ConfigError, Preempted

ODD = "50 % of \ud800 \x1b[2J\nerror: [1]"


def receive(*lines: bytes) -> tuple[MessageReceiver, list[logging.LogRecord]]:
    receiver = MessageReceiver()
    return receiver, list(receiver.receive(io.BytesIO(b"".join(lines))))


def test_log_records_progress_and_completion_arrive() -> None:
    reading_end, writing_end = os.pipe()
    sender = MessageSender(writing_end)
    log = logging.Logger("a")
    log.addHandler(sender)
    log.info("step %d/%d", 1, 2, extra={"progress": (1, 2)})
    log.warning(ODD)
    sender.done()
    sender._pipe.close()
    receiver = MessageReceiver()
    first, second = receiver.receive(open(reading_end, "rb"))
    assert (first.getMessage(), first.levelname, first.progress) == ("step 1/2", "INFO", (1, 2))  # type: ignore[attr-defined]
    assert (second.getMessage(), second.levelno) == (ODD, logging.WARNING)
    assert (receiver.error, receiver.done) == (None, True)


@pytest.mark.parametrize(
    "error",
    [ConfigError("a batch of 7", where="training.batch_size", remedy=ODD), Preempted("cut short")],
)
def test_errors_of_polyseme_keep_their_type(error: Exception) -> None:
    reading_end, writing_end = os.pipe()
    sender = MessageSender(writing_end)
    sender.failed(error)
    sender._pipe.close()
    receiver = MessageReceiver()
    assert list(receiver.receive(open(reading_end, "rb"))) == []
    assert (type(receiver.error), str(receiver.error)) == (type(error), str(error))
    assert not receiver.done


def test_any_other_error_is_a_runtime_error_of_limited_length() -> None:
    reading_end, writing_end = os.pipe()
    sender = MessageSender(writing_end)
    receiver = MessageReceiver()
    listener = threading.Thread(target=lambda: list(receiver.receive(open(reading_end, "rb"))))
    listener.start()  # the message is larger than a pipe's buffer
    sender.failed(KeyError("k" * 10_000_000))
    sender._pipe.close()
    listener.join()
    assert isinstance(receiver.error, RuntimeError)
    assert str(receiver.error).startswith("a training process failed: KeyError: 'kkk")
    assert len(str(receiver.error)) < 11_000


@pytest.mark.parametrize(
    "line", [b"{", b"7\n", b"[]\n", b"\xff\xfe\n", b"{}\n", b'{"log": 1}\n', b'{"error": 5}\n']
)
def test_invalid_messages_are_ignored(line: bytes) -> None:
    whole = json.dumps({"log": "a", "level": 20, "progress": None}).encode() + b"\n"
    receiver, records = receive(whole, line if line.endswith(b"\n") else b"")
    assert [record.getMessage() for record in records] == ["a"]
    receiver, records = receive(whole, line)
    assert [record.getMessage() for record in records] == ["a"]
    assert (receiver.error, receiver.done) == (None, False)


def test_an_unknown_error_type_becomes_a_runtime_error() -> None:
    message = {"error": "annotations", "what": "bad", "where": None, "remedy": None}
    receiver, _ = receive(json.dumps(message).encode())
    assert isinstance(receiver.error, RuntimeError)


def test_sending_to_a_closed_pipe_is_not_an_error() -> None:
    reading_end, writing_end = os.pipe()
    sender = MessageSender(writing_end)
    os.close(reading_end)
    sender.done()
