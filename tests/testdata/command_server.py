"""A server that has imported the heavy libraries and forks a child for each command of a test.

    python -m tests.testdata.command_server FOLDER PURPOSE MODULE...

Importing TFX takes 8 seconds of CPU time, which every `python -m pipeline run` would spend again.
This process imports the modules once, starts no thread and does not initialize TensorFlow's
runtime. For each request on the UNIX socket FOLDER/socket it forks a child, which runs
`python -m MODULE` as a new interpreter would: with the request's arguments, working directory,
environment, standard streams and session, and with an interpreter's normal exit. The server
ends when its standard input is closed. Tests use it through tests/testdata/commands.py.

Unlike new interpreters, all children have the same hash seed of strings, and the server's values of
the environment variables that Python and libraries read at their start (`commands.READ_AT_START`).
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
from typing import Any, Literal

from models.processor import choose_onednn

Purpose = Literal["training", "serving", "any"]
MESSAGE_BYTES = 1 << 16


def receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Reads a request.

    Returns:
        The request, and the descriptors of the child's standard input, output and error.
    """
    message, descriptors, _, _ = socket.recv_fds(connection, MESSAGE_BYTES, 3)
    while not message.endswith(b"\n"):
        message += connection.recv(MESSAGE_BYTES)
    return json.loads(message), descriptors


def become(request: dict[str, Any], descriptors: list[int], imported: dict[bytes, bytes]) -> None:
    """Gives this process, a forked child, the state of a new interpreter for the request.

    Args:
        request: `module`, `arguments`, `directory`, `environment` and `new_session`.
        descriptors: standard input, output and error.
        imported: the environment variables that Python's start and the imports have set.
    """
    for target, descriptor in enumerate(descriptors):
        os.dup2(descriptor, target)
        os.close(descriptor)
    if request["new_session"]:
        os.setsid()
    # If a shell started the tests in the background, SIGINT is ignored, and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(request["directory"])
    os.environ.clear()
    os.environb.update(imported)
    os.environ.update(request["environment"])
    sys.argv[1:] = request["arguments"]
    sys.path[0] = request["directory"]
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()


def serve(folder: str, purpose: Purpose, modules: list[str]) -> dict[str, Any]:
    """Prepares the process as commands do, imports the modules, and forks children on request.

    Args:
        folder: the folder for the socket, and for the file `log` with the output of the imports.
        purpose: what the commands call `choose_onednn` for, "training" or "serving", which must
            happen before TensorFlow is imported; "any" if they do not call it.
        modules: the modules to import.

    Returns:
        The request. Only a child returns; the server never does.
    """
    # Nobody reads the pipes that the server's streams were opened on.
    log = os.open(os.path.join(folder, "log"), os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    with open("/proc/self/environ", "rb") as stream:  # the environment before Python changed it
        before = dict(item.split(b"=", 1) for item in stream.read().split(b"\0") if item)
    if purpose in ("training", "serving"):
        choose_onednn(purpose)
    if purpose == "serving":
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # as console.quiet_imports does
    for module in modules:
        importlib.import_module(module)
    imported = {name: value for name, value in os.environb.items() if before.get(name) != value}
    gc.collect()
    gc.freeze()  # a child's collections then leave the shared memory alone
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.path.join(folder, "socket"))
    listener.listen()
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    selector.register(sys.stdin, selectors.EVENT_READ)
    children: dict[int, tuple[int, socket.socket]] = {}  # pidfd -> pid, connection
    while True:
        for key, _ in selector.select():
            if key.fileobj is sys.stdin:
                os._exit(0)
            if key.fileobj is not listener:
                pid, connection = children.pop(key.fd)
                selector.unregister(key.fd)
                os.close(key.fd)
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                with contextlib.suppress(BrokenPipeError):  # the client may have stopped waiting
                    connection.sendall(f"{code}\n".encode())
                connection.close()
                continue
            connection, _ = listener.accept()
            request, descriptors = receive(connection)
            pid = os.fork()
            if pid == 0:
                selector.close()
                listener.close()
                connection.close()
                for pidfd, (_, other) in children.items():
                    os.close(pidfd)
                    other.close()
                become(request, descriptors, imported)
                return request
            for descriptor in descriptors:
                os.close(descriptor)
            connection.sendall(f"{pid}\n".encode())
            pidfd = os.pidfd_open(pid)
            children[pidfd] = pid, connection
            selector.register(pidfd, selectors.EVENT_READ)


def main(folder: str, purpose: Purpose, *modules: str) -> None:
    request = serve(folder, purpose, list(modules))
    runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(*sys.argv[1:])  # type: ignore[arg-type]
