"""ExampleBuilder: documents in, training examples out, the same bytes wherever it runs (law 5).

A hash of a document's id decides its group. One call does a whole group: it sorts the documents by
id, splits and tokenizes them in batches, asks the objective for examples with a generator that is
keyed by (seed, span, split, group), and writes one file, to a temporary name that is then renamed.
No runner, number of workers, order of bundles or retry can be seen in the bytes.
"""

import collections
import functools
import hashlib
import itertools
import json
import logging
import os
import pathlib
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow as tf
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
from components.documents import Document, ReadDocuments
from models.config import from_json
from models.errors import DataRefused
from models.examples import Serializer
from models.objective import Objective, TokenizedDocument
from models.registry import FAMILIES
from models.tokenizers.tokenizer import Tokenizer

EXAMPLES_FILE = "examples.json"
TOKENIZER_FOLDER = "tokenizer"
SPLITS = ("train", "eval")

_PIECES = 4_096  # pieces that one call of the tokenizer takes
_EXAMPLES = 1_024  # examples serialized at a time
_SCRATCH = "scratch"
_LOG = logging.getLogger("polyseme.example_builder")


@component(use_beam=True)
def ExampleBuilder(
    documents: InputArtifact[standard_artifacts.Examples],
    vocabulary: InputArtifact[Vocabulary],
    examples: OutputArtifact[standard_artifacts.Examples],
    family: Parameter[str],
    model: Parameter[str],
    config: Parameter[str],
    span: Parameter[int],
    beam_pipeline: BeamComponentParameter[beam.Pipeline] = None,
) -> None:
    """Makes a family's training examples of a span's documents.

    Args:
        documents: what TextExampleGen wrote.
        vocabulary: the tokenizer's files.
        examples: receives `Split-train/`, `Split-eval/`, a copy of the tokenizer in `tokenizer/`,
            so that ids and vocabulary travel together, and `examples.json`: for each split its
            examples, its share of padding, what was dropped or cut by reason, and each file's
            SHA-256.
        family: a name of the registry.
        model: the family's configuration as JSON.
        config: an `ExamplesConfig` as JSON.
        span: the span's number, a part of every generator's key.
        beam_pipeline: given by TFX.

    Raises:
        DataRefused: a split gave no example.
        ConfigError: the configuration or the vocabulary cannot be used.
    """
    settings = from_json(ExamplesConfig, config)
    tokenizer = os.path.join(examples.uri, TOKENIZER_FOLDER)
    shutil.copytree(vocabulary.uri, tokenizer, dirs_exist_ok=True)
    _worker(family, model, tokenizer)  # a bad configuration shows here, not in a worker
    with beam_pipeline as pipeline:
        build(
            pipeline,
            documents.uri,
            examples.uri,
            family=family,
            model=model,
            config=settings,
            span=span,
        )
    shutil.rmtree(os.path.join(examples.uri, _SCRATCH))
    with open(os.path.join(examples.uri, EXAMPLES_FILE), encoding="utf-8") as stream:
        splits = json.load(stream)["splits"]
    _gate(splits, where=documents.uri)
    examples.split_names = json.dumps(SPLITS)
    examples.span = span
    examples.set_string_custom_property("span", str(span))
    examples.set_string_custom_property("payload_format", "FORMAT_TF_EXAMPLE")
    examples.set_string_custom_property("file_format", "tfrecords_gzip")
    _LOG.info(
        "span %d: %s examples to train on, %s held out; %.0f%% of the positions are padding",
        span,
        f"{splits['train']['examples']:,}",
        f"{splits['eval']['examples']:,}",
        100 * splits["train"]["padding_share"],
    )


def build(
    pipeline: beam.Pipeline,
    documents: str,
    folder: str,
    *,
    family: str,
    model: str,
    config: ExamplesConfig,
    span: int,
) -> None:
    """Adds to a Beam pipeline what makes examples of documents.

    Args:
        pipeline: the pipeline.
        documents: the folder that TextExampleGen wrote.
        folder: receives the files; holds the tokenizer's in `tokenizer/` already.
        family: a name of the registry.
        model: the family's configuration as JSON.
        config: how to group.
        span: the span's number.
    """
    for name in (_SCRATCH, *(f"Split-{split}" for split in SPLITS)):
        os.makedirs(os.path.join(folder, name), exist_ok=True)
    summaries = []
    for split, groups in zip(SPLITS, (config.groups, config.eval_groups), strict=True):
        write = _WriteGroup(folder, family, model, split, groups, config.seed, span)
        summaries.append(
            pipeline
            | f"Read[{split}]" >> ReadDocuments(documents, split)
            | f"Group[{split}]" >> beam.Map(_keyed, groups)
            | f"Gather[{split}]" >> beam.GroupByKey()
            | f"Write[{split}]" >> beam.ParDo(write)
        )
    _ = (
        summaries
        | beam.Flatten()
        | "All" >> beam.combiners.ToList()
        | "Summarize" >> beam.Map(_summarize, folder)
    )


def group_of(document_id: str, groups: int) -> int:
    """The group of a document, by a SHA-256 of its id other than the one that splits by."""
    digest = hashlib.sha256(b"group\0" + document_id.encode()).digest()
    return int.from_bytes(digest[:8], "big") % groups


# Not annotated with Document: Beam would carry a NamedTuple as a row and give back another type.
def _keyed(document: Any, groups: int) -> tuple[int, Any]:
    return group_of(document.id, groups), tuple(document)


