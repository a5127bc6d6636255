"""ExampleBuilder: makes training examples from documents, with equal bytes everywhere.

Finished shards are kept, under a fingerprint of everything they depend on, until the component
ends. A run that was killed therefore resumes where it stopped.
"""

import json
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import apache_beam as beam
from tfx.dsl.component.experimental.annotations import (
    BeamComponentParameter,
    InputArtifact,
    OutputArtifact,
    Parameter,
)
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts

from components.artifacts import Vocabulary
from components.config import ExamplesConfig
from components.examples.shards import document_shards
from components.examples.transforms import FINISHED_BEFORE, build, load_objective
from components.layout import (
    EVAL,
    EXAMPLES_CONTENT,
    EXAMPLES_FILE,
    OLDER,
    SCRATCH_FOLDER,
    SPLITS,
    TOKENIZER_FOLDER,
    TRAIN,
    WORDS_FILE,
    splits_in_words,
)
from components.lineage.properties import SPANS, set_content
from components.lineage.span_label import LABEL_PROPERTY, span_label
from models.errors import DataRefused
from models.settings import from_json

_log = logging.getLogger("polyseme.example_builder")


@component(use_beam=True)
def ExampleBuilder(
    documents: InputArtifact[standard_artifacts.Examples],
    vocabulary: InputArtifact[Vocabulary],
    examples: OutputArtifact[standard_artifacts.Examples],
    family: Parameter[str],
    objective: Parameter[str],
    config: Parameter[str],
    replay_share: Parameter[float],
    span: Parameter[int],
    unkeyed: Parameter[str],
    older: InputArtifact[list[standard_artifacts.Examples]] = None,
    beam_pipeline: BeamComponentParameter[beam.Pipeline] = None,
) -> None:
    """Makes a family's training examples from a span's documents.

    Args:
        documents: TextCleaner's documents.
        vocabulary: the tokenizer's files.
        examples: receives `Split-<split>/` for each split, with a file for each document shard; a
            copy of the tokenizer in `tokenizer/`, so that ids and vocabulary stay together;
            `SHA256SUMS` of the files of examples, in the format of `sha256sum --check`;
            `baselines/` with the baselines' counts over the training examples; `index/` with the
            number and lengths of the training examples in each file; and `examples.json`: the
            family, the objective, and for each split the number of examples, the share of padding,
            what was dropped or cut by reason, the vocabulary's coverage
            (`components.examples.tokenization.Coverage`) and the number of examples with each
            label. Its `older` has the same for the training examples of older spans.
        family: a name in the registry.
        objective: the objective's settings that the examples depend on, as JSON.
        config: an `ExamplesConfig` as JSON.
        replay_share: see `TrainingConfig.replay_share`; 0 means all of the older text.
        span: the span's number, part of the key of every random draw.
        unkeyed: JSON of what is not part of the cache key: `finished` (a folder that keeps finished
            shards until the component ends) and `code` (the version of the code, part of the
            fingerprint of finished shards; the cache key has it in another way).
        older: documents of older spans, whose split "train" is trained on again.
        beam_pipeline: provided by TFX.

    Raises:
        DataRefused: a split has no example.
        ConfigError: the configuration or the vocabulary cannot be used.
    """
    settings = from_json(ExamplesConfig, config)
    tokenizer = os.path.join(examples.uri, TOKENIZER_FOLDER)
    without_origin = shutil.ignore_patterns(WORDS_FILE)  # the examples do not depend on it
    shutil.copytree(vocabulary.uri, tokenizer, ignore=without_origin, dirs_exist_ok=True)
    unkeyed_settings = json.loads(unkeyed)
    older_spans = {artifact.span: artifact.uri for artifact in older or ()}
    load_objective(family, objective, tokenizer)  # so that errors are raised here, not in a worker
    with beam_pipeline as pipeline:
        build(
            pipeline,
            document_shards(documents.uri, older_spans, replay_share or None),
            examples.uri,
            family=family,
            objective=objective,
            config=settings,
            span=span,
            code=unkeyed_settings["code"],
            finished=unkeyed_settings["finished"],
        )
    shutil.rmtree(unkeyed_settings["finished"])
    shutil.rmtree(os.path.join(examples.uri, SCRATCH_FOLDER))
    with open(os.path.join(examples.uri, EXAMPLES_FILE), encoding="utf-8") as stream:
        summary = json.load(stream)
    _require_examples(summary["splits"], where=documents.uri)
    label = documents.get_string_custom_property(LABEL_PROPERTY)
    examples.split_names = json.dumps(SPLITS)
    examples.span = span
    examples.set_string_custom_property("span", str(span))
    examples.set_string_custom_property(LABEL_PROPERTY, label)
    examples.set_string_custom_property("payload_format", "FORMAT_TF_EXAMPLE")
    examples.set_string_custom_property("file_format", "tfrecords_gzip")
    examples.set_string_custom_property(SPANS, json.dumps(sorted({span, *older_spans})))
    set_content(examples, EXAMPLES_CONTENT)
    finished_before = _counter_value(pipeline, FINISHED_BEFORE)
    _log_counts(summary, span_label(span, label), finished_before, sorted(older_spans))


def _log_counts(
    summary: Mapping[str, Any], label: str, finished_before: int, older_spans: Sequence[int]
) -> None:
    splits = summary["splits"]
    _log.info(
        "span %s: examples: %s; %.0f%% of the positions are padding%s",
        label,
        splits_in_words({split: counts["examples"] for split, counts in splits.items()}),
        100 * splits[TRAIN]["padding_share"],
        f"; {finished_before} file(s) were finished before" if finished_before else "",
    )
    if older_spans:
        _log.info(
            "span %s: %s more examples to train on, from documents of span %s",
            label,
            f"{summary[OLDER]['examples']:,}",
            ", ".join(map(span_label, older_spans)),
        )


def _require_examples(splits: Mapping[str, Any], *, where: str) -> None:
    """Refuses a span if a split has no example, except an empty split "eval"."""
    for split, summary in splits.items():
        if not summary["examples"] and (summary["documents"] or split != EVAL):
            lost = {reason: count for reason, count in summary["tally"].items() if count}
            raise DataRefused(
                f"The split {split!r} gave no training example out of {summary['documents']}"
                f" document(s) with {summary['pieces']} sentence(s); dropped or cut: {lost}.",
                where=where,
                remedy="Add documents, or lower ingestion.shards so that documents find partners.",
            )


def _counter_value(pipeline: beam.Pipeline, name: str) -> int:
    """A Beam counter's value after the pipeline has run; 0 if the runner does not count."""
    counters = pipeline.result.metrics().query(beam.metrics.MetricsFilter().with_name(name))
    return sum(counter.committed or counter.attempted or 0 for counter in counters["counters"])
