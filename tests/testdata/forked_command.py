"""The client of the command server: forked commands, and the program `python` for a shell.

    python -IS tests/testdata/forked_command.py -m MODULE ARGUMENT...

does the same as `python -m MODULE ARGUMENT...`: as a fork of the server that
`POLYSEME_COMMAND_SERVERS` names for the command, or as a new interpreter if it names none. It
starts in 30 ms, because it imports only the standard library.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence

SOCKETS = "POLYSEME_COMMAND_SERVERS"
"""The environment variable that holds the sockets of servers by "MODULE COMMAND", as JSON."""


class Command:
    """A forked command, with the part of the interface of `subprocess.Popen` that tests need.

    Attributes:
        pid: the process's id.
        returncode: its exit code, a negative signal number, or None if its end is not known yet.
        stdout: its standard output, if that is a pipe.
    """

    def __init__(self, connection: socket.socket, stdout: io.TextIOWrapper | None) -> None:
        self.returncode: int | None = None
        self.stdout = stdout
        self._connection = connection
        self._answer = b""
        self._reader: threading.Thread | None = None
        self._output = ""
        self.pid = int(self._line(None))

    def poll(self) -> int | None:
        """The exit code, or None if the command is still running."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0.0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the end; returns the exit code.

        Raises:
            subprocess.TimeoutExpired: the command has not ended after this many seconds.
        """
        if self.returncode is None:
            self.returncode = int(self._line(timeout))
            self._connection.close()
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, None]:
        """Waits for the end; returns the output that was not read yet."""
        if self._reader is None:
            self._reader = threading.Thread(target=self._read, daemon=True)
            self._reader.start()
        self._reader.join(timeout)
        if self._reader.is_alive():
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
        self.wait(timeout)
        return self._output, None

    def _read(self) -> None:
        assert self.stdout is not None
        with self.stdout:
            self._output = self.stdout.read()

    def send_signal(self, number: int) -> None:
        """Sends a signal, if the command is still running."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _line(self, timeout: float | None) -> str:
        """The server's next line."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while b"\n" not in self._answer:
            left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            self._connection.settimeout(left)
            try:
                part = self._connection.recv(100)
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired("a forked command", timeout or 0.0) from None
            if not part:
                raise RuntimeError("the command server ended before the command")
            self._answer += part
        line, self._answer = self._answer.split(b"\n", 1)
        return line.decode()


def request(
    path: str, module: str, arguments: Sequence[str], directory: str | pathlib.Path,
    environment: Mapping[str, str], streams: Sequence[int], new_session: bool,
) -> socket.socket:  # fmt: skip
    """Requests a command from the server at `path`; returns the connection for its answers."""
    message = {
        "module": module,
        "arguments": [*arguments],
        "directory": str(directory),
        "environment": {**environment},
        "new_session": new_session,
    }
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    encoded = json.dumps(message).encode() + b"\n"
    sent = socket.send_fds(connection, [encoded], [*streams])
    connection.sendall(encoded[sent:])
    return connection


def main(arguments: Sequence[str]) -> None:
    """The program `python` of `shell`: passes a command to its server, or runs it itself."""
    sockets = json.loads(os.environ[SOCKETS])
    path = None
    if arguments[:1] == ["-m"]:
        _, module, *rest = arguments
        path = sockets.get(" ".join([module, *rest[:1]]), sockets.get(module))
    if path is None:
        os.execv(sys.executable, [sys.executable, *arguments])
    command = Command(
        request(path, module, rest, os.getcwd(), os.environ, [0, 1, 2], False), stdout=None
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        # Not `send_signal`, which makes the connection non-blocking while `wait` reads from it.
        signal.signal(number, lambda number, _: os.kill(command.pid, number))
    code = command.wait()
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main(sys.argv[1:])
