"""`run --json`: one JSON object on standard output for every outcome of a run."""

import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import pytest

from models.errors import ConfigError, DataRefused, PolysemeError, TrainingDiverged
from pipeline.cli.main import main
from pipeline.cli.run_json import record
from pipeline.lock import locked
from pipeline.run import Outcome
from pipeline.spans import NothingNew
from pipeline.steps import Until
from pipeline.summary import Step, Summary

_ROOT = pathlib.Path(__file__).parents[3]


def printed_json(capfd: pytest.CaptureFixture[str]) -> tuple[dict[str, Any], str]:
    """The JSON object that is all of standard output, and the text of standard error."""
    printed = capfd.readouterr()
    found = json.loads(printed.out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert found.keys() == record(0).keys()
    return found, printed.err


def replace_run(
    monkeypatch: pytest.MonkeyPatch,
    *,
    version: str | None = None,
    error: PolysemeError | None = None,
    until: Until | None = None,
) -> None:
    """Replaces runs by a stub that prints to standard output and has the given outcome."""

    def run(*_: object) -> Outcome:
        print("python output")
        os.write(1, b"C++ output\n")
        summary = Summary(
            "a",
            [Step("Trainer", "failed" if error else "done", 1.5, "")],
            None if until else bool(version),
            () if version else ("loss is 3 [2, 4]; the lower end may be at most 1",),
            version,
            f"/s/{version}" if version else None,
            metrics={"loss": 3.0, "accuracy": float("nan")},
            until=until,
        )
        return Outcome(summary, error, pathlib.Path("/r/a.log"), pathlib.Path("/r.html"), "7")

    monkeypatch.setattr("pipeline.run.run_pipeline", run)


RUN = ["run", "bert_tiny", "--input", "x.jsonl", "--json"]


def test_a_pushed_run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    replace_run(monkeypatch, version="17")
    assert main(RUN) == 0
    found, progress = printed_json(capfd)
    assert found == {
        "outcome": "pushed",
        "exit_code": 0,
        "name": "bert_tiny",
        "recipe": "bert_tiny",
        "span": "7",
        "until": None,
        "run": "a",
        "version": "17",
        "model": "/s/17",
        "blessed": True,
        "reasons": [],
        "notes": [],
        "metrics": {"loss": 3.0, "accuracy": None},
        "steps": [{"component": "Trainer", "state": "done", "seconds": 1.5}],
        "report": "/r.html",
        "log": "/r/a.log",
        "quarantine": None,
        "error": None,
    }
    for line in ("python output", "C++ output", "blessed and pushed as version 17"):
        assert line in progress


@pytest.mark.parametrize(
    ("ended", "outcome", "code"),
    [
        ({}, "not blessed", 4),
        ({"until": "examples"}, "prepared", 0),
        ({"error": TrainingDiverged("nan")}, "failed", 1),
        ({"error": DataRefused("bad", where="a:1", remedy="correct it")}, "refused", 3),
    ],
)
def test_a_run_that_pushed_nothing(
    ended: dict[str, Any],
    outcome: str,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    replace_run(monkeypatch, **ended)
    assert main(RUN) == code
    found, progress = printed_json(capfd)
    assert (found["outcome"], found["exit_code"]) == (outcome, code)
    assert found["reasons"] == ["loss is 3 [2, 4]; the lower end may be at most 1"]
    error = ended.get("error")
    if error:
        expected = {"what": error.what, "where": error.where, "remedy": error.remedy}
        assert found["error"] == expected
        assert f"error: {error.what}" in progress


@pytest.mark.parametrize(
    ("raised", "outcome", "code"),
    [
        (NothingNew("all are done"), "nothing new", 5),
        (
            ConfigError("bad", where="training.steps", remedy="correct it"),
            "usage or configuration",
            2,
        ),
        (ValueError("an unexpected error"), "failed", 1),
    ],
)
def test_a_run_that_does_not_start(
    raised: Exception,
    outcome: str,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def run(*_: object) -> Outcome:
        raise raised

    monkeypatch.setattr("pipeline.run.run_pipeline", run)
    assert main(RUN) == code
    found, progress = printed_json(capfd)
    assert (found["outcome"], found["exit_code"], found["name"]) == (outcome, code, "bert_tiny")
    assert str(raised.args[0]) in found["error"]["what"]
    assert str(raised.args[0]) in progress


def test_an_interrupted_run(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def run(*_: object) -> Outcome:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.run.run_pipeline", run)
    assert main(RUN) == 130
    assert printed_json(capfd)[0]["outcome"] == "interrupted"


@pytest.mark.parametrize(
    ("more", "where"),
    [
        (["--set", "training.steps=0"], "training.steps"),
        (["--set", "trainng.steps=1"], "--set"),
        (["--name", "a b"], "--name"),
        (["--config", "x.json"], "RECIPE and --config"),
    ],
)
def test_an_invalid_configuration(
    more: list[str], where: str | None, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([*RUN, *more]) == 2
    found, _ = printed_json(capfd)
    assert (found["outcome"], found["exit_code"]) == ("usage or configuration", 2)
    assert found["error"]["where"] == where
    assert found["error"]["remedy"]


def test_an_option_that_does_not_exist(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        main([*RUN, "--sets", "training.steps=1"])
    assert exited.value.code == 2
    found, shown = printed_json(capfd)
    assert found["error"]["what"] == "the command line cannot be parsed"
    assert "--sets" in shown


def test_a_run_on_a_locked_folder(tmp_path: pathlib.Path) -> None:
    with locked(tmp_path / "bert_tiny"):
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", *RUN, "--runs", str(tmp_path)],
            cwd=_ROOT,
            capture_output=True,
            text=True,
        )
    found = json.loads(done.stdout)
    assert (done.returncode, found["exit_code"]) == (75, 75)
    assert found["outcome"] == "try again later"
    assert f"process {os.getpid()}" in found["error"]["what"]
