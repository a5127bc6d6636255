"""A hyperparameter search that takes seconds, run as TFX's Tuner runs it."""

from __future__ import annotations

import dataclasses
import json
import pathlib

from tfx.components.trainer.fn_args_utils import FnArgs

from components.tuning import component as tuner
from components.tuning.trials import Search
from components.tuning_config import Hyperparameter, TuningConfig
from models.settings import Affects
from models.training.config import DevicesConfig, OptimizerConfig, TrainingConfig
from tests.components.built_examples import make, write_documents
from tests.testdata import little_bert

RATE, SIZE = "training.optimizer.learning_rate", "training.batch_size"
MODEL = dataclasses.replace(
    little_bert.CONFIG, backbone=dataclasses.replace(little_bert.CONFIG.backbone, num_layers=1)
)
TRAINING = TrainingConfig(
    steps=40, batch_size=8, jit_compile=False, checkpoint_seconds=0.0, log_steps=1,
    shuffle_buffer=64, eval_steps=3, eval_batches=2,
    optimizer=OptimizerConfig(learning_rate=0.01, warmup_steps=20),
)  # fmt: skip


def space(*texts: str) -> tuple[Hyperparameter, ...]:
    return tuple(map(Hyperparameter.parse, texts))


TUNING = TuningConfig(trials=3, steps=4, space=space(f"{RATE}:1e-3..1e-1:log", f"{SIZE}:8/16"))


def build_examples(folder: pathlib.Path) -> pathlib.Path:
    """Training and held-out examples for the search's model."""
    make(folder, write_documents(folder / "documents"), model=MODEL)
    return folder / "examples"


def arguments(
    folder: pathlib.Path,
    examples: pathlib.Path,
    tuning: TuningConfig = TUNING,
    *,
    training: TrainingConfig = TRAINING,
    base_model: str | None = None,
    code: str = "c0de",
) -> FnArgs:
    """The arguments that TFX's Tuner passes."""
    fields = {"model": dataclasses.asdict(MODEL), "training": dataclasses.asdict(training)}
    return FnArgs(
        working_dir=str(folder / "working"),
        train_files=[str(examples / "Split-train" / "*")],
        eval_files=[str(examples / "Split-eval" / "*")],
        base_model=base_model,
        custom_config={
            "family": "bert",
            **{name: json.dumps(part) for name, part in fields.items()},
            "config": json.dumps(fields),
            "tuning": json.dumps(dataclasses.asdict(tuning)),
            "code": code,
            "unkeyed": {
                "training": json.dumps(training.that_affect(Affects.JUDGEMENT, Affects.NOTHING)),
                "devices": json.dumps(dataclasses.asdict(DevicesConfig())),
                "provenance": "{}",
                "folder": str(folder / "trials"),
            },
        },
    )


def searched(fn_args: FnArgs) -> Search:
    """Runs a search as TFX's executor does."""
    made = tuner.tuner_fn(fn_args)
    made.tuner.search(**made.fit_kwargs)
    return made.tuner.results
