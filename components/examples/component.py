"""ExampleBuilder: documents in, training examples out, the same bytes wherever it runs (law 5).

A shard that is finished is kept under a fingerprint of all that it is made of until the component
ends. A run that was killed thus goes on where it was.
"""

import json
import logging
import os
import shutil
from collections.abc import Mapping
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
from components.examples.shards import shards_of
from components.examples.transforms import FOUND, build, load
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

_LOG = logging.getLogger("polyseme.example_builder")


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
    """Makes a family's training examples of a span's documents.

    Args:
        documents: what TextCleaner wrote.
        vocabulary: the tokenizer's files.
        examples: receives `Split-<split>/` for each split, with a file for each of the documents',
            a copy of the tokenizer in `tokenizer/`, so that ids and vocabulary travel together,
            `SHA256SUMS` of the files of examples, as `sha256sum --check` reads it,
            `baselines/` with what the baselines count in the examples to train on, `index/` with
            how many each of their files holds and how long each is, and
            `examples.json`: the family, its objective, and for each split its examples, its
            share of padding, what was dropped or cut by reason, what the tokens make of the text
            (`components.examples.tokenization.Coverage`), and how often each label occurs; `older`
            has the same for the examples to train on that are of older spans.
        family: a name of the registry.
        objective: the objective's settings that the examples depend on, as JSON.
        config: an `ExamplesConfig` as JSON.
        replay_share: see `TrainingConfig.replay_share`; 0: all of the older text.
        span: the span's number, a part of every generator's key.
        unkeyed: JSON of what no key holds: `finished` (a folder that keeps finished shards until
            all are) and `code` (the version of the code, which finished shards are known by; the
            key has it anyway).
        older: documents of older spans, of which those to train on are trained on once more.
        beam_pipeline: given by TFX.

    Raises:
        DataRefused: a split gave no example.
        ConfigError: the configuration or the vocabulary cannot be used.
    """
    settings = from_json(ExamplesConfig, config)
    tokenizer = os.path.join(examples.uri, TOKENIZER_FOLDER)
    without_origin = shutil.ignore_patterns(WORDS_FILE)  # the examples do not depend on it
    shutil.copytree(vocabulary.uri, tokenizer, ignore=without_origin, dirs_exist_ok=True)
    places = json.loads(unkeyed)
    before = {each.span: each.uri for each in older or ()}
    load(family, objective, tokenizer)  # a bad configuration shows here, not in a worker
    with beam_pipeline as pipeline:
        build(
            pipeline,
            shards_of(documents.uri, before, replay_share or None),
            examples.uri,
            family=family,
            objective=objective,
            config=settings,
            span=span,
            code=places["code"],
            finished=places["finished"],
        )
    shutil.rmtree(places["finished"])
    shutil.rmtree(os.path.join(examples.uri, SCRATCH_FOLDER))
    found = _counted(pipeline, FOUND)
    with open(os.path.join(examples.uri, EXAMPLES_FILE), encoding="utf-8") as stream:
        told = json.load(stream)
    splits = told["splits"]
    _gate(splits, where=documents.uri)
    examples.split_names = json.dumps(SPLITS)
    examples.span = span
    examples.set_string_custom_property("span", str(span))
    label = documents.get_string_custom_property(LABEL_PROPERTY)
    examples.set_string_custom_property(LABEL_PROPERTY, label)
    examples.set_string_custom_property("payload_format", "FORMAT_TF_EXAMPLE")
    examples.set_string_custom_property("file_format", "tfrecords_gzip")
    examples.set_string_custom_property(SPANS, json.dumps(sorted({span, *before})))
    set_content(examples, EXAMPLES_CONTENT)
    _LOG.info(
        "span %s: examples: %s; %.0f%% of the positions are padding%s",
        span_label(span, label),
        splits_in_words({split: counts["examples"] for split, counts in splits.items()}),
        100 * splits[TRAIN]["padding_share"],
        f"; {found} file(s) were finished before" if found else "",
    )
    if before:
        _LOG.info(
            "span %s: %s more examples to train on, of documents of span %s",
            span_label(span, label),
            f"{told[OLDER]['examples']:,}",
            ", ".join(span_label(number) for number in sorted(before)),
        )


def _gate(splits: Mapping[str, Any], *, where: str) -> None:
    for split, summary in splits.items():
        if not summary["examples"] and (summary["documents"] or split != EVAL):
            lost = {reason: count for reason, count in summary["tally"].items() if count}
            raise DataRefused(
                f"The split {split!r} gave no training example out of {summary['documents']}"
                f" document(s) with {summary['pieces']} sentence(s); dropped or cut: {lost}.",
                where=where,
                remedy="Add documents, or lower ingestion.shards so that documents find partners.",
            )


def _counted(pipeline: beam.Pipeline, name: str) -> int:
    """A counter's value after the pipeline has run, 0 where the runner counts nothing."""
    counters = pipeline.result.metrics().query(beam.metrics.MetricsFilter().with_name(name))
    return sum(counter.committed or counter.attempted or 0 for counter in counters["counters"])