class _WriteGroup(beam.DoFn):
    """Writes one group's examples; yields the file's summary."""

    def __init__(
        self, folder: str, family: str, model: str, split: str, groups: int, seed: int, span: int
    ) -> None:
        self._folder = folder
        self._family = family
        self._model = model
        self._split = split
        self._groups = groups
        self._seed = seed
        self._span = span

    def process(self, element: Any) -> Iterator[dict[str, Any]]:
        group, documents = element
        objective, tokenize = _worker(
            self._family, self._model, os.path.join(self._folder, TOKENIZER_FOLDER)
        )
        tally: collections.Counter[str] = collections.Counter()
        ordered = sorted((Document(*document) for document in documents), key=lambda d: d.id)
        tokenized = tokenize_documents(ordered, objective, tokenize, tally)
        key = (self._seed, self._span, SPLITS.index(self._split), group)
        made = objective.make_examples(tokenized, np.random.default_rng(key), tally)
        name = f"examples-{group:05d}-of-{self._groups:05d}.tfrecord.gz"
        temporary = os.path.join(self._folder, _SCRATCH, f"{name}.{uuid.uuid4().hex}")
        examples, positions, real = _write(temporary, made, Serializer(objective.feature_spec()))
        digest = _sha256(temporary)
        os.replace(temporary, os.path.join(self._folder, f"Split-{self._split}", name))
        yield {
            "split": self._split,
            "file": name,
            "sha256": digest,
            "documents": len(ordered),
            "pieces": sum(len(document.pieces) for document in tokenized),
            "examples": examples,
            "positions": positions,
            "real_positions": real,
            "tally": dict(tally),
        }


def tokenize_documents(
    documents: Sequence[Document],
    objective: Objective,
    tokenize: Any,
    tally: collections.Counter[str],
) -> list[TokenizedDocument]:
    """Splits documents and tokenizes their pieces, `_PIECES` of all documents at a time.

    Args:
        documents: one group's, sorted.
        objective: says what a piece is.
        tokenize: string `[batch]` → ids and row splits, a graph function.
        tally: gets `pieces_without_token`.
    """
    texts = [objective.split(document.text, document.lang) for document in documents]
    flat = itertools.chain.from_iterable(texts)
    pieces: list[np.ndarray] = []
    while batch := list(itertools.islice(flat, _PIECES)):
        values, splits = (part.numpy() for part in tokenize(tf.constant(batch, tf.string)))
        pieces.extend(values[begin:end] for begin, end in itertools.pairwise(splits.tolist()))
    ends = itertools.accumulate(map(len, texts), initial=0)
    tokenized = [
        TokenizedDocument(
            id=document.id,
            source=document.source,
            lang=document.lang,
            pieces=[piece for piece in pieces[begin:end] if len(piece)],
        )
        for document, (begin, end) in zip(documents, itertools.pairwise(ends), strict=True)
    ]
    kept = sum(len(document.pieces) for document in tokenized)
    tally["pieces_without_token"] += len(pieces) - kept
    return tokenized


@functools.lru_cache(maxsize=1)
def _worker(family: str, model: str, tokenizer: str) -> tuple[Objective, Any]:
    """The objective and the tokenizing graph function, made once in a worker process."""
    row = FAMILIES[family]
    loaded = row.tokenizer.load(pathlib.Path(tokenizer))
    objective = row.build_objective(from_json(row.config, model).objective, loaded)
    return objective, _graph_function(loaded)


def _graph_function(tokenizer: Tokenizer) -> Any:
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])  # one trace for all batches
    def tokenize(texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        ids = tokenizer.tokenize(texts)
        return ids.values, ids.row_splits

    return tokenize


def _write(
    path: str, examples: Iterator[Mapping[str, np.ndarray]], serializer: Serializer
) -> tuple[int, int, int]:
    """Writes examples; returns their number, their positions and how many of these are real."""
    count = positions = real = 0
    # TensorFlow's gzip header carries no time, so that the bytes are the content's alone.
    with tf.io.TFRecordWriter(path, tf.io.TFRecordOptions("GZIP")) as writer:
        while batch := list(itertools.islice(examples, _EXAMPLES)):
            for serialized in serializer.serialize(batch):
                writer.write(serialized)
            mask = np.stack([example["padding_mask"] for example in batch])
            count, positions, real = count + len(batch), positions + mask.size, real + mask.sum()
    return count, positions, int(real)


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _summarize(summaries: Sequence[Mapping[str, Any]], folder: str) -> None:
    """Writes examples.json from the files' summaries, in the order of their names."""
    splits = {}
    for split in SPLITS:
        files = sorted(
            (summary for summary in summaries if summary["split"] == split),
            key=lambda summary: summary["file"],
        )
        tally: collections.Counter[str] = collections.Counter()
        for summary in files:
            tally.update(summary["tally"])
        total = {
            name: sum(summary[name] for summary in files)
            for name in ("documents", "pieces", "examples", "positions", "real_positions")
        }
        splits[split] = {
            **total,
            "padding_share": 1 - total["real_positions"] / max(total["positions"], 1),
            "tally": dict(sorted(tally.items())),
            "files": {summary["file"]: summary["sha256"] for summary in files},
        }
    path = os.path.join(folder, EXAMPLES_FILE)
    temporary = f"{path}.{uuid.uuid4().hex}"
    with open(temporary, "w", encoding="utf-8") as stream:
        json.dump({"splits": splits}, stream, indent=2)
    os.replace(temporary, path)


def _gate(splits: Mapping[str, Any], *, where: str) -> None:
    for split, summary in splits.items():
        if not summary["examples"]:
            lost = {reason: count for reason, count in summary["tally"].items() if count}
            raise DataRefused(
                f"The split {split!r} gave no training example out of {summary['documents']}"
                f" document(s) with {summary['pieces']} sentence(s); dropped or cut: {lost}.",
                where=where,
                remedy="Add documents, or lower examples.groups so that documents find partners.",
            )
