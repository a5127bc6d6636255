"""A forked command behaves like a new process: arguments, streams, session, signals, exit."""

import atexit
import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from tests.testdata import commands

THIS = "tests.commands_test"


@pytest.fixture(autouse=True, name="kind")
def _kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes this file a kind of command, whose servers import only json."""
    monkeypatch.setitem(commands.KINDS, "this", commands.Kind(THIS, (), "any", ("json",)))
    monkeypatch.setattr(commands, "_servers", {})  # each test has servers of its own


def run_main(*arguments: str, **named: object) -> dict[str, object]:
    """Runs `main` as a command; returns what it printed about its process."""
    done = commands.run(THIS, arguments, **named)  # type: ignore[arg-type]
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_a_forked_command_has_the_environment_of_a_new_interpreter(tmp_path: pathlib.Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(commands.ROOT), "WORD": "a"}
    options = {"cwd": tmp_path, "env": environment, "input": "some text"}
    forked = run_main("x y", "--z", **options)
    assert forked == run_main("x y", "--z", fresh=True, **options) | {"forked": True}
    assert forked["directory"] == str(tmp_path)
    assert forked["environment"] == environment


def test_a_variable_that_python_reads_at_its_start_needs_another_server() -> None:
    for number in (1, 2, 3):
        found = run_main(env=os.environ | {"PYTHONPATH": f"{commands.ROOT}:/{number}"})
        assert f"/{number}" in found["path"]  # type: ignore[operator]
    assert not found["forked"]  # a third environment gets a new interpreter


def test_a_forked_command_exits_like_a_program() -> None:
    done = commands.run(THIS, ["sys.exit(3);"])
    assert (done.returncode, done.stdout, done.stderr) == (3, "at exit\n", "")
    done = commands.run(THIS, ["1 / 0;"])
    assert (done.returncode, done.stdout) == (1, "at exit\n")
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_both_outputs_are_one_pipe_and_the_session_can_be_killed() -> None:
    process = commands.start(
        THIS, ["print(1, flush=True); os.system('sleep 60 & echo 2 >&2; sleep 60');"],
        new_session=True,
    )  # fmt: skip
    assert isinstance(process, commands.Command)
    assert [next(process.stdout) for _ in range(2)] == ["1\n", "2\n"]
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.communicate(timeout=0.1)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait(10) == -signal.SIGKILL
    assert process.poll() == -signal.SIGKILL


def test_a_forked_command_receives_signals() -> None:
    for number, code in ((signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, -signal.SIGINT)):
        process = commands.start(THIS, ["print('ready', flush=True); signal.pause();"])
        assert process.stdout is not None
        assert next(iter(process.stdout)) == "ready\n"
        process.send_signal(number)
        printed, _ = process.communicate(timeout=20)
        assert process.returncode == code
        assert ("KeyboardInterrupt" in printed) == (number == signal.SIGINT)


def test_commands_of_a_shell_are_forked(tmp_path: pathlib.Path) -> None:
    script = f"""
        echo text | python -m {THIS} | python -c 'import json; print(json.load(open(0))["forked"])'
        python -m {THIS} 'print(os.getcwd());'
        python -m {THIS} 'sys.exit(3);' || echo "code $?"
    """
    assert commands.shell(script, tmp_path).split("\n") == [
        "True", str(tmp_path), "at exit", "at exit", "code 3", "",
    ]  # fmt: skip
    assert commands.shell(f"python -m {THIS} 'os.kill(os.getpid(), 9);'", tmp_path, code=137) == ""


def main(code: str = "", *_: str) -> None:
    """Runs some code, or prints what this process has as JSON."""
    if code.endswith(";"):
        atexit.register(print, "at exit")
        exec(code)
    else:
        process = {
            "arguments": sys.argv[1:],
            "directory": os.getcwd(),
            "environment": dict(os.environ),
            "input": sys.stdin.read(),
            "path": sys.path,
            "forked": "tests.testdata.command_server" in sys.orig_argv,
        }
        print(json.dumps(process))


if __name__ == "__main__":
    main(*sys.argv[1:])
