"""Beam's part of ExampleBuilder: shards of documents in, files of examples out (law 5).

TextExampleGen has put each document into a shard by a hash of its id, so that a shard is a uniform
sample of the span. One call does a whole shard: it splits and tokenizes the documents in batches,
asks the objective for examples with a generator that is keyed by (seed, span, split, shard), of
held-out documents block by block (components/evaluation/resampling_units.py), and writes one file,
to a temporary name that is then renamed. Shards have nothing to do with each other, and no runner,
number of workers, order of bundles or retry can be seen in the bytes. Shards of older spans that
are trained on once more keep their own span in the key.

Imports no TFX, which each of Beam's worker processes would pay for.
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
from components.evaluation.resampling_units import UNIT, UNIT_FEATURE, blocks, unit_names
from components.examples import baseline_counts
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
from models.objective import Examples, FeatureSpec, Objective, TokenizedDocument
from models.settings import from_json
from models.training.example_index import write_index

if TYPE_CHECKING:
    from components.examples.tokenization import GraphTokenizer

FOUND = "finished_before"
"""Beam's counter of the files that a run before had finished."""
_MIXED = 4_096  # held-out examples in memory at a time


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
    """Adds to a Beam pipeline what makes examples of documents.

    Args:
        pipeline: the pipeline.
        shards: the files of documents.
        folder: receives the files; holds the tokenizer's in `tokenizer/` already.
        family: a name of the registry.
        objective: the objective's settings that the examples depend on, as JSON.
        config: how to draw.
        span: the span's number.
        code: version of the code.
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
    """Makes one shard's file of examples, or takes the finished one; yields the file's summary."""

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
        if "tensorflow" not in sys.modules:  # a worker process, not the command's own
            with fast_imports():
                self._load()

    def process(self, element: Any) -> Iterator[dict[str, Any]]:
        shard = Shard(*element)
        name = shard.target
        counted = os.path.join(self._folder, SCRATCH_FOLDER, name.replace("/", "-"))
        summary, found = finish(
            self._finished,
            self._fingerprint(shard),
            [os.path.join(self._folder, name), counted],
            functools.partial(self._make, shard),
            os.path.join(self._folder, SCRATCH_FOLDER),
        )
        if found:
            beam.metrics.Metrics.counter("polyseme", FOUND).inc()
        yield {**summary, "file": name, "counted": counted}

    def _fingerprint(self, shard: Shard) -> str:
        tokenizer = sorted(pathlib.Path(self._folder, TOKENIZER_FOLDER).iterdir())
        parts = [sha256(path) for path in (pathlib.Path(shard.path), *tokenizer)]
        parts += [shard.target, str(shard.share), self._family, self._objective, self._code]
        parts += [str(self._seed), str(self._span)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def _make(self, shard: Shard, path: str, counted: str) -> dict[str, Any]:
        from components.examples.tokenization import Coverage, tokenize_documents

        objective, tokenizer = self._load()
        split, span = shard.split, self._span if shard.older is None else shard.older
        number = shard_number(shard.path)
        tally: collections.Counter[str] = collections.Counter()
        documents = [
            document
            for document in read_documents(shard.path)
            if shard.share == 1.0 or unit_hash(f"{self._span} {document.id}") < shard.share
        ]
        coverage = Coverage()
        tokenized = tokenize_documents(documents, objective, tokenizer, tally, coverage)
        key = (self._seed, span, SPLITS.index(split), number)
        spec = objective.feature_spec()
        if split != TRAIN:
            spec = {**spec, UNIT: UNIT_FEATURE}
            made = _held_out(objective, tokenized, key, tally)
        else:
            made = objective.make_examples(tokenized, np.random.default_rng(key), tally)
        lengths, positions, tables, labels = _write(path, made, objective, spec)
        arrays = {"lengths": lengths} | baseline_counts.arrays_of(tables)
        return {
            "split": split if shard.older is None else OLDER,
            "documents": len(documents),
            "pieces": sum(len(document.lengths) for document in tokenized),
            "examples": len(lengths),
            "positions": positions,
            "real_positions": int(lengths.sum()),
            "tally": dict(tally),
            "coverage": dict(coverage.counts),
            "worst": coverage.worst,
            "labels": labels,
            "arrays": write_arrays(counted, arrays),
        }

    def _load(self) -> "tuple[Objective, GraphTokenizer]":
        return load(self._family, self._objective, os.path.join(self._folder, TOKENIZER_FOLDER))


@functools.lru_cache(maxsize=1)
def load(family: str, objective: str, tokenizer: str) -> "tuple[Objective, GraphTokenizer]":
    """The objective and the tokenizer, made once in a worker process.

    Args:
        family: a name of the registry.
        objective: the objective's settings that the examples depend on, as JSON.
        tokenizer: the folder of its files.

    Raises:
        ConfigError: the configuration or the tokenizer cannot be used.
    """
    from components.examples.tokenization import GraphTokenizer
    from models.registry import FAMILIES

    row = FAMILIES[family]
    loaded = row.tokenizer.load(pathlib.Path(tokenizer))
    settings = from_json(row.objective_config, objective)
    return row.build_objective(settings, loaded), GraphTokenizer(loaded)


def _held_out(
    objective: Objective,
    documents: Sequence[TokenizedDocument],
    key: tuple[int, ...],
    tally: collections.Counter[str],
) -> Iterator[Examples]:
    """Examples to evaluate on, of one block of documents after the other, with their units.

    Which documents make a block is drawn at random: ids that are alike may be of texts that are
    alike, of one year or site, and the other documents of a block are to be a sample. The examples
    are mixed, `_MIXED` at a time: who reads the first ones only, as training does, has a sample of
    the documents too.
    """
    window = objective.feature_spec()["padding_mask"].shape[0]
    rng = np.random.default_rng((*key, 0))
    order = rng.permutation(len(documents)).tolist()
    parts = blocks([len(documents[place].tokens) for place in order], window)
    waiting: list[Examples] = []
    count = 0
    for block, part in enumerate(parts):
        of_block = [documents[place] for place in sorted(order[part.start : part.stop])]
        draws = np.random.default_rng((*key, 1, block))
        before = 0
        for examples in objective.make_examples(of_block, draws, tally, held_out=True):
            size = len(examples["padding_mask"])
            waiting.append({**examples, UNIT: unit_names(key[-1], block, before, size)})
            before += size
            count += size
            if count >= _MIXED:
                yield _mixed(waiting, rng)
                waiting, count = [], 0
    if count:
        yield _mixed(waiting, rng)


def _mixed(parts: Sequence[Examples], rng: np.random.Generator) -> Examples:
    """Examples of several parts in an order drawn at random."""
    order = rng.permutation(sum(len(part[UNIT]) for part in parts))
    return {name: np.concatenate([part[name] for part in parts])[order] for name in parts[0]}


def _write(
    path: str, made: Iterator[Examples], objective: Objective, spec: FeatureSpec
) -> tuple[np.ndarray, int, dict[str, Counts], dict[str, list[int]]]:
    """Writes examples.

    Returns:
        The real positions of each example, int64 `[examples]`, all positions of all of them, what
        the baselines count in them, and by feature that has labels the examples with each.
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
        for examples in made:
            writer.write(serializer.serialize_columns(examples))
            mask = examples["padding_mask"]
            lengths.append(mask.sum(axis=1))
            positions += mask.size
            for name, found in labels.items():
                found += np.bincount(examples[name].ravel(), minlength=len(found))
            for table, keys in objective.count(examples).items():
                tables[table].add(keys)
    counts = {table: counting.counts() for table, counting in tables.items()}
    return (
        np.concatenate(lengths),
        positions,
        counts,
        {name: found.tolist() for name, found in labels.items()},
    )


