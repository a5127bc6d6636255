"""Commands with closed streams, arguments that are not UTF-8, and narrow terminals."""

import json
import os
import pathlib
import shlex
import subprocess
import sys

import pytest

from models.errors import ConfigError
from pipeline.config import PipelineConfig
from pipeline.span_history import Attempt, write_attempt
from pipeline.terminal.streams import check_encoding

_ROOT = pathlib.Path(__file__).parents[3]
_PLAIN = {"PATH": os.environ["PATH"], "PYTHONPATH": str(_ROOT)}
_ASCII = {**_PLAIN, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Runs of one pipeline whose input has a Chinese name."""
    runs = tmp_path_factory.mktemp("runs")
    (runs / "mine").mkdir()
    text = f'"input": "{runs}/新闻-{{SPAN}}.txt"'
    config = PipelineConfig(name="mine", runs=str(runs)).to_json().replace('"input": ""', text)
    (runs / "mine" / "config.json").write_text(config, encoding="utf-8")
    (runs / "新闻-1.txt").touch()
    for number in range(300):  # more than a pipe holds
        write_attempt(runs / "mine", Attempt(f"{number}", number, "新" * 50, reason="x" * 200))
    return runs


def shell(command: str, **environment: str) -> tuple[int, bytes, bytes]:
    """Exit code of the first command, output and errors of a bash line that runs the pipeline."""
    python = shlex.quote(sys.executable)
    line = command.replace("pipeline ", f"{python} -m pipeline ", 1)
    done = subprocess.run(
        ["bash", "-c", f"{line}; exit ${{PIPESTATUS[0]}}"],
        cwd=_ROOT,
        capture_output=True,
        env=environment or _PLAIN,
        timeout=120,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "command",
    [
        "pipeline spans --runs {runs} | head -1",
        "pipeline spans --json --runs {runs} | head -1",
        "pipeline spans --runs {runs} | true",
        "pipeline recipes | head -1",
        "pipeline --help | true",
        "pipeline spans --runs {runs} >&-",
        "pipeline spans --runs {runs} <&- >&- 2>&-",
    ],
)
def test_a_reader_that_stops_reading_causes_no_error(command: str, runs: pathlib.Path) -> None:
    assert shell(command.replace("{runs}", str(runs)))[::2] == (0, b"")


def test_an_error_has_its_exit_code_even_if_nobody_can_read_its_message() -> None:
    for closed in ("2>&-", "<&- >&- 2>&-", "2>/dev/full"):
        code, _, _ = shell(f"pipeline spans --runs nowhere {closed}")
        assert code == 2, closed


def test_output_to_a_full_disk_is_an_error() -> None:
    code, _, error = shell("pipeline recipes > /dev/full")
    assert (code, error.splitlines()[0]) == (1, b"error: the disk is full")
    assert len(error.splitlines()) < 5


@pytest.mark.parametrize(
    "command",
    [
        "spans --runs $'caf\\xe9'",
        "run bert_tiny --input $'caf\\xe9'",
        "run bert_tiny --input x --set $'vocabulary.file=caf\\xe9'",
        "recipes $'caf\\xe9'",
        "lineage $'caf\\xe9'",
        "compare $'caf\\xe9' b",
        "prune --name $'caf\\xe9'",
    ],
)
def test_arguments_that_are_not_utf_8_are_refused(command: str) -> None:
    code, output, error = shell(f"pipeline {command}")
    assert (code, output) == (2, b"")
    first, where, remedy = error.decode().splitlines()
    assert first == "error: an argument is not UTF-8"
    assert where.endswith("caf\\xe9")
    assert remedy.startswith("  to do: ")


def test_output_in_the_ascii_locale_is_escaped(runs: pathlib.Path) -> None:
    code, output, error = shell(f"pipeline spans --runs {runs}", **_ASCII)
    assert (code, error) == (0, b"")
    assert b"\\u65b0" in output
    code, output, error = shell(f"pipeline spans --json --runs {runs}", **_ASCII)
    assert (code, error) == (0, b"")
    assert "新" in json.loads(output)["spans"][0]["label"]
    code, _, error = shell("pipeline spans --runs 新", **_ASCII)
    assert code == 2
    assert b"the locale's encoding is ascii" in error
    assert b"set LC_ALL=C.UTF-8" in error


@pytest.mark.parametrize("columns", ["0", "1", "7", "none"])
@pytest.mark.parametrize("command", ["--help", "spans --runs {runs}", "run x --inptu y"])
def test_commands_print_on_a_narrow_terminal(
    command: str, columns: str, runs: pathlib.Path
) -> None:
    command = f"pipeline {command.replace('{runs}', str(runs))}"
    code, output, error = shell(command, **_PLAIN, COLUMNS=columns)
    assert code == (2 if "inptu" in command else 0)
    assert len(output + error) > 100
    assert b"Traceback" not in error


@pytest.mark.parametrize("command", ["spans", "report", "run bert_tiny --input x"])
def test_an_unknown_home_folder_is_refused(command: str) -> None:
    code, _, error = shell(f"pipeline {command} --runs '~nobody-of-this-name/runs'")
    assert code == 2
    assert b"error: the home folder ~ is unknown" in error
    assert b"set HOME" in error


def test_arguments_in_utf_8_are_accepted_and_others_are_shown_shortened() -> None:
    check_encoding(["run", "新闻", "--input", "a b\nc", ""])
    with pytest.raises(ConfigError, match="not UTF-8") as refused:
        check_encoding(["a" * 10_000 + "\udcff"])
    assert len(refused.value.where or "") <= 200


def test_a_run_continues_if_its_progress_cannot_be_printed(tmp_path: pathlib.Path) -> None:
    program = (
        "import logging, pathlib, sys, time\n"
        "from pipeline.terminal.console import quiet_libraries\n"
        "from pipeline.terminal.streams import show, standard_streams\n"
        "with standard_streams():\n"
        "    with quiet_libraries(pathlib.Path(sys.argv[1])) as console:\n"
        "        for _ in range(1000):\n"
        "            console.print('progress ' * 20)\n"
        "            logging.getLogger('polyseme').info('more')\n"
        "    show(lambda: print('the table'))\n"
        "    pathlib.Path(sys.argv[2]).touch()\n"
        "sys.exit(4)\n"
    )
    for number, redirection in enumerate(("| true", "> /dev/full", ">&-")):
        log, finished = tmp_path / "log", tmp_path / f"{number}"
        command = [sys.executable, "-c", program, str(log), str(finished)]
        done = subprocess.run(
            ["bash", "-c", f"{shlex.join(command)} {redirection}; exit ${{PIPESTATUS[0]}}"],
            cwd=_ROOT,
            capture_output=True,
        )
        assert (done.returncode, done.stderr) == (4, b""), redirection
        assert finished.exists()
