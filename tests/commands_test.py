"""A forked command behaves as a program of its own: arguments, streams, session, signals, end."""

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
    """Makes this file, run as a program, a kind of command: its servers import json alone."""
    monkeypatch.setitem(commands.KINDS, "this", commands.Kind(THIS, (), "any", ("json",)))
    monkeypatch.setattr(commands, "_servers", {})  # each test has servers of its own


def seen(*arguments: str, **named: object) -> dict[str, object]:
    """What the program below says of itself."""
    done = commands.run(THIS, arguments, **named)  # type: ignore[arg-type]
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_it_sees_what_a_new_interpreter_sees(tmp_path: pathlib.Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(commands.ROOT), "WORD": "a"}
    given = {"cwd": tmp_path, "env": environment, "input": "told"}
    forked = seen("x y", "--z", **given)
    assert forked == seen("x y", "--z", fresh=True, **given) | {"forked": True}
    assert forked["directory"] == str(tmp_path)
    assert forked["environment"] == environment


def test_a_variable_that_python_reads_at_its_start_costs_a_server_or_an_interpreter() -> None:
    for number in (1, 2, 3):
        found = seen(env=os.environ | {"PYTHONPATH": f"{commands.ROOT}:/{number}"})
        assert f"/{number}" in found["path"]  # type: ignore[operator]
    assert not found["forked"]  # a third environment is not worth a server


def test_it_ends_as_a_program_ends() -> None:
    done = commands.run(THIS, ["sys.exit(3);"])
    assert (done.returncode, done.stdout, done.stderr) == (3, "at the end\n", "")
    done = commands.run(THIS, ["1 / 0;"])
    assert (done.returncode, done.stdout) == (1, "at the end\n")
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_outputs_are_one_pipe_and_its_session_can_be_killed() -> None:
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


def test_signals_reach_it() -> None:
    for number, code in ((signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, -signal.SIGINT)):
        process = commands.start(THIS, ["print('ready', flush=True); signal.pause();"])
        assert process.stdout is not None
        assert next(iter(process.stdout)) == "ready\n"
        process.send_signal(number)
        printed, _ = process.communicate(timeout=20)
        assert process.returncode == code
        assert ("KeyboardInterrupt" in printed) == (number == signal.SIGINT)


def test_a_shell_has_them_forked(tmp_path: pathlib.Path) -> None:
    script = f"""
        echo told | python -m {THIS} | python -c 'import json; print(json.load(open(0))["forked"])'
        python -m {THIS} 'print(os.getcwd());'
        python -m {THIS} 'sys.exit(3);' || echo "code $?"
    """
    assert commands.shell(script, tmp_path).split("\n") == [
        "True", str(tmp_path), "at the end", "at the end", "code 3", "",
    ]  # fmt: skip
    assert commands.shell(f"python -m {THIS} 'os.kill(os.getpid(), 9);'", tmp_path, code=137) == ""


def main(code: str = "", *_: str) -> None:
    """Runs some code, or prints what this process sees."""
    if code.endswith(";"):
        atexit.register(print, "at the end")
        exec(code)
    else:
        here = {
            "arguments": sys.argv[1:],
            "directory": os.getcwd(),
            "environment": dict(os.environ),
            "input": sys.stdin.read(),
            "path": sys.path,
            "forked": "tests.testdata.command_server" in sys.orig_argv,
        }
        print(json.dumps(here))


if __name__ == "__main__":
    main(*sys.argv[1:])
