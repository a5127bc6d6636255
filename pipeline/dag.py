"""The pipeline as a graph of components: pure, apart from where and when it runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from tfx import v1 as tfx
from tfx.dsl.placeholder.placeholder import Placeholder, environment_variable
from tfx.types.standard_artifacts import ExampleStatistics

from components import beam_flags
from components.artifacts import DataApproval, ExamplesApproval, TrainedTexts
from components.cleaning.component import TextCleaner
from components.config import BeamConfig
from components.evaluation.component import Evaluator
from components.evaluation.metrics import eval_config
from components.examples.component import ExampleBuilder
from components.examples.gate import ExampleGate
from components.ingestion.component import TextExampleGen
from components.lineage.resolvers import (
    LastApprovedExamples,
    LastApprovedStatistics,
    LastBlessedModel,
    TrainedEarlier,
)
from components.serving.check import serving_gate
from components.serving.component import Pusher
from components.training.component import Trainer
from components.training.start import TrainingStart
from components.tuning.component import Tuner
from components.validation.component import DataGate, TextSchema, stats_options
from components.vocabulary.component import VocabularyTrainer
from models.registry import FAMILIES
from models.settings import Affects, Settings
from pipeline.code_versions import TRAINING
from pipeline.config import PipelineConfig
from pipeline.metadata.store import DATABASE
from pipeline.provenance import Provenance

RUN_FN = "components.training.component.run_fn"
TUNER_FN = "components.tuning.component.tuner_fn"

_EXPORTED = (Affects.EXAMPLES, Affects.WEIGHTS)


def create_pretraining_pipeline(
    config: PipelineConfig,
    provenance: Provenance,
    files: Sequence[str],
    code: Mapping[str, str],
    *,
    docker: bool = False,
) -> tfx.dsl.Pipeline:
    """From a span of raw text to a blessed and pushed model.

    Args:
        config: the run's configuration.
        provenance: which text, span and code; goes into the model.
        files: the span's files.
        code: versions of the code by step, see pipeline/code_versions.py.
        docker: whether a container can be started here, for `config.serving_image`.
    """
    folder = config.folder
    span = provenance.span
    quarantine = str(folder / "quarantine")
    family = FAMILIES[config.model.family]

    example_gen = TextExampleGen(
        span=span,
        fingerprint=provenance.corpus,
        config=_json(config.ingestion, Affects.EXAMPLES),
        unkeyed=json.dumps(
            {
                "files": list(files),
                "pattern": provenance.pattern,
                "label": provenance.label,
                "quarantine": quarantine,
            }
        ),
    )
    documents = example_gen.outputs["examples"]

    statistics_gen = tfx.components.StatisticsGen(examples=documents, stats_options=stats_options())
    statistics = statistics_gen.outputs["statistics"]
    schema = TextSchema()
    validator = tfx.components.ExampleValidator(
        statistics=statistics, schema=schema.outputs["schema"]
    )
    last_statistics = tfx.dsl.Resolver(
        strategy_class=LastApprovedStatistics,
        config={"span": span},
        statistics=tfx.dsl.Channel(type=ExampleStatistics),
        approval=tfx.dsl.Channel(type=DataApproval),
    ).with_id("LastApprovedStatistics")
    trained_earlier = tfx.dsl.Resolver(
        strategy_class=TrainedEarlier,
        config={"span": span, "start": config.training.start},
        trained=tfx.dsl.Channel(type=TrainedTexts),
        model=tfx.dsl.Channel(type=tfx.types.standard_artifacts.Model),
    ).with_id("TrainedEarlier")
    cleaner = TextCleaner(
        documents=documents,
        earlier=trained_earlier.outputs["trained"],
        config=_json(config.cleaning, Affects.EXAMPLES),
        bounds=_json(config.validation, Affects.EXAMPLES),
        evaluation=provenance.evaluation,
        span=span,
        unkeyed=_json(config.cleaning, Affects.NOTHING),
        quarantine_dir=quarantine,
    )
    cleaned = cleaner.outputs["cleaned"]
    gate = DataGate(
        documents=documents,
        cleaned=cleaned,
        statistics=statistics,
        anomalies=validator.outputs["anomalies"],
        previous_statistics=last_statistics.outputs["statistics"],
        config=_json(config.validation, Affects.JUDGEMENT),
        max_malformed_share=config.ingestion.max_quarantine_share,
        allow_unreadable=json.dumps(config.ingestion.allow_unreadable),
        max_dropped_share=config.cleaning.max_dropped_share,
        looks=int(config.looks),
        quarantine_dir=quarantine,
    )

    models = {
        "model": tfx.dsl.Channel(type=tfx.types.standard_artifacts.Model),
        "model_blessing": tfx.dsl.Channel(type=tfx.types.standard_artifacts.ModelBlessing),
    }
    last_model = tfx.dsl.Resolver(
        strategy_class=LastBlessedModel,
        config={"fingerprint": provenance.fingerprint, "start": config.training.start},
        evaluation=tfx.dsl.Channel(type=tfx.types.standard_artifacts.ModelEvaluation),
        **models,
    ).with_id("LastBlessedModel")
    start = tfx.dsl.Resolver(
        strategy_class=TrainingStart,
        config={
            "span": span,
            "fingerprint": provenance.fingerprint,
            "start": config.training.start,
            "test_share": config.ingestion.test_share,
            "window": config.training.window,
            "evaluation": provenance.evaluation,
        },
        approval=tfx.dsl.Channel(type=DataApproval),
        documents=tfx.dsl.Channel(type=tfx.types.standard_artifacts.Examples),
        **models,
    ).with_id("TrainingStart")
    base_model, older = start.outputs["model"], start.outputs["documents"]

    vocabulary_trainer = VocabularyTrainer(
        examples=cleaned,
        base_model=base_model,
        older=older,
        family=config.model.family,
        tokenizer=_json(config.model.tokenizer),
        config=_json(config.vocabulary, Affects.EXAMPLES),
        file_fingerprint=provenance.vocabulary,
        unkeyed=_json(config.vocabulary, Affects.NOTHING),
    )
    vocabulary_trainer.add_upstream_node(gate)
    vocabulary = vocabulary_trainer.outputs["vocabulary"]

    example_builder = ExampleBuilder(
        documents=cleaned,
        vocabulary=vocabulary,
        older=older,
        family=config.model.family,
        objective=_json(config.model.objective, Affects.EXAMPLES),
        config=_json(config.examples),
        replay_share=config.training.replay_share or 0.0,
        span=span,
        unkeyed=json.dumps(
            {"finished": str(folder / "finished_examples"), "code": code["ExampleBuilder"]}
        ),
    )
    example_builder.add_upstream_node(gate)
    examples = example_builder.outputs["examples"]

    last_examples = tfx.dsl.Resolver(
        strategy_class=LastApprovedExamples,
        config={"span": span},
        approval=tfx.dsl.Channel(type=ExamplesApproval),
    ).with_id("LastApprovedExamples")
    example_gate = ExampleGate(
        examples=examples,
        previous=last_examples.outputs["approval"],
        served_model=last_model.outputs["model"],
        served_evaluation=last_model.outputs["evaluation"],
        family=config.model.family,
        objective=_json(config.model.objective, Affects.EXAMPLES),
        config=_json(config.validation, Affects.JUDGEMENT),
        quarantine_dir=quarantine,
    )

    given = {
        "family": config.model.family,
        "model": _json(config.model, *_EXPORTED),
        "training": _json(config.training, Affects.WEIGHTS),
        "config": config.content(),
        "code": code[TRAINING],
    }
    unkeyed = {
        "training": _json(config.training, Affects.JUDGEMENT, Affects.NOTHING),
        "devices": _json(config.devices),
        "provenance": provenance.to_json(),
    }
    learning = {
        "examples": examples,
        "base_model": base_model,
        "train_args": tfx.proto.TrainArgs(splits=["train"]),
        "eval_args": tfx.proto.EvalArgs(splits=["eval"]),
    }
    tuners = []
    if config.tuning.trials:
        tuner = Tuner(
            tuner_fn=TUNER_FN,
            **learning,
            custom_config=given
            | {
                "tuning": _json(config.tuning),
                "unkeyed": unkeyed | {"folder": str(folder / "trials")},
            },
        )
        tuner.add_upstream_node(example_gate)
        tuners.append(tuner)
        learning["hyperparameters"] = tuner.outputs["best_hyperparameters"]
    trainer = Trainer(
        run_fn=RUN_FN,
        **learning,
        custom_config=given | {"unkeyed": unkeyed | {"folder": str(folder / "checkpoints")}},
    )
    trainer.add_upstream_node(example_gate)
    model = trainer.outputs["model"]

    evaluator = Evaluator(
        examples=examples,
        model=model,
        baseline_model=last_model.outputs["model"],
        example_splits=["test"],
        eval_config=eval_config(family.metrics(config.model.objective), config.evaluation),
    )
    serving_checks, infra_blessing = serving_gate(
        model, examples, image=config.serving_image if docker else ""
    )
    pusher = Pusher(
        model=model,
        model_blessing=evaluator.outputs["blessing"],
        infra_blessing=infra_blessing,
        served_model=last_model.outputs["model"],
        push_older=config.push_older,
        push_destination=tfx.proto.PushDestination(
            filesystem=tfx.proto.PushDestination.Filesystem(
                base_directory=str(folder / "serving" / config.name)
            )
        ),
    )
    components = [
        example_gen,
        statistics_gen,
        schema,
        validator,
        last_statistics,
        trained_earlier,
        cleaner,
        gate,
        last_model,
        start,
        vocabulary_trainer,
        example_builder,
        last_examples,
        example_gate,
        *tuners,
        trainer,
        evaluator,
        *serving_checks,
        pusher,
    ]
    of_steps = beam_flags.of_steps(config.beam.step_args)
    for component in components:
        if component.id in of_steps:
            component.with_beam_pipeline_args(map(_with_variables, of_steps[component.id]))
    return tfx.dsl.Pipeline(
        pipeline_name=config.name,
        pipeline_root=str(folder / "artifacts"),
        components=components,
        enable_cache=True,
        metadata_connection_config=(
            tfx.orchestration.metadata.sqlite_metadata_connection_config(str(folder / DATABASE))
        ),
        beam_pipeline_args=beam_arguments(config.beam),
    )


def beam_arguments(config: BeamConfig) -> list[str | Placeholder]:
    """The flags of every Beam step, before those of its own."""
    arguments = [f"--runner={config.runner}"]
    if config.runner == "DirectRunner":
        mode = "in_memory" if config.workers == 1 else "multi_processing"
        arguments += [
            f"--direct_running_mode={mode}",
            f"--direct_num_workers={config.workers}",
            # The workers are processes of this machine and import what it has installed; no image
            # is ever started. But where no flag names the workers' software, TFX packs a copy of
            # itself for them at every Beam step, 52 MB that stay in the temporary folder.
            "--sdk_container_image=none",
        ]
    return [*arguments, *map(_with_variables, config.args)]


def _with_variables(flag: str) -> str | Placeholder:
    """A flag in which the environment variables that it names are read as the step starts."""
    if not beam_flags.variables([flag]):
        return flag
    whole: str | Placeholder = ""
    for text, variable in beam_flags.split(flag):
        whole += text
        if variable:
            whole += environment_variable(variable)
    return whole


def _json(config: Settings, *kinds: Affects) -> str:
    """A configuration's fields that affect one of `kinds`, of all of them if none is given."""
    return json.dumps(config.that_affect(*(kinds or Affects)), sort_keys=True)
