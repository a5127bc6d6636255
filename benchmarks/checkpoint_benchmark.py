"""How long checkpoints delay the training steps of a BERT (4 layers, hidden size 512, 8 heads).

    python -m benchmarks.checkpoint_benchmark [--steps 24] [--every 4]

The step is that of the training benchmark. Prints the time of steps without checkpoints, of `save`,
and of steps while a checkpoint is written. Prints also the stall: the extra time of `save` and all
steps up to the next save.
"""

from __future__ import annotations

import argparse
import itertools
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence

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
    parser.add_argument("--every", type=int, default=4, help="steps between two saves")
    options = parser.parse_args()
    print_processor()
    keep_freed_memory()
    step, variables = _timed_step()
    step()  # compiles
    number = tf.Variable(0, dtype=tf.int64)
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(pathlib.Path(folder), number, 1, [number, *variables])
        undisturbed = [step() for _ in range(options.steps)]
        saves, steps_after_save = [], []
        for _ in range(options.steps // options.every):
            number.assign_add(1)
            start = time.perf_counter()
            checkpoints.save()
            saves.append(time.perf_counter() - start)
            steps_after_save.append([step() for _ in range(options.every)])
        checkpoints.close()
        size = sum(path.stat().st_size for path in pathlib.Path(folder).glob("ckpt-*.data*"))
    print(f"checkpoint {size / 1e6:.0f} MB")
    _report(undisturbed, saves, steps_after_save)


def _timed_step() -> tuple[Callable[[], float], list[tf.Variable]]:
    """A function that runs a training step and returns its seconds; and all variables."""
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
        start = time.perf_counter()
        float(steps(next(data), False)["loss"][0])
        return time.perf_counter() - start

    return step, [v.value for v in (*model.variables, *optimizer.variables)]


def _report(
    undisturbed: Sequence[float],
    saves: Sequence[float],
    steps_after_save: Sequence[Sequence[float]],
) -> None:
    """Prints the times, given in seconds."""
    usual = statistics.median(undisturbed)
    stalls = [
        save + sum(steps) - len(steps) * usual
        for save, steps in zip(saves, steps_after_save, strict=True)
    ]
    first_steps = [steps[0] for steps in steps_after_save]
    print(f"step without checkpoints: {usual * 1e3:.0f} ms, minimum {min(undisturbed) * 1e3:.0f}")
    print(f"save: {statistics.median(saves) * 1e3:.0f} ms, maximum {max(saves) * 1e3:.0f}")
    print(f"first step after a save: {statistics.median(first_steps) * 1e3:.0f} ms")
    print(
        f"stall of a save: {statistics.median(stalls) * 1e3:.0f} ms,"
        f" {statistics.median(stalls) / usual:.2f} of a step; maximum {max(stalls) / usual:.2f}"
    )


if __name__ == "__main__":
    main()
