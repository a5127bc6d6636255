"""Starts commands for tests as forks of a server that has imported TensorFlow already.

Importing TFX takes longer than most tests, so a command is forked from a server that has imported
what every such command imports (tests/testdata/command_server.py). The first command of a kind
starts the server, which ends with this process (pytest, or one of pytest-xdist's workers).
Commands of no kind, such as `python -m pipeline recipes`, are started as new interpreters.

    process = commands.start("pipeline", ["run", "bert_tiny", ...])   # like subprocess.Popen
    done = commands.run("pipeline", ["predict", "embed", "hello"])    # like subprocess.run
    printed = commands.shell("python -m pipeline run ...", folder)    # as a user would type it

A forked command has its own process id, session, signals, streams and exit code. `fresh=True`
starts a new interpreter instead, for tests of the start itself: what is imported when, which
environment variables are read, and whether results depend on the hash seed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence

from tests.testdata import forked_command
from tests.testdata.forked_command import SOCKETS, Command, request

ROOT = pathlib.Path(__file__).resolve().parents[2]

READ_AT_START = ("PYTHON", "LC_", "LANG", "LD_", "OMP_", "TF_CPP_", "TF_ENABLE_", "XLA_")
"""Prefixes of the environment variables that Python and libraries read when they start."""


@dataclasses.dataclass(frozen=True)
class Kind:
    """Commands that are forked from one server.

    Attributes:
        module: the module that `python -m` runs.
        commands: the first arguments of this kind's commands; every command of the module if empty.
        purpose: what the commands call `models.processor.choose_onednn` for, or "any" if they do
            not call it.
        imports: modules that each of the commands imports, and no others, so that a missing import
            in a command is noticed.
    """

    module: str
    commands: tuple[str, ...]
    purpose: str
    imports: tuple[str, ...]

    def has(self, module: str, arguments: Sequence[str]) -> bool:
        """Whether a command is of this kind."""
        first = arguments[0] if arguments else ""
        return module == self.module and (not self.commands or first in self.commands)


KINDS = {
    "run": Kind(
        "pipeline",
        ("run",),
        "training",
        (
            "pipeline.cli.main",
            "pipeline.run",
            "components.serving.check",
            "pipeline.cache_keys",
            "pipeline.dag",
            "pipeline.runners",
            "tfx.orchestration.local.local_dag_runner",
            "pipeline.reporting",
        ),
    ),
    "ask": Kind(
        "pipeline",
        ("predict", "report", "compare", "examples"),
        "serving",
        ("pipeline.cli.main", "tensorflow", "tensorflow_text"),
    ),
    "training_program": Kind(
        "tests.testdata.training_program",
        (),
        "any",
        ("models.registry", "models.training.loop", "tests.testdata.little_families"),
    ),
    "text_to_examples": Kind(
        "tests.components.text_to_examples",
        (),
        "any",
        ("tests.components.text_to_examples",),
    ),
}


AnyCommand = Command | subprocess.Popen[str]


class _Server:
    """A server process; it ends when this object is deleted or this process ends."""

    def __init__(self, kind: Kind, environment: Mapping[str, str]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="commands-")
        self.path = os.path.join(self._folder.name, "socket")
        program = [sys.executable, "-m", "tests.testdata.command_server"]
        self._process = subprocess.Popen(
            [*program, self._folder.name, kind.purpose, *kind.imports],
            cwd=ROOT,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        weakref.finalize(self, self._end, self._process, self._folder)
        while not os.path.exists(self.path):
            if self._process.poll() is not None:
                raise RuntimeError(pathlib.Path(self._folder.name, "log").read_text()[-4000:])
            time.sleep(0.05)

    @staticmethod
    def _end(process: subprocess.Popen[bytes], folder: tempfile.TemporaryDirectory[str]) -> None:
        assert process.stdin is not None
        process.stdin.close()
        process.wait()
        folder.cleanup()


_servers: dict[tuple[str, frozenset[tuple[str, str]]], _Server] = {}


def _socket(module: str, arguments: Sequence[str], environment: Mapping[str, str]) -> str | None:
    """The path of the socket of a command's server; the server is started if it is not running.

    Returns:
        None for commands of no kind, and for a third environment of a kind, for which no server is
        started.
    """
    name = next((name for name, kind in KINDS.items() if kind.has(module, arguments)), None)
    if name is None:
        return None
    start = frozenset(item for item in environment.items() if item[0].startswith(READ_AT_START))
    if (name, start) not in _servers:
        if sum(kind == name for kind, _ in _servers) == 2:
            return None
        _servers[name, start] = _Server(KINDS[name], environment)
    return _servers[name, start].path


def start(
    module: str,
    arguments: Sequence[str],
    *,
    cwd: str | pathlib.Path = ROOT,
    env: Mapping[str, str] | None = None,
    new_session: bool = False,
    fresh: bool = False,
) -> AnyCommand:
    """Starts `python -m module`, without input; its outputs are one pipe, `stdout`.

    Args:
        module: a module that is run as a program.
        arguments: the arguments of the program.
        cwd: its working directory.
        env: its whole environment; None means the environment of this process.
        new_session: start a new session, so that all processes of the command can be killed.
        fresh: start a new interpreter instead of a fork.
    """
    environment = os.environ if env is None else env
    path = None if fresh else _socket(module, arguments, environment)
    if path is None:
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=cwd,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=new_session,
        )
    read, write = os.pipe()
    with open(os.devnull) as nothing, open(write, "wb"):
        streams = [nothing.fileno(), write, write]
        connection = request(path, module, arguments, cwd, environment, streams, new_session)
        return Command(connection, open(read, encoding="utf-8"))


def run(
    module: str,
    arguments: Sequence[str],
    *,
    cwd: str | pathlib.Path = ROOT,
    env: Mapping[str, str] | None = None,
    input: str = "",
    timeout: float = 900.0,
    fresh: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Runs `python -m module`; returns its exit code, standard output and standard error."""
    environment = os.environ if env is None else env
    path = None if fresh else _socket(module, arguments, environment)
    if path is None:
        return subprocess.run(
            [sys.executable, "-m", module, *arguments], cwd=cwd, env=dict(environment),
            input=input, capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip
    with contextlib.ExitStack() as files:
        stdin, out, err = (files.enter_context(tempfile.TemporaryFile("w+")) for _ in range(3))
        stdin.write(input)
        stdin.seek(0)
        streams = [file.fileno() for file in (stdin, out, err)]
        command = Command(
            request(path, module, arguments, cwd, environment, streams, False), stdout=None
        )
        try:
            code = command.wait(timeout)
        except BaseException:
            command.kill()
            raise
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess([*arguments], code, out.read(), err.read())


def shell(
    script: str, folder: pathlib.Path, *, code: int = 0, env: Mapping[str, str] | None = None
) -> str:
    """Runs a script in a shell as a user would type it; returns its output.

    `python` is that of this environment, and `python -m pipeline` is forked. The script ends when a
    command fails.

    Args:
        script: lines of bash.
        folder: the working directory.
        code: the exit code that is asserted.
        env: environment variables to add.
    """
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | (env or {})
    sockets = {
        name: _socket(kind.module, [command], environment)
        for kind in KINDS.values()
        for command in kind.commands or ("",)
        if f"-m {(name := f'{kind.module} {command}'.strip())}" in script
    }
    with _relay() as programs:
        environment["PATH"] = os.pathsep.join(
            [programs, str(pathlib.Path(sys.executable).parent), environment["PATH"]]
        )
        environment[SOCKETS] = json.dumps(sockets)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=folder, env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=1200, check=False,
        )  # fmt: skip
    assert done.returncode == code, done.stdout[-8000:]
    return done.stdout


@contextlib.contextmanager
def _relay() -> Iterator[str]:
    """A folder with a program `python` that passes `python -m pipeline` to the servers."""
    with tempfile.TemporaryDirectory() as folder:
        program = pathlib.Path(folder, "python")
        program.write_text(
            f'#!/bin/sh\nexec "{sys.executable}" -IS "{forked_command.__file__}" "$@"\n'
        )
        program.chmod(0o755)
        yield folder