def _added(files: Sequence[Mapping[str, Any]], name: str) -> dict[str, int]:
    total: collections.Counter[str] = collections.Counter()
    for summary in files:
        total.update(summary[name])
    return dict(sorted(total.items()))


def _total(files: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What is known of several files together."""
    from components.examples.tokenization import worst_of

    total = {
        name: sum(summary[name] for summary in files)
        for name in ("documents", "pieces", "examples", "positions", "real_positions")
    }
    return {
        "files": len(files),
        **total,
        "padding_share": 1 - total["real_positions"] / max(total["positions"], 1),
        "tally": _added(files, "tally"),
        "coverage": _added(files, "coverage"),
        "worst": worst_of([each for summary in files for each in summary["worst"]]),
        "labels": {
            name: [*map(sum, zip(*(summary["labels"][name] for summary in files), strict=True))]
            for name in (files[0]["labels"] if files else ())
        },
    }


def _summarize(
    summaries: Sequence[Mapping[str, Any]], folder: str, family: str, objective: str
) -> None:
    """Writes what is known of all files, by their names.

    These are examples.json, SHA256SUMS, and of the examples to train on their counts and index.
    """
    ordered = sorted(summaries, key=lambda summary: summary["file"])
    found = {
        split: _total([summary for summary in ordered if summary["split"] == split])
        for split in (*SPLITS, OLDER)
    }
    older = found.pop(OLDER)
    content = {"family": family, "objective": json.loads(objective), "splits": found, OLDER: older}
    write_whole(os.path.join(folder, EXAMPLES_FILE), [json.dumps(content, indent=2)])
    train = [each for each in ordered if each["split"] in (TRAIN, OLDER)]
    baseline_counts.write_counts(folder, [(each["counted"], each["arrays"]) for each in train])
    lengths = {
        os.path.basename(each["file"]): read_arrays(each["counted"], each["arrays"])["lengths"]
        for each in train
    }
    write_index(split_folder(folder, TRAIN), lengths)
    lines = [f"{summary['sha256'][0]}  {summary['file']}\n" for summary in ordered]
    write_whole(os.path.join(folder, MANIFEST_FILE), lines)
