"""Programs set the variable for oneDNN before they import TensorFlow, which reads it once."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from models.processor import ONEDNN

ROOT = pathlib.Path(__file__).resolve().parents[1]

# A processor for which training and serving need different values. The process exits when it first
# imports TensorFlow, and writes the variable's value into the file.
PROGRAM = f"""
import os, pathlib, sys
from models.processor import Processor

Processor.here = classmethod(lambda cls: cls("old", ("avx", "avx2", "fma")))

class ExitOnImport:
    def find_spec(self, name, path=None, target=None):
        if name == "tensorflow":
            pathlib.Path(sys.argv[1]).write_text(os.environ.get("{ONEDNN}", "not set"))
            os._exit(0)

sys.meta_path.insert(0, ExitOnImport())
"""


def onednn_at_import(folder: pathlib.Path, code: str, **environment: str) -> str:
    """The variable's value when a process that runs `code` imports TensorFlow."""
    value_file = folder / "value"
    inherited = {name: value for name, value in os.environ.items() if name != ONEDNN}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM + code, str(value_file)],
        cwd=ROOT,
        env=inherited | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert value_file.exists(), f"TensorFlow was never imported: {done.stdout}{done.stderr}"
    return value_file.read_text()


@pytest.fixture
def runs(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder of runs with one pipeline, and next to it a text and an empty model."""
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
def test_a_command_sets_the_variable_before_the_import(
    runs: pathlib.Path, command: str, value: str
) -> None:
    arguments = command.format(runs.parent, runs).split()
    code = f"from pipeline.cli.main import main; main({arguments!r})"
    assert onednn_at_import(runs.parent, code, TF_CONFIG="{}") == value


def test_a_benchmark_sets_the_variable_before_the_import(runs: pathlib.Path) -> None:
    assert onednn_at_import(runs.parent, "import benchmarks.training_ours") == "1"


def test_a_variable_that_the_user_set_is_not_changed(runs: pathlib.Path) -> None:
    code = f"from pipeline.worker import work; import pathlib; work(pathlib.Path({str(runs)!r}))"
    assert onednn_at_import(runs.parent, code, TF_CONFIG="{}", **{ONEDNN: "0"}) == "0"
