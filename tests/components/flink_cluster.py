"""Starts a local Flink cluster with Beam's job server, for tests.

It runs what `make flink` downloads: a job manager, task managers with two slots each, and the job
server. Each is a separate process that can be killed, as in a real cluster.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator

_CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache"))
JARS = _CACHE / "polyseme" / "flink"
"""The folder in which `make flink` stores the jars."""

MISSING = None
if shutil.which("java") is None:
    MISSING = "no Java: apt-get install default-jre-headless maven"
elif not (JARS / "complete").exists():
    MISSING = "no Flink: make flink"

_OPENED = ("lang", "lang.reflect", "util", "util.concurrent", "util.concurrent.atomic", "net", "io",
           "nio", "text", "time")  # fmt: skip
_JAVA = ["java", "-Xmx640m", "-XX:MaxDirectMemorySize=640m", "-cp", f"{JARS}/*"]
_JAVA += [f"--add-opens=java.base/java.{package}=ALL-UNNAMED" for package in _OPENED]
_SECONDS = 120


class FlinkCluster:
    """The processes of a cluster.

    Attributes:
        flags: Beam flags that run a pipeline on the cluster.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        rpc, rest, jobs, artifacts = _free_ports(4)
        self._folder = folder
        self._overview = f"http://localhost:{rest}/overview"
        self._task_managers: list[subprocess.Popen[bytes]] = []
        self._started = 0
        (folder / "flink-conf.yaml").write_text(
            f"""jobmanager.rpc.address: localhost
jobmanager.rpc.port: {rpc}
jobmanager.memory.heap.size: 512m
rest.address: localhost
rest.port: {rest}
taskmanager.host: localhost
taskmanager.numberOfTaskSlots: 2
taskmanager.cpu.cores: 2
taskmanager.memory.task.heap.size: 256m
taskmanager.memory.task.off-heap.size: 64m
taskmanager.memory.network.min: 256m
taskmanager.memory.network.max: 256m
taskmanager.memory.managed.size: 128m
taskmanager.memory.framework.heap.size: 128m
taskmanager.memory.framework.off-heap.size: 128m
taskmanager.memory.jvm-metaspace.size: 256m
taskmanager.memory.jvm-overhead.min: 64m
taskmanager.memory.jvm-overhead.max: 64m
restart-strategy.type: fixed-delay
restart-strategy.fixed-delay.attempts: 3
restart-strategy.fixed-delay.delay: 1 s
heartbeat.interval: 1000
heartbeat.timeout: 5000
"""
        )
        self._processes = [
            self._start("org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"),
            self._start(
                "org.apache.beam.runners.flink.FlinkJobServerDriver",
                f"--flink-master=localhost:{rest}", "--job-host=localhost",
                f"--job-port={jobs}", f"--artifact-port={artifacts}", "--expansion-port=0",
                f"--artifacts-dir={folder / 'staged'}",
            ),
        ]  # fmt: skip
        self.flags = (
            "--runner=PortableRunner",
            f"--job_endpoint=localhost:{jobs}",
            "--environment_type=LOOPBACK",
            "--parallelism=2",
        )
        self._jobs = jobs
        self.start_task_manager()

    def wait(self) -> None:
        """Waits until the cluster accepts jobs."""
        _wait_for(lambda: self.slots() == 2, "the slots of the task manager")
        _wait_for(lambda: _listens(self._jobs), "the job server")

    def start_task_manager(self) -> None:
        """Starts another task manager, with two slots."""
        self._task_managers.append(
            self._start("org.apache.flink.runtime.taskexecutor.TaskManagerRunner")
        )

    def kill_task_manager(self) -> None:
        """Kills the oldest task manager by SIGKILL."""
        process = self._task_managers.pop(0)
        process.kill()
        process.wait()

    def slots(self) -> int:
        """Number of slots of all task managers that are registered."""
        try:
            with urllib.request.urlopen(self._overview, timeout=5) as answer:
                return int(json.load(answer)["slots-total"])
        except OSError:
            return 0

    def stop(self) -> None:
        """Kills all processes."""
        for process in (*self._task_managers, *self._processes):
            process.kill()
            process.wait()

    def _start(self, main: str, *arguments: str) -> subprocess.Popen[bytes]:
        self._started += 1
        log = self._folder / f"{self._started}-{main.rpartition('.')[2]}.log"
        if main.startswith("org.apache.flink"):
            arguments = ("--configDir", str(self._folder))
        with log.open("wb") as stream:
            return subprocess.Popen([*_JAVA, main, *arguments], stdout=stream, stderr=stream)


@contextlib.contextmanager
def flink_cluster(folder: pathlib.Path) -> Iterator[FlinkCluster]:
    """Starts a cluster and stops it when the context ends; its logs are kept in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    cluster = FlinkCluster(folder)
    try:
        cluster.wait()
        yield cluster
    finally:
        cluster.stop()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("localhost", 0))
        return [each.getsockname()[1] for each in sockets]


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("localhost", port)) == 0


def _wait_for(is_true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _SECONDS
    while not is_true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {_SECONDS} s for {what}")
        time.sleep(0.5)
