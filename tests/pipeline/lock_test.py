"""The lock on a folder: who holds it, when it ends, and that a second command exits at once."""

import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from models.errors import ConfigError, InUse
from pipeline.lock import locked
from tests.pipeline.held_lock import held_lock

_ROOT = pathlib.Path(__file__).parents[2]


def test_a_folder_in_use_is_refused_naming_the_process(tmp_path: pathlib.Path) -> None:
    with (
        held_lock(tmp_path) as holder,
        pytest.raises(InUse, match=f"already in use by process {holder.pid}"),
        locked(tmp_path),
    ):
        pass


def test_the_lock_of_a_killed_process_is_released(tmp_path: pathlib.Path) -> None:
    with held_lock(tmp_path) as holder:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with locked(tmp_path):
        assert (tmp_path / "lock").read_text() == str(os.getpid())


def test_a_forked_worker_does_not_keep_the_lock(tmp_path: pathlib.Path) -> None:
    context = multiprocessing.get_context("fork")
    ended = context.Event()
    with locked(tmp_path):
        worker = context.Process(target=ended.wait)
        worker.start()
    try:
        probe = (
            "import pathlib\nfrom pipeline.lock import locked\n"
            f"with locked(pathlib.Path({str(tmp_path)!r})): pass"
        )
        done = subprocess.run([sys.executable, "-c", probe], cwd=_ROOT, capture_output=True)
        assert done.returncode == 0, done.stderr
    finally:
        ended.set()
        worker.join()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_refused(tmp_path: pathlib.Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigError, match="cannot be written"), locked(tmp_path / "mine"):
        pass


def test_a_lock_file_that_is_a_folder_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "lock").mkdir()
    with pytest.raises(ConfigError, match="cannot be written") as caught, locked(tmp_path):
        pass
    assert caught.value.where == str(tmp_path / "lock")


_OVERLAPPING = {
    "run": ["run", "bert_tiny", "--input", "{}/a.jsonl", "--name", "mine"],
    "run whose input is not there": ["run", "bert_tiny", "--input", "{}/b.jsonl", "--name", "mine"],
    "prune": ["prune", "--name", "mine"],
    "rollback": ["rollback", "--name", "mine"],
}
_COMMAND = """
import builtins, sys
from pipeline.cli.main import main
opened, original = [], builtins.open
def spy(file, *arguments, **named):
    opened.append(str(file))
    return original(file, *arguments, **named)
builtins.open = spy
code = main(sys.argv[1:])
read = [file for file in opened if file.endswith((".jsonl", "ingestion.py"))]
heavy = {"tensorflow", "tfx", "apache_beam"} & set(sys.modules)
print(f"code {code}, read {read}, imported {sorted(heavy)}")
"""


@pytest.mark.parametrize("command", _OVERLAPPING.values(), ids=_OVERLAPPING)
def test_a_command_on_a_locked_folder_exits_75_before_any_work(
    tmp_path: pathlib.Path, command: list[str]
) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "Words."}\n')
    folder = tmp_path / "runs" / "mine"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    arguments = [part.replace("{}", str(tmp_path)) for part in command]
    arguments += ["--runs", f"{tmp_path}/runs"]
    with locked(folder):
        done = subprocess.run(
            [sys.executable, "-c", _COMMAND, *arguments], cwd=_ROOT, capture_output=True, text=True
        )
    assert done.stdout == "code 75, read [], imported []\n"
    assert f"error: the folder is already in use by process {os.getpid()}" in done.stderr
    assert f"  where: {folder}" in done.stderr.splitlines()
    assert "  to do: wait until that process has ended" in done.stderr
    assert len(done.stderr.splitlines()) == 3
    assert [path.name for path in folder.iterdir() if path.name != "lock"] == ["config.json"]
