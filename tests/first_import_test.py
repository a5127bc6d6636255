"""Whoever imports TensorFlow has decided on oneDNN before: TensorFlow reads the variable once."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from models.processor import ONEDNN

ROOT = pathlib.Path(__file__).resolve().parents[1]

# A processor whose two choices differ; the process ends where it first asks for TensorFlow.
PROGRAM = f"""
import os, pathlib, sys
from models.processor import Processor

Processor.here = classmethod(lambda cls: cls("old", ("avx", "avx2", "fma")))

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "tensorflow":
            pathlib.Path(sys.argv[1]).write_text(os.environ.get("{ONEDNN}", "nobody decided"))
            os._exit(0)

sys.meta_path.insert(0, Watch())
"""


def decided(folder: pathlib.Path, entry: str, **environment: str) -> str:
    """The variable when a process that does what `entry` says first imports TensorFlow."""
    found = folder / "found"
    given = {name: value for name, value in os.environ.items() if name != ONEDNN}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM + entry, str(found)],
        cwd=ROOT,
        env=given | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.exists(), f"it never imported TensorFlow: {done.stdout}{done.stderr}"
    return found.read_text()


@pytest.fixture
def runs(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder of runs with a pipeline in it; beside it a text."""
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    (tmp_path / "runs" / "mine" / "config.json").write_text("{}")
    (tmp_path / "saved_model.pb").touch()
    (tmp_path / "text.jsonl").write_text(json.dumps({"text": "a"}))
    return tmp_path / "runs"


@pytest.mark.parametrize(
    ("command", "value"),
    [
        ("run bert_tiny --input {0}/text.jsonl --runs {1}", "1"),
        ("worker mine --runs {1}", "1"),
        ("predict embed hello --model {0}", "0"),
        ("report --runs {1}", "0"),
        ("compare mine mine --runs {1}", "0"),
    ],
)
def test_a_command_decides_first(runs: pathlib.Path, command: str, value: str) -> None:
    arguments = command.format(runs.parent, runs).split()
    entry = f"from pipeline.cli.main import main; main({arguments!r})"
    assert decided(runs.parent, entry, TF_CONFIG="{}") == value


def test_a_benchmark_decides_first(runs: pathlib.Path) -> None:
    assert decided(runs.parent, "import benchmarks.training_ours") == "1"


def test_who_has_decided_is_not_overruled(runs: pathlib.Path) -> None:
    entry = f"from pipeline.worker import work; import pathlib; work(pathlib.Path({str(runs)!r}))"
    assert decided(runs.parent, entry, TF_CONFIG="{}", **{ONEDNN: "0"}) == "0"
