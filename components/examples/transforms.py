"""Beam transforms of ExampleBuilder: read document shards, write files of examples.

TextExampleGen has assigned each document to a shard by a hash of its id, so a shard is a random
sample of the span. One call processes a whole shard: it splits and tokenizes the documents in
batches, lets the objective make examples with a random generator whose key is (seed, span, split,
shard), and writes one file, to a temporary name that is then renamed. Shards are independent, so
the bytes do not depend on the runner, the number of workers, the order of bundles or retries.
Shards of older spans that are trained on again keep the number of their own span in the key.

This module does not import TFX, which every Beam worker process would have to load.
"""

import collections
import functools
import hashlib
import json
import os
import pathlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import apache_beam as beam
import numpy as np

from components.config import ExamplesConfig
from components.documents import read_documents, unit_hash
from components.evaluation.resampling_units import UNIT, UNIT_FEATURE
from components.examples import baseline_counts
from components.examples.held_out import held_out_examples
from components.examples.shards import Shard
from components.layout import (
    EXAMPLES_FILE,
    MANIFEST_FILE,
    OLDER,
    SCRATCH_FOLDER,
    SPLITS,
    TOKENIZER_FOLDER,
    TRAIN,
    shard_number,
    split_folder,
)
from components.storage.finished import finish, sha256
from components.storage.publish import write_whole
from components.storage.record_files import RecordWriter
from components.storage.shard_arrays import read_arrays, write_arrays
from models.counts import Counting, Counts
from models.examples import Serializer
from models.memory import fast_imports
from models.objective import Examples, FeatureSpec, Objective
from models.settings import from_json
from models.training.example_index import write_index

if TYPE_CHECKING:
    from components.examples.tokenization import GraphTokenizer

FINISHED_BEFORE = "finished_before"
"""Beam counter of the shards that an earlier, stopped run had finished."""


def build(
    pipeline: beam.Pipeline,
    shards: Sequence[Shard],
    folder: str,
    *,
    family: str,
    objective: str,
    config: ExamplesConfig,
    span: int,
    code: str,
    finished: str,
) -> None:
    """Adds transforms to a Beam pipeline that make examples from documents.

    Args:
        pipeline: the pipeline.
        shards: the document shards.
        folder: the artifact's folder, which already has the tokenizer in `tokenizer/`.
        family: a name in the registry.
        objective: the objective's settings that the examples depend on, as JSON.
        config: has the seed of random draws.
        span: the span's number.
        code: version of the code, part of the fingerprint of finished shards.
        finished: folder of finished shards, which the caller removes.
    """
    os.makedirs(os.path.join(folder, SCRATCH_FOLDER), exist_ok=True)
    for split in SPLITS:
        os.makedirs(split_folder(folder, split), exist_ok=True)
    os.makedirs(finished, exist_ok=True)
    make = _MakeShard(folder, family, objective, config.seed, span, code, finished)
    _ = (
        pipeline
        | "Shards" >> beam.Create([tuple(shard) for shard in shards])
        | "Spread" >> beam.Reshuffle()
        | "Make" >> beam.ParDo(make)
        | "All" >> beam.combiners.ToList()
        | "Summarize" >> beam.Map(_summarize, folder, family, objective)
    )


