"""What a step waits for a checkpoint: BERT 4/512/8 in training, saved again and again.

    python -m benchmarks.checkpoint_benchmark [--steps 24] [--every 4]

The step is the training benchmark's. Prints the time of steps far from a save, of `save`, and of
the steps beside which a checkpoint is written, and the stall: how much longer a save makes the
steps up to the next one, all together.
"""

from __future__ import annotations

import argparse
import itertools
import pathlib
import statistics
import tempfile
import time

import keras
import tensorflow as tf

from benchmarks.cores import print_processor
from benchmarks.training_batches import SHAPES, batches
from benchmarks.training_ours import OPTIMIZERS, build
from models.memory import keep_freed_memory
from models.training.checkpoints import Checkpoints
from models.training.config import TrainingConfig
from models.training.devices import Devices
from models.training.optimizer import build_optimizer
from models.training.step import compile_steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--every", type=int, default=4, help="steps from save to save")
    options = parser.parse_args()
    print_processor()
    keep_freed_memory()
    keras.utils.set_random_seed(0)
    model, objective = build("bert", SHAPES["bert"])
    config = TrainingConfig(
        batch_size=SHAPES["bert"].batch, jit_compile=False, optimizer=OPTIMIZERS["bert"]
    )
    optimizer = build_optimizer(config.optimizer, config.steps)
    optimizer.build(model.trainable_variables)
    steps = compile_steps(model, objective, optimizer, config, Devices())
    data = itertools.cycle(
        {name: tf.constant(value)[tf.newaxis] for name, value in batch.items()}
        for batch in batches("bert", 4)
    )

    def step() -> float:
        begun = time.perf_counter()
        float(steps(next(data), False)["loss"][0])
        return time.perf_counter() - begun

    step()
    variables = [v.value for v in (*model.variables, *optimizer.variables)]
    number = tf.Variable(0, dtype=tf.int64)
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(pathlib.Path(folder), number, 1, [number, *variables])
        quiet = [step() for _ in range(options.steps)]
        saves, beside = [], []
        for _ in range(options.steps // options.every):
            number.assign_add(1)
            begun = time.perf_counter()
            checkpoints.save()
            saves.append(time.perf_counter() - begun)
            beside.append([step() for _ in range(options.every)])
        checkpoints.close()
        size = sum(path.stat().st_size for path in pathlib.Path(folder).glob("ckpt-*.data*"))
    usual = statistics.median(quiet)
    stalls = [
        save + sum(each) - options.every * usual for save, each in zip(saves, beside, strict=True)
    ]
    print(f"checkpoint {size / 1e6:.0f} MB")
    print(f"step, nothing saved: {usual * 1e3:.0f} ms ({min(quiet) * 1e3:.0f} at the least)")
    print(f"save: {statistics.median(saves) * 1e3:.0f} ms, {max(saves) * 1e3:.0f} at the most")
    print(f"step after it: {statistics.median(each[0] for each in beside) * 1e3:.0f} ms")
    print(
        f"stall of a save: {statistics.median(stalls) * 1e3:.0f} ms,"
        f" {statistics.median(stalls) / usual:.2f} of a step; at the most"
        f" {max(stalls) / usual:.2f}"
    )


if __name__ == "__main__":
    main()
