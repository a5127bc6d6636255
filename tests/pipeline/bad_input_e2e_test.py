"""Errors as users see them: one screen with the place, an exit code, and no good data lost."""

from __future__ import annotations

import json
import os
import pathlib
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from pipeline.lock import locked
from tests.testdata.small_corpus import arguments, finish, record, states, write_corpus

pytestmark = [pytest.mark.e2e, pytest.mark.one_stack]

GOOD = 150
ONE_STEP = {"training__steps": 1, "model__objective__min_accuracy_over_unigram": 99}
"""A bound that no model meets, so that the run ends soon after training, not blessed."""


def error(printed: str) -> str:
    """The lines of the error; they fit on one screen and contain no stack trace."""
    lines = printed[printed.index("error: ") :].splitlines()
    message = [line for line in lines if not line.startswith(("report  ", "log  ", "model  "))]
    assert len(message) < 24
    return "\n".join(message)


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """150 good records, one bad record of each kind on lines 151 to 156, and an odd document."""
    path = write_corpus(tmp_path_factory.mktemp("bad") / "mixed.jsonl", range(GOOD))
    with path.open("ab") as stream:
        stream.write(b'{"id": "latin", "text": "caf\xe9"}\n')
        stream.write(record(900).encode()[:40] + b"\n")
        stream.write(b'{"id": "textless", "source": "logs"}\n')
        stream.write(b'{"id": "long", "text": "' + b"a " * 25_000_000 + b'"}\n')
        stream.write(record(7).encode() + b"\n")
        stream.write(b"[1, 2]\n")
        stream.write(b'{"id": "odd", "text": "#### 12345 ####"}\n')
    return path