class _MakeShard(beam.DoFn):
    """Makes a shard's file of examples, unless it is finished; yields the file's summary."""

    def __init__(
        self,
        folder: str,
        family: str,
        objective: str,
        seed: int,
        span: int,
        code: str,
        finished: str,
    ) -> None:
        self._folder = folder
        self._family = family
        self._objective = objective
        self._seed = seed
        self._span = span
        self._code = code
        self._finished = finished

    def setup(self) -> None:
        if "tensorflow" not in sys.modules:  # in a worker process
            with fast_imports():
                self._load()

    def process(self, element: Any) -> Iterator[dict[str, Any]]:
        shard = Shard(*element)
        name = shard.target
        counts = os.path.join(self._folder, SCRATCH_FOLDER, name.replace("/", "-"))
        summary, finished_before = finish(
            self._finished,
            self._fingerprint(shard),
            [os.path.join(self._folder, name), counts],
            functools.partial(self._make, shard),
            os.path.join(self._folder, SCRATCH_FOLDER),
        )
        if finished_before:
            beam.metrics.Metrics.counter("polyseme", FINISHED_BEFORE).inc()
        yield {**summary, "file": name, "counts": counts}

    def _fingerprint(self, shard: Shard) -> str:
        tokenizer = sorted(pathlib.Path(self._folder, TOKENIZER_FOLDER).iterdir())
        parts = [sha256(path) for path in (pathlib.Path(shard.path), *tokenizer)]
        parts += [shard.target, str(shard.share), self._family, self._objective, self._code]
        parts += [str(self._seed), str(self._span)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def _make(self, shard: Shard, path: pathlib.Path, counts: pathlib.Path) -> dict[str, Any]:
        """Makes a shard's examples.

        Args:
            shard: the document shard.
            path: receives the examples.
            counts: receives the examples' lengths and what the baselines count in them.

        Returns:
            The summary of the file.
        """
        from components.examples.tokenization import Coverage, tokenize_documents

        objective, tokenizer = self._load()
        span = self._span if shard.older_span is None else shard.older_span
        tally: collections.Counter[str] = collections.Counter()
        documents = [
            document
            for document in read_documents(shard.path)
            if shard.share == 1.0 or unit_hash(f"{self._span} {document.id}") < shard.share
        ]
        coverage = Coverage()
        tokenized = tokenize_documents(documents, objective, tokenizer, tally, coverage)
        key = (self._seed, span, SPLITS.index(shard.split), shard_number(shard.path))
        spec = objective.feature_spec()
        if shard.split == TRAIN:
            batches = objective.make_examples(tokenized, np.random.default_rng(key), tally)
        else:
            spec = {**spec, UNIT: UNIT_FEATURE}
            batches = held_out_examples(objective, tokenized, key, tally)
        lengths, positions, tables, labels = _write(path, batches, objective, spec)
        arrays = {"lengths": lengths} | baseline_counts.count_arrays(tables)
        return {
            "split": shard.split if shard.older_span is None else OLDER,
            "documents": len(documents),
            "pieces": sum(len(document.lengths) for document in tokenized),
            "examples": len(lengths),
            "positions": positions,
            "real_positions": int(lengths.sum()),
            "tally": dict(tally),
            "coverage": dict(coverage.counts),
            "worst": coverage.worst,
            "labels": labels,
            "arrays": write_arrays(counts, arrays),
        }

    def _load(self) -> "tuple[Objective, GraphTokenizer]":
        return load_objective(
            self._family, self._objective, os.path.join(self._folder, TOKENIZER_FOLDER)
        )


@functools.lru_cache(maxsize=1)
def load_objective(
    family: str, objective: str, tokenizer: str
) -> "tuple[Objective, GraphTokenizer]":
    """Loads the objective and the tokenizer, once in a worker process.

    Args:
        family: a name in the registry.
        objective: the objective's settings that the examples depend on, as JSON.
        tokenizer: folder of the tokenizer's files.

    Raises:
        ConfigError: the configuration or the tokenizer cannot be used.
    """
    from components.examples.tokenization import GraphTokenizer
    from models.registry import FAMILIES

    row = FAMILIES[family]
    loaded = row.tokenizer.load(pathlib.Path(tokenizer))
    settings = from_json(row.objective_config, objective)
    return row.build_objective(settings, loaded), GraphTokenizer(loaded)


def _write(
    path: pathlib.Path, batches: Iterator[Examples], objective: Objective, spec: FeatureSpec
) -> tuple[np.ndarray, int, dict[str, Counts], dict[str, list[int]]]:
    """Writes examples to a file.

    Returns:
        The number of real positions of each example, int64 `[examples]`; the number of all
        positions; the baselines' counts by table; and for each feature with labels the number of
        examples with each label.
    """
    serializer = Serializer(spec)
    labels = {
        name: np.zeros(len(feature.labels.names), np.int64)
        for name, feature in spec.items()
        if feature.labels
    }
    lengths, positions = [np.zeros(0, np.int64)], 0
    tables: collections.defaultdict[str, Counting] = collections.defaultdict(Counting)
    with RecordWriter(path) as writer:
        for examples in batches:
            writer.write(serializer.serialize_columns(examples))
            mask = examples["padding_mask"]
            lengths.append(mask.sum(axis=1))
            positions += mask.size
            for name, label_counts in labels.items():
                label_counts += np.bincount(examples[name].ravel(), minlength=len(label_counts))
            for table, keys in objective.count(examples).items():
                tables[table].add(keys)
    counts = {table: counting.counts() for table, counting in tables.items()}
    return (
        np.concatenate(lengths),
        positions,
        counts,
        {name: label_counts.tolist() for name, label_counts in labels.items()},
    )


def _sum(files: Sequence[Mapping[str, Any]], name: str) -> dict[str, int]:
    total: collections.Counter[str] = collections.Counter()
    for summary in files:
        total.update(summary[name])
    return dict(sorted(total.items()))


def _total(files: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Adds up the summaries of several files."""
    from components.examples.tokenization import worst_documents

    total = {
        name: sum(summary[name] for summary in files)
        for name in ("documents", "pieces", "examples", "positions", "real_positions")
    }
    return {
        "files": len(files),
        **total,
        "padding_share": 1 - total["real_positions"] / max(total["positions"], 1),
        "tally": _sum(files, "tally"),
        "coverage": _sum(files, "coverage"),
        "worst": worst_documents([document for summary in files for document in summary["worst"]]),
        "labels": {
            name: [*map(sum, zip(*(summary["labels"][name] for summary in files), strict=True))]
            for name in (files[0]["labels"] if files else ())
        },
    }


def _summarize(
    summaries: Sequence[Mapping[str, Any]], folder: str, family: str, objective: str
) -> None:
    """Writes examples.json and SHA256SUMS, and for the training examples their counts and index."""
    ordered = sorted(summaries, key=lambda summary: summary["file"])
    splits = {
        split: _total([summary for summary in ordered if summary["split"] == split])
        for split in (*SPLITS, OLDER)
    }
    older = splits.pop(OLDER)
    content = {"family": family, "objective": json.loads(objective), "splits": splits, OLDER: older}
    write_whole(os.path.join(folder, EXAMPLES_FILE), [json.dumps(content, indent=2)])
    train = [summary for summary in ordered if summary["split"] in (TRAIN, OLDER)]
    baseline_counts.write_counts(folder, [(file["counts"], file["arrays"]) for file in train])
    lengths = {
        os.path.basename(file["file"]): read_arrays(file["counts"], file["arrays"])["lengths"]
        for file in train
    }
    write_index(split_folder(folder, TRAIN), lengths)
    lines = [f"{summary['sha256'][0]}  {summary['file']}\n" for summary in ordered]
    write_whole(os.path.join(folder, MANIFEST_FILE), lines)
