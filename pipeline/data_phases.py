"""The graph's components that prepare data: ingest, clean, find earlier models, make examples.

Each function makes the components of one phase and returns them, in the order in which they run,
with the outputs that later phases read. pipeline/dag.py composes the phases.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from tfx import v1 as tfx
from tfx.dsl.components.base.base_node import BaseNode
from tfx.dsl.components.common.resolver import ResolverStrategy
from tfx.types.artifact import Artifact
from tfx.types.channel import BaseChannel
from tfx.types.standard_artifacts import (
    Examples,
    ExampleStatistics,
    Model,
    ModelBlessing,
    ModelEvaluation,
)

from components.artifacts import DataApproval, ExamplesApproval, TrainedTexts
from components.cleaning.component import TextCleaner
from components.examples.component import ExampleBuilder
from components.examples.gate import ExampleGate
from components.ingestion.component import TextExampleGen
from components.lineage.resolvers import (
    LastApprovedExamples,
    LastApprovedStatistics,
    LastBlessedModel,
    TrainedEarlier,
)
from components.training.start_resolver import TrainingStart
from components.validation.component import DataGate, TextSchema, stats_options
from components.vocabulary.component import VocabularyTrainer
from models.settings import Affects, Settings
from pipeline.config import PipelineConfig
from pipeline.layout import FINISHED_EXAMPLES, QUARANTINE
from pipeline.provenance import Provenance


@dataclasses.dataclass(frozen=True)
class RunInputs:
    """What the components of a run are configured from.

    Attributes:
        config: the run's configuration.
        provenance: the text, the span and the code; recorded in the model.
        files: the span's files.
        code: versions of the code by step, see pipeline/code_versions.py.
        docker: whether a container can be started here, for `config.serving_image`.
    """

    config: PipelineConfig
    provenance: Provenance
    files: Sequence[str]
    code: Mapping[str, str]
    docker: bool

    @property
    def quarantine(self) -> str:
        """The folder for documents and examples that a step or a gate refused."""
        return str(self.config.folder / QUARANTINE)


@dataclasses.dataclass(frozen=True)
class Phase:
    """A part of the graph; subclasses name the outputs that later phases read.

    Attributes:
        components: the components of the phase, in the order in which they run.
    """

    components: Sequence[BaseNode]


@dataclasses.dataclass(frozen=True)
class Ingestion(Phase):
    """Documents and their statistics.

    Attributes:
        documents: the documents by split.
        statistics: TFDV's statistics of the documents.
        anomalies: where the statistics do not fit the schema.
    """

    documents: BaseChannel
    statistics: BaseChannel
    anomalies: BaseChannel


@dataclasses.dataclass(frozen=True)
class Cleaning(Phase):
    """Documents that may be learned from.

    Attributes:
        documents: the documents that cleaning kept.
        gate: fails where the text is not fit to train on; learning must wait for it.
    """

    documents: BaseChannel
    gate: BaseNode


@dataclasses.dataclass(frozen=True)
class EarlierModels(Phase):
    """The models that earlier runs made, to start from and to compare with; each may be absent.

    Attributes:
        blessed: the last blessed model.
        blessed_evaluation: that model's evaluation.
        base: the model that training starts from.
        older_documents: documents of earlier spans that are trained on again.
    """

    blessed: BaseChannel
    blessed_evaluation: BaseChannel
    base: BaseChannel
    older_documents: BaseChannel


@dataclasses.dataclass(frozen=True)
class TrainingExamples(Phase):
    """Examples for training and evaluation.

    Attributes:
        examples: the examples by split.
        gate: fails where the examples are not fit to train on; training must wait for it.
    """

    examples: BaseChannel
    gate: BaseNode


def ingest(run: RunInputs) -> Ingestion:
    """Reads the span's files into documents and validates their statistics against the schema."""
    where = {
        "files": list(run.files),
        "pattern": run.provenance.pattern,
        "label": run.provenance.label,
        "quarantine": run.quarantine,
    }
    example_gen = TextExampleGen(
        span=run.provenance.span,
        fingerprint=run.provenance.corpus,
        config=settings_json(run.config.ingestion, Affects.EXAMPLES),
        unkeyed=json.dumps(where),
    )
    documents = example_gen.outputs["examples"]
    statistics_gen = tfx.components.StatisticsGen(examples=documents, stats_options=stats_options())
    statistics = statistics_gen.outputs["statistics"]
    schema = TextSchema()
    validator = tfx.components.ExampleValidator(
        statistics=statistics, schema=schema.outputs["schema"]
    )
    return Ingestion(
        components=[example_gen, statistics_gen, schema, validator],
        documents=documents,
        statistics=statistics,
        anomalies=validator.outputs["anomalies"],
    )