REASONS = (
    "not UTF-8",
    "not JSON",
    "no text",
    "too long",
    "duplicate id",
    "not a JSON object",
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder for tests that use the runs of the tests before them."""
    return tmp_path_factory.mktemp("runs")


def test_too_many_bad_records_are_refused_with_their_places(
    bad: pathlib.Path, runs: pathlib.Path
) -> None:
    message = error(finish(arguments(bad, runs), code=3))
    assert "malformed records: 6 of 157, 3.82%; bound: at most 1.00%" in message
    for line in (151, 152, 153):
        assert f"{bad}:{line} {REASONS[line - 151]}" in message
    assert "change the bound if this text is wanted: ingestion.max_quarantine_share" in message
    folder = runs / "bert_tiny/quarantine"
    assert len((folder / "span-0.jsonl").read_text().splitlines()) == 6
    kept = json.loads((folder / "span-0.DataGate.json").read_text())
    assert kept["ingestion"]["quarantined"] == 6


def test_bad_records_and_odd_documents_are_quarantined_and_a_new_bound_reruns_its_gate(
    bad: pathlib.Path, runs: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    vocabulary = tmp_path / "vocab.txt"
    letters = [*"abcdefghijklmnopqrstuvwxyz."]
    vocabulary.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters]))
    settings = {
        "ingestion__max_quarantine_share": 0.1,
        "vocabulary__file": vocabulary,
        **ONE_STEP,
    }
    printed = finish(arguments(bad, runs, **settings), code=2)
    assert "the vocabulary lacks [MASK]" in error(printed)
    assert f"where: {vocabulary} (31 lines)" in error(printed)
    found = states(printed)
    for step in ("TextExampleGen", "StatisticsGen", "TextCleaner"):
        assert found[step] == "cached", step
    assert (found["DataGate"], found["VocabularyTrainer"]) == ("done", "failed")
    folder = runs / "bert_tiny"
    quarantine = [
        json.loads(line) for line in (folder / "quarantine/span-0.jsonl").read_text().splitlines()
    ]
    assert [(item["file"], item["line"]) for item in quarantine] == [
        (str(bad), line) for line in range(151, 157)
    ]
    for item, reason in zip(quarantine, REASONS, strict=True):
        assert item["reason"].startswith(reason)
    odd = json.loads((folder / "quarantine/span-0.documents.jsonl").read_text())
    assert (odd["id"], odd["reason"]) == ("odd", "non-letters")
    (summary,) = folder.glob("artifacts/TextCleaner/cleaned/*/cleaning.json")
    splits = json.loads(summary.read_text())["splits"]
    assert sum(split["kept"] for split in splits.values()) == GOOD

    # The vocabulary has only letters, so every word is unknown.
    vocabulary.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters]))
    printed = finish(arguments(bad, runs, **settings), code=3)
    assert "unknown tokens: " in error(printed)
    assert "give a vocabulary of this text's language" in error(printed)
    assert states(printed)["Trainer"] == "not run"
    again = finish(arguments(bad, runs, validation__max_unknown_share=1, **settings), code=4)
    assert (states(again)["ExampleBuilder"], states(again)["ExampleGate"]) == ("cached", "done")


def test_a_corpus_of_one_document_is_refused(tmp_path: pathlib.Path) -> None:
    source = write_corpus(tmp_path / "one.jsonl", range(1))
    message = error(finish(arguments(source, tmp_path / "runs"), code=3))
    assert "Too few documents" in message
    assert f"where: {source}" in message


@pytest.mark.parametrize(
    ("command", "code", "parts"),
    [
        (["run", "bert_tiny", "--input", "{}/absent.jsonl"], 3, ["does not exist", "absent.jsonl"]),
        (["run", "bert_tiny", "--input", "{}/empty.jsonl"], 3, ["is empty", "empty.jsonl"]),
        (
            ["run", "bert_tiny", "--input", "{}/a-{SPAN}.jsonl", "--span", "9"],
            3,
            ["span 9 does not exist", "choose one of: 1, 2"],
        ),
        (["run", "bert_tny", "--input", "{}/a-1.jsonl"], 2, ["did you mean bert_tiny?"]),
        (["run", "bert_tiny", "--imput", "{}/a-1.jsonl"], 2, ["--input"]),
        (
            ["run", "bert_tiny", "--input", "{}/a-1.jsonl", "--set", "training.stepps=3"],
            2,
            ["did you mean training.steps"],
        ),
    ],
)
def test_mistakes_on_the_command_line_are_refused(
    tmp_path: pathlib.Path, command: list[str], code: int, parts: list[str]
) -> None:
    (tmp_path / "empty.jsonl").touch()
    for span in (1, 2):
        write_corpus(tmp_path / f"a-{span}.jsonl", range(3))
    filled = [part.replace("{}", str(tmp_path)) for part in command]
    printed = finish([*filled, "--runs", str(tmp_path / "runs")], code)
    for part in parts:
        assert part in printed
    assert len(printed.splitlines()) < 24
    assert not (tmp_path / "runs").exists()


def test_a_folder_in_use_is_refused(tmp_path: pathlib.Path) -> None:
    source = write_corpus(tmp_path / "a.jsonl", range(3))
    with locked(tmp_path / "runs" / "bert_tiny"):
        message = error(finish(arguments(source, tmp_path / "runs"), code=75))
    assert f"already in use by process {os.getpid()}" in message
    assert str(tmp_path / "runs" / "bert_tiny") in message


@pytest.fixture
def small_disk(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"cannot mount a small disk here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_an_error_and_the_run_resumes_once_there_is_space(
    tmp_path: pathlib.Path, small_disk: pathlib.Path
) -> None:
    source = write_corpus(tmp_path / "a.jsonl", range(GOOD))
    command = arguments(source, small_disk, **ONE_STEP)
    message = error(finish(command, code=1))
    assert "the disk is full" in message
    assert "free some space and run the same command again" in message
    subprocess.run(["mount", "-o", "remount,size=500m", str(small_disk)], check=True)
    again = states(finish(command, code=4))
    assert again["TextExampleGen"] == "cached"
    assert again["Pusher"] == "done"


def test_tensorboard_says_that_its_port_is_in_use(tmp_path: pathlib.Path) -> None:
    """It is the only server with a fixed port; steps and Beam workers use free ports."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "tensorboard.main", "--logdir", str(tmp_path)),
                *("--host", "127.0.0.1", "--port", str(server.getsockname()[1])),
            ],
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode != 0
    assert "already in use" in done.stderr
    assert "Traceback" not in done.stderr
