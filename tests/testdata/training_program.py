"""A program that trains a little model, for tests on several devices and tests that kill it.

    python -m tests.testdata.training_program FAMILY FOLDER '{"steps": 50, …}' [CPUS]

Trains on the examples of `FOLDER/examples/Split-train` (`write_examples`) and writes the weights
to `FOLDER/weights-<worker>.npz`. CPUS is the number of logical
devices that TensorFlow splits the processor into.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import logging
import os
import pathlib
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from models.errors import Preempted
from tests.testdata import commands

_TEXTS = 400


def start(
    family: str,
    folder: pathlib.Path,
    training: Mapping[str, Any],
    devices: Mapping[str, Any] | None = None,
    *,
    cpus: int = 1,
    processes: int = 1,
    dropout: float = 0.0,
) -> list[commands.AnyCommand]:
    """Starts the program, as one process or several that train together; stderr is in stdout."""
    settings = {"training": training, "devices": devices or {}, "dropout": dropout}
    arguments = [family, str(folder), json.dumps(settings), str(cpus)]
    addresses = [f"localhost:{port}" for port in free_ports(processes)]
    started = []
    for index in range(processes):
        environment = dict(os.environ) | {"TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": ""}
        if processes > 1:
            task = {"type": "worker", "index": index}
            cluster = {"cluster": {"worker": addresses}, "task": task}
            environment["TF_CONFIG"] = json.dumps(cluster)
        started.append(
            commands.start("tests.testdata.training_program", arguments, env=environment)
        )
    return started


def finish(processes: Sequence[commands.AnyCommand], code: int = 0) -> str:
    """Waits for all processes, which must exit with `code`; returns the output of the first."""
    printed = [process.communicate(timeout=600)[0] for process in processes]
    for process, text in zip(processes, printed, strict=True):
        assert process.returncode == code, f"{process.returncode}: {text[-5000:]}"
    return printed[0]


def losses(folder: pathlib.Path) -> list[float]:
    """The loss of each step."""
    lines = (folder / "run" / "logs" / "training.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["loss"] for line in lines]


def weights(folder: pathlib.Path, worker: int = 0) -> dict[str, np.ndarray]:
    """All variables of the trained model."""
    with np.load(folder / f"weights-{worker}.npz") as saved:
        return dict(saved)


def free_ports(count: int) -> list[int]:
    """Ports of this machine that no process listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("localhost", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def run(
    family_name: str,
    folder: pathlib.Path,
    training_fields: Mapping[str, Any],
    devices_fields: Mapping[str, Any] | None = None,
    dropout: float = 0.0,
) -> None:
    """Trains in this process, as the program does."""
    import tensorflow as tf

    from models.registry import FAMILIES
    from models.settings import from_json
    from models.training.batches import example_batches
    from models.training.config import DevicesConfig, TrainingConfig
    from models.training.devices import Devices
    from models.training.loop import train
    from tests.testdata.little_families import LITTLE, build_model

    training = from_json(TrainingConfig, json.dumps(training_fields))
    devices = Devices(from_json(DevicesConfig, json.dumps(devices_fields or {})))
    family, little = FAMILIES[family_name], LITTLE[family_name]
    config = dataclasses.replace(
        little.CONFIG, backbone=dataclasses.replace(little.CONFIG.backbone, dropout=dropout)
    )
    if family_name == "elmo":
        streams = dataclasses.replace(
            config.objective, num_streams=training.batch_size, num_sampled=0
        )
        config = dataclasses.replace(config, objective=streams)
    tokenizer = little.tokenizer()
    objective = family.build_objective(config.objective, tokenizer)
    tf.config.experimental.enable_op_determinism()
    with devices.scope():
        model = build_model(family, config, tokenizer, seed=1)
    files = [str(path) for path in sorted((folder / "examples/Split-train").glob("*.gz"))]
    spec = objective.feature_spec()
    batches = example_batches(files, training, spec, objective.streams, devices, objective.prepare)
    train(model, objective, batches, training, folder / "run", devices=devices)
    variables = {
        f"{i}": np.asarray(devices.first_replica(v.value)) for i, v in enumerate(model.variables)
    }
    np.savez(folder / f"weights-{devices.worker}.npz", **variables)


def main() -> None:
    settings = json.loads(sys.argv[3])
    import tensorflow as tf

    (cpu,) = tf.config.list_physical_devices("CPU")
    parts = [tf.config.LogicalDeviceConfiguration()] * int(sys.argv[4])
    tf.config.set_logical_device_configuration(cpu, parts)
    logging.basicConfig(level=logging.INFO)
    try:
        run(
            sys.argv[1],
            pathlib.Path(sys.argv[2]),
            settings["training"],
            settings["devices"],
            settings["dropout"],
        )
    except Preempted as error:
        print(error)
        sys.exit(75)


def write_examples(family_name: str, folder: pathlib.Path, streams: int) -> None:
    """Writes two files of examples of 400 little texts, for batches of `streams` streams."""
    import tensorflow as tf

    from models.examples import Serializer
    from models.objective import TokenizedDocument
    from models.registry import FAMILIES
    from tests.testdata.example_files import index_files
    from tests.testdata.little_families import LITTLE

    family, little = FAMILIES[family_name], LITTLE[family_name]
    config = little.CONFIG.objective
    if family_name == "elmo":
        config = dataclasses.replace(config, num_streams=streams)
    tokenizer = little.tokenizer()
    objective = family.build_objective(config, tokenizer)
    (folder / "examples/Split-train").mkdir(parents=True)
    for half in range(2):
        documents = []
        for number in range(half, _TEXTS, 2):
            pieces = objective.split(little.text(number), "en")
            ids = [row.numpy() for row in tokenizer.tokenize(tf.constant(pieces))]
            documents.append(TokenizedDocument.of(f"{number}", "paper", "en", ids))
        serializer = Serializer(objective.feature_spec())
        options = tf.io.TFRecordOptions("GZIP")
        with tf.io.TFRecordWriter(
            str(folder / "examples/Split-train" / f"{half}.gz"), options
        ) as writer:
            for examples in objective.make_examples(
                documents, np.random.default_rng(half), collections.Counter()
            ):
                for text in serializer.serialize_columns(examples):
                    writer.write(text)
    index_files([str(path) for path in sorted((folder / "examples/Split-train").glob("*.gz"))])


def kill(processes: Sequence[commands.AnyCommand], number: signal.Signals) -> list[int]:
    """Sends a signal to all processes and waits; returns their exit codes."""
    for process in processes:
        process.send_signal(number)
    for process in processes:
        process.communicate(timeout=120)
    return [process.returncode for process in processes]


if __name__ == "__main__":
    main()
