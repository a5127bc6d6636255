"""Polyseme's side of the training benchmark, started by training_benchmark.py.

    python -m benchmarks.training_ours FAMILY

Prints a line of JSON that describes the model. Then answers each line of standard input with a line
of JSON: "steps N" with the times of N training steps, and "matmul" with the times of some matrix
products; see `cores.timed` for what is measured.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import time
import types
from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from benchmarks.cores import PEAK_SIZE, answer
from benchmarks.training_batches import (
    ELMO_FILTERS,
    SHAPES,
    SMALL_ELMO_FILTERS,
    SMALL_SHAPES,
    Shape,
    batches,
)
from models.bert.config import BertBackboneConfig, BertObjectiveConfig
from models.elmo.config import ElmoBackboneConfig, ElmoObjectiveConfig
from models.gpt.config import GptBackboneConfig, GptObjectiveConfig
from models.memory import keep_freed_memory
from models.objective import Objective
from models.registry import FAMILIES
from models.training.config import DevicesConfig, OptimizerConfig, TrainingConfig
from models.training.devices import Devices
from models.training.optimizer import build_optimizer
from models.training.platform import with_xla_chosen
from models.training.step import compile_steps

OPTIMIZERS = {
    "bert": OptimizerConfig(),
    "gpt": OptimizerConfig(weight_decay=0.1, beta_2=0.95, epsilon=1e-8, bias_correction=True),
    "elmo": OptimizerConfig(kind="adagrad", learning_rate=0.2, schedule="constant", clip_norm=0.5),
}


def main() -> None:
    options = _arguments()
    keep_freed_memory()
    keras.utils.set_random_seed(0)
    if options.bf16:
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
    shape = (SMALL_SHAPES if options.small else SHAPES)[options.family]
    shape = dataclasses.replace(
        shape, batch=options.batch or shape.batch, num_layers=options.layers or shape.num_layers
    )
    devices = Devices(DevicesConfig(rematerialize=options.rematerialize))
    model, objective = build(options.family, shape)
    config = TrainingConfig(batch_size=shape.batch, optimizer=OPTIMIZERS[options.family])
    pays_on = FAMILIES[options.family].xla_pays_on
    chosen = with_xla_chosen(config, pays_on, model, devices).jit_compile
    jit = chosen if options.jit is None else bool(options.jit)
    config = dataclasses.replace(config, jit_compile=jit)
    step = compile_step(model, objective, config, devices)
    data = [
        {
            name: value[tf.newaxis]
            for name, value in objective.prepare(
                {name: tf.constant(value) for name, value in batch.items()}, shape.batch
            ).items()
        }
        for batch in batches(options.family, options.batches, shape)
    ]
    start = time.perf_counter()
    loss = float(step(data[0])["loss"][0])
    description = {
        "parameters": sum(int(tf.size(w.value)) for w in model.trainable_variables),
        "first_loss": loss,
        "first_seconds": time.perf_counter() - start,
        "versions": f"TensorFlow {tf.__version__}, Keras {keras.__version__}",
        "mode": "XLA" if jit else "no XLA",
        "chosen": jit == chosen,
    }
    print(json.dumps(description), flush=True)
    batch = itertools.cycle(data[1:] + data[:1])
    matrix = tf.random.uniform((PEAK_SIZE, PEAK_SIZE))
    multiply = tf.function(lambda left, right: tf.matmul(left, right))
    answer(
        lambda: float(step(next(batch))["loss"][0]),
        lambda: multiply(matrix, matrix).numpy(),
    )


def build(family: str, shape: Shape) -> tuple[keras.Model, Objective]:
    """A model and its objective, built by the registry."""
    row = FAMILIES[family]
    tokenizer: Any = types.SimpleNamespace(
        vocabulary=[f"w{number}" for number in range(shape.vocabulary)],
        special_ids={"end_of_text": 0},
        token_bytes=[b"w"] * shape.vocabulary,
        word_ids=None,
    )
    backbone, objective = _configs(family, shape)
    built = row.build_objective(objective, tokenizer)
    return built.build_model(row.build_backbone(backbone, tokenizer)), built


def compile_step(
    model: keras.Model, objective: Objective, config: TrainingConfig, devices: Devices
) -> Callable[[Mapping[str, tf.Tensor]], Mapping[str, tf.Tensor]]:
    """The step that `models.training.loop.train` runs; its features are `[1, batch, …]`."""
    optimizer = build_optimizer(config.optimizer, config.steps)
    optimizer.build(model.trainable_variables)
    steps = compile_steps(model, objective, optimizer, config, devices)
    return lambda batch: steps(batch, False)


def _configs(family: str, shape: Shape) -> tuple[Any, Any]:
    if family == "bert":
        return (
            BertBackboneConfig(
                shape.num_layers,
                shape.hidden_size,
                shape.num_heads,
                4 * shape.hidden_size,
                shape.dropout,
            ),
            BertObjectiveConfig(sequence_length=shape.time, max_predictions_per_seq=shape.masks),
        )
    if family == "gpt":
        return (
            GptBackboneConfig(shape.num_layers, shape.hidden_size, shape.num_heads, shape.dropout),
            GptObjectiveConfig(sequence_length=shape.time),
        )
    return (
        ElmoBackboneConfig(
            filters=SMALL_ELMO_FILTERS if shape.units < 1_000 else ELMO_FILTERS,
            num_highways=1,
            num_layers=shape.num_layers,
            units=shape.units,
            projection_size=shape.hidden_size,
            dropout=shape.dropout,
        ),
        ElmoObjectiveConfig(
            unroll_steps=shape.time, num_streams=shape.batch, num_sampled=shape.num_sampled
        ),
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("family", choices=list(SHAPES))
    parser.add_argument("--batches", type=int, default=8)
    parser.add_argument(
        "--jit", type=int, choices=(0, 1), help="without or with XLA; default: as training chooses"
    )
    parser.add_argument("--small", action="store_true", help="a model of the demo's size")
    parser.add_argument("--bf16", action="store_true", help="mixed precision")
    parser.add_argument("--batch", type=int, help="examples of a batch")
    parser.add_argument("--layers", type=int, help="layers of the model")
    parser.add_argument("--rematerialize", action="store_true", help="devices.rematerialize")
    return parser.parse_args()


if __name__ == "__main__":
    main()
