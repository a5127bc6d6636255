"""Example generation: documents to files of BERT examples, in sequences a second.

    python -m benchmarks.examples_benchmark [--input FILE.jsonl] [--megabytes 1]

Runs the builder's Beam pipeline on the DirectRunner inside this process, then each of its stages
apart on the same documents, to show where the time goes.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

import apache_beam as beam
import numpy as np
import tensorflow as tf

from benchmarks.corpus import arguments, read_documents
from components import documents as documents_module
from components import example_builder
from components.config import ExamplesConfig
from components.documents import Document
from models.bert.config import SIZES, BertConfig
from models.examples import Serializer
from models.registry import FAMILIES
from models.tokenizers.config import WordPieceConfig

T = TypeVar("T")
FAMILY = "bert"


def main() -> None:
    options = arguments(__doc__, megabytes=1)
    documents = read_documents(options.input, options.megabytes)
    size = sum(len(document.text.encode()) for document in documents) / 1e6
    config = BertConfig(
        backbone=SIZES["tiny"], tokenizer=WordPieceConfig(vocabulary_size=options.vocabulary_size)
    )
    print(
        f"{size:.1f} MB, {len(documents)} documents, each used {config.objective.dupe_factor} times"
    )
    runs = []
    for _ in range(options.repeats):
        with tempfile.TemporaryDirectory() as folder:
            source, target = pathlib.Path(folder, "documents"), pathlib.Path(folder, "examples")
            _write_documents(documents, source)
            _write_tokenizer(documents, config, target / example_builder.TOKENIZER_FOLDER)
            runs.append(_build(source, target, config))
    count, seconds = min(runs, key=lambda run: run[1])
    print(f"{count:,} sequences in {seconds:.1f} s with Beam: {count / seconds:,.0f} a second")
    with tempfile.TemporaryDirectory() as folder:
        _stages(documents, config, pathlib.Path(folder))


def _write_documents(documents: Sequence[Document], folder: pathlib.Path) -> None:
    """What TextExampleGen would write; the last document is held out: no split may be empty."""
    for split, chosen in (("train", documents[:-1]), ("eval", documents[-1:])):
        (folder / f"Split-{split}").mkdir(parents=True)
        path = str(folder / f"Split-{split}" / "documents.tfrecord.gz")
        with tf.io.TFRecordWriter(path, tf.io.TFRecordOptions("GZIP")) as writer:
            for document in chosen:
                writer.write(documents_module.serialize(document, duplicate=False))


def _write_tokenizer(
    documents: Sequence[Document], config: BertConfig, folder: pathlib.Path
) -> None:
    family = FAMILIES[FAMILY]
    splitter = family.tokenizer.word_splitter(config.tokenizer)
    words, numbers = splitter.count(tf.constant([document.text for document in documents]))
    counts = Counter(
        {
            word.decode(): int(number)
            for word, number in zip(words.numpy(), numbers.numpy(), strict=True)
        }
    )
    folder.mkdir(parents=True)
    family.learn(counts, config.tokenizer).save(folder)


def _build(source: pathlib.Path, target: pathlib.Path, config: BertConfig) -> tuple[int, float]:
    """Training and evaluation sequences, and the seconds that Beam took for them."""
    begun = time.perf_counter()
    with beam.Pipeline(runner="DirectRunner") as pipeline:
        example_builder.build(
            pipeline,
            str(source),
            str(target),
            family=FAMILY,
            model=json.dumps(dataclasses.asdict(config)),
            config=ExamplesConfig(),
            span=1,
        )
    seconds = time.perf_counter() - begun
    summary = json.loads((target / example_builder.EXAMPLES_FILE).read_text(encoding="utf-8"))
    return sum(split["examples"] for split in summary["splits"].values()), seconds


def _stages(documents: Sequence[Document], config: BertConfig, folder: pathlib.Path) -> None:
    """Seconds of each stage on all documents as one group."""
    family = FAMILIES[FAMILY]
    _write_tokenizer(documents, config, folder / "tokenizer")
    tokenizer = family.tokenizer.load(folder / "tokenizer")
    objective = family.build_objective(config.objective, tokenizer)
    tally: Counter[str] = Counter()

    def tokenize(texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        ids = tokenizer.tokenize(texts)
        return ids.values, ids.row_splits

    tokenize(tf.constant(["warm up"]))
    _timed("split alone", lambda: [objective.split(d.text, d.lang) for d in documents])
    tokenized = _timed(
        "split and tokenize",
        lambda: example_builder.tokenize_documents(documents, objective, tokenize, tally),
    )
    rng = np.random.default_rng(0)
    made = _timed("make", lambda: list(objective.make_examples(tokenized, rng, tally)))
    serializer = Serializer(objective.feature_spec())
    serialized = _timed("serialize", lambda: serializer.serialize(made))

    def write() -> int:
        path = os.fspath(folder / "examples.tfrecord.gz")
        with tf.io.TFRecordWriter(path, tf.io.TFRecordOptions("GZIP")) as writer:
            for record in serialized:
                writer.write(record)
        return len(serialized)

    _timed("compress and write", write)


def _timed(stage: str, work: Callable[[], T]) -> T:
    begun = time.perf_counter()
    result = work()
    print(f"  {stage:20s} {time.perf_counter() - begun:6.2f} s")
    return result


if __name__ == "__main__":
    main()
