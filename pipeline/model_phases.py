"""The graph's components that make a model: tune, train, evaluate, check serving and push."""

from __future__ import annotations

import dataclasses
from typing import Any

from tfx import v1 as tfx
from tfx.dsl.components.base.base_node import BaseNode
from tfx.types.channel import BaseChannel

from components.evaluation.component import Evaluator
from components.evaluation.metrics import eval_config
from components.layout import EVAL, TEST, TRAIN
from components.serving.check import serving_gate
from components.serving.component import Pusher
from components.training.component import Trainer
from components.tuning.component import Tuner
from models.settings import Affects
from pipeline.code_versions import TRAINING
from pipeline.data_phases import EarlierModels, Phase, RunInputs, TrainingExamples, settings_json
from pipeline.layout import CHECKPOINTS, TRIALS, versions_folder

RUN_FN = "components.training.component.run_fn"
TUNER_FN = "components.tuning.component.tuner_fn"


@dataclasses.dataclass(frozen=True)
class Training(Phase):
    """A trained and exported model.

    Attributes:
        model: the exported model.
    """

    model: BaseChannel


def train(run: RunInputs, made: TrainingExamples, earlier: EarlierModels) -> Training:
    """Searches hyperparameters if the configuration asks for trials, then trains and exports."""
    config = run.config
    inputs: dict[str, Any] = {
        "examples": made.examples,
        "base_model": earlier.base,
        "train_args": tfx.proto.TrainArgs(splits=[TRAIN]),
        "eval_args": tfx.proto.EvalArgs(splits=[EVAL]),
    }
    components: list[BaseNode] = []
    if config.tuning.trials:
        tuner = Tuner(
            tuner_fn=TUNER_FN,
            **inputs,
            custom_config=_custom_config(run, TRIALS, tuning=settings_json(config.tuning)),
        )
        inputs["hyperparameters"] = tuner.outputs["best_hyperparameters"]
        components.append(tuner)
    trainer = Trainer(run_fn=RUN_FN, **inputs, custom_config=_custom_config(run, CHECKPOINTS))
    components.append(trainer)
    for component in components:
        component.add_upstream_node(made.gate)
    return Training(components=components, model=trainer.outputs["model"])


def evaluate_and_push(
    run: RunInputs, made: TrainingExamples, training: Training, earlier: EarlierModels
) -> list[BaseNode]:
    """Compares the model with its baseline, serves it once, and pushes it if both allow that."""
    config = run.config
    metrics = config.model.objective.metrics()
    evaluator = Evaluator(
        examples=made.examples,
        model=training.model,
        baseline_model=earlier.blessed,
        example_splits=[TEST],
        eval_config=eval_config(metrics, config.evaluation),
    )
    serving_checks, infra_blessing = serving_gate(
        training.model, made.examples, image=config.serving_image if run.docker else ""
    )
    pusher = Pusher(
        model=training.model,
        model_blessing=evaluator.outputs["blessing"],
        infra_blessing=infra_blessing,
        served_model=earlier.blessed,
        push_older=config.push_older,
        push_destination=tfx.proto.PushDestination(
            filesystem=tfx.proto.PushDestination.Filesystem(
                base_directory=str(versions_folder(config.folder))
            )
        ),
    )
    return [evaluator, *serving_checks, pusher]


def _custom_config(run: RunInputs, folder: str, **more: str) -> dict[str, Any]:
    """What a Tuner's trials or the Trainer's run function are configured from.

    Args:
        run: the run.
        folder: name of the folder in the pipeline's folder where checkpoints are kept.
        more: further entries. All entries but `unkeyed` are part of the step's cache key.
    """
    config = run.config
    return {
        "family": config.model.family,
        "model": settings_json(config.model, Affects.EXAMPLES, Affects.WEIGHTS),
        "training": settings_json(config.training, Affects.WEIGHTS),
        "config": config.content(),
        "code": run.code[TRAINING],
        **more,
        "unkeyed": {
            "training": settings_json(config.training, Affects.JUDGEMENT, Affects.NOTHING),
            "devices": settings_json(config.devices),
            "provenance": run.provenance.to_json(),
            "folder": str(config.folder / folder),
        },
    }