def clean(run: RunInputs, ingestion: Ingestion) -> Cleaning:
    """Drops documents that should not be learned from, then refuses text that is not fit."""
    config, span = run.config, run.provenance.span
    last_statistics = _resolver(
        LastApprovedStatistics, {"span": span}, statistics=ExampleStatistics, approval=DataApproval
    )
    trained_earlier = _resolver(
        TrainedEarlier,
        {"span": span, "start": config.training.start},
        trained=TrainedTexts,
        model=Model,
    )
    cleaner = TextCleaner(
        documents=ingestion.documents,
        earlier=trained_earlier.outputs["trained"],
        config=settings_json(config.cleaning, Affects.EXAMPLES),
        bounds=settings_json(config.validation, Affects.EXAMPLES),
        evaluation=run.provenance.evaluation,
        span=span,
        unkeyed=settings_json(config.cleaning, Affects.NOTHING),
        quarantine_dir=run.quarantine,
    )
    gate = DataGate(
        documents=ingestion.documents,
        cleaned=cleaner.outputs["cleaned"],
        statistics=ingestion.statistics,
        anomalies=ingestion.anomalies,
        previous_statistics=last_statistics.outputs["statistics"],
        config=settings_json(config.validation, Affects.JUDGEMENT),
        max_malformed_share=config.ingestion.max_quarantine_share,
        allow_unreadable=json.dumps(config.ingestion.allow_unreadable),
        max_dropped_share=config.cleaning.max_dropped_share,
        needs_eval_split=int(config.uses_eval_split),
        quarantine_dir=run.quarantine,
    )
    return Cleaning(
        components=[last_statistics, trained_earlier, cleaner, gate],
        documents=cleaner.outputs["cleaned"],
        gate=gate,
    )


def find_earlier_models(run: RunInputs) -> EarlierModels:
    """Looks up the model to start from and the model to compare with in ML Metadata."""
    training = run.config.training
    last_blessed = _resolver(
        LastBlessedModel,
        {"fingerprint": run.provenance.fingerprint, "start": training.start},
        evaluation=ModelEvaluation,
        model=Model,
        model_blessing=ModelBlessing,
    )
    start = _resolver(
        TrainingStart,
        {
            "span": run.provenance.span,
            "fingerprint": run.provenance.fingerprint,
            "start": training.start,
            "test_share": run.config.ingestion.test_share,
            "window": training.window,
            "evaluation": run.provenance.evaluation,
        },
        approval=DataApproval,
        documents=Examples,
        model=Model,
        model_blessing=ModelBlessing,
    )
    return EarlierModels(
        components=[last_blessed, start],
        blessed=last_blessed.outputs["model"],
        blessed_evaluation=last_blessed.outputs["evaluation"],
        base=start.outputs["model"],
        older_documents=start.outputs["documents"],
    )


def make_examples(run: RunInputs, cleaning: Cleaning, earlier: EarlierModels) -> TrainingExamples:
    """Learns a vocabulary, makes examples with it, then refuses examples that are not fit."""
    config, family = run.config, run.config.model.family
    vocabulary_trainer = VocabularyTrainer(
        examples=cleaning.documents,
        base_model=earlier.base,
        older=earlier.older_documents,
        family=family,
        tokenizer=settings_json(config.model.tokenizer),
        config=settings_json(config.vocabulary, Affects.EXAMPLES),
        file_fingerprint=run.provenance.vocabulary,
        unkeyed=settings_json(config.vocabulary, Affects.NOTHING),
    )
    finished = {
        "finished": str(config.folder / FINISHED_EXAMPLES),
        "code": run.code["ExampleBuilder"],
    }
    example_builder = ExampleBuilder(
        documents=cleaning.documents,
        vocabulary=vocabulary_trainer.outputs["vocabulary"],
        older=earlier.older_documents,
        family=family,
        objective=settings_json(config.model.objective, Affects.EXAMPLES),
        config=settings_json(config.examples),
        replay_share=config.training.replay_share or 0.0,
        span=run.provenance.span,
        unkeyed=json.dumps(finished),
    )
    for component in (vocabulary_trainer, example_builder):
        component.add_upstream_node(cleaning.gate)
    last_examples = _resolver(
        LastApprovedExamples, {"span": run.provenance.span}, approval=ExamplesApproval
    )
    gate = ExampleGate(
        examples=example_builder.outputs["examples"],
        previous=last_examples.outputs["approval"],
        served_model=earlier.blessed,
        served_evaluation=earlier.blessed_evaluation,
        family=family,
        objective=settings_json(config.model.objective, Affects.EXAMPLES),
        config=settings_json(config.validation, Affects.JUDGEMENT),
        quarantine_dir=run.quarantine,
    )
    return TrainingExamples(
        components=[vocabulary_trainer, example_builder, last_examples, gate],
        examples=example_builder.outputs["examples"],
        gate=gate,
    )


def _resolver(
    strategy: type[ResolverStrategy], config: Mapping[str, Any], **inputs: type[Artifact]
) -> BaseNode:
    """A resolver with the name of its strategy.

    Args:
        strategy: how the resolver chooses artifacts.
        config: the settings of the strategy.
        inputs: the types of the artifacts that it chooses from, by the names of its outputs.
    """
    channels = {name: tfx.dsl.Channel(type=kind) for name, kind in inputs.items()}
    resolver = tfx.dsl.Resolver(strategy_class=strategy, config=dict(config), **channels)
    return resolver.with_id(strategy.__name__)


def settings_json(settings: Settings, *kinds: Affects) -> str:
    """The fields of `settings` that affect one of `kinds`, or all fields, as JSON.

    A component gets only the settings that its output depends on, as they are in its cache key.
    """
    return json.dumps(settings.that_affect(*(kinds or Affects)), sort_keys=True)
