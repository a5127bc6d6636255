"""Writes documents as TextExampleGen does, and runs ExampleBuilder on them, for tests."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import apache_beam as beam
import numpy as np
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions
from tfx.types import standard_artifacts

from components.artifacts import Vocabulary
from components.config import ExamplesConfig
from components.documents import Document, serialize
from components.examples.component import ExampleBuilder
from models.bert.config import BertConfig
from tests.testdata import little_bert

EMPTY = Document("empty", "\x01\x02", "letters", "en", 0)
"""A document without tokens: to the tokenizer, control characters are white space."""
TRAIN = [Document(f"t/{n}", little_bert.text(n), "paper", "en", 0) for n in range(24)] + [EMPTY]
EVAL = [Document(f"held/{n}", little_bert.text(100 + n), "letters", "en", 0) for n in range(6)]
TEST = [Document(f"test/{n}", little_bert.text(200 + n), "letters", "en", 0) for n in range(2)]
SHARDS = (TRAIN[:9], TRAIN[9:17], TRAIN[17:])
EVAL_SHARDS = (EVAL[:2], EVAL[2:])
SETTINGS = ExamplesConfig()
OBJECTIVE = json.dumps(dataclasses.asdict(little_bert.CONFIG.objective))
FILES = [
    "SHA256SUMS",
    *(f"Split-eval/examples-0000{n}-of-00002.tfrecord.gz" for n in range(2)),
    "Split-test/examples-00000-of-00001.tfrecord.gz",
    *(f"Split-train/examples-0000{n}-of-00003.tfrecord.gz" for n in range(3)),
    "baselines/next_sentence.npy",
    "baselines/words.npy",
    "examples.json",
    "index/Split-train/counts.json",
    "index/Split-train/lengths.npy",
]
DTYPES = {"int64_list": np.int64, "float_list": np.float32, "bytes_list": object}


def write_documents(
    folder: pathlib.Path,
    train: Sequence[Sequence[Document]] = SHARDS,
    held_out: Sequence[Sequence[Document]] = EVAL_SHARDS,
) -> pathlib.Path:
    """Writes shards of documents as TextExampleGen does."""
    for split, shards in (("train", train), ("eval", held_out), ("test", [TEST])):
        (folder / f"Split-{split}").mkdir(parents=True)
        for shard, documents in enumerate(shards):
            name = f"documents-{shard:05d}-of-{len(shards):05d}.tfrecord.gz"
            path = str(folder / f"Split-{split}" / name)
            with tf.io.TFRecordWriter(path, tf.io.TFRecordOptions("GZIP")) as writer:
                for document in documents:
                    writer.write(*serialize([document]))
    return folder


def make(
    folder: pathlib.Path,
    documents: pathlib.Path,
    *flags: str,
    span: int = 1,
    config: ExamplesConfig = SETTINGS,
    model: BertConfig = little_bert.CONFIG,
    older: Mapping[int, pathlib.Path] = MappingProxyType({}),
    replay_share: float = 0.0,
) -> standard_artifacts.Examples:
    """Runs ExampleBuilder; writes to `folder / "examples"`. `older` has documents by span."""
    little_bert.tokenizer().save(folder / "vocabulary")
    artifact, vocabulary = standard_artifacts.Examples(), Vocabulary()
    artifact.uri, vocabulary.uri = str(documents), str(folder / "vocabulary")
    examples = standard_artifacts.Examples()
    examples.uri = str(folder / "examples")
    older_artifacts = []
    for number, path in older.items():
        older_artifacts.append(standard_artifacts.Examples())
        older_artifacts[-1].uri, older_artifacts[-1].span = str(path), number
    ExampleBuilder.test_call(
        documents=artifact,
        vocabulary=vocabulary,
        examples=examples,
        family="bert",
        objective=json.dumps(dataclasses.asdict(model.objective)),
        config=json.dumps(dataclasses.asdict(config)),
        replay_share=replay_share,
        older=older_artifacts,
        span=span,
        unkeyed=json.dumps({"code": "c0de", "finished": str(folder / "finished")}),
        beam_pipeline=beam.Pipeline(options=PipelineOptions(["--runner=DirectRunner", *flags])),
    )
    return examples


def contents(folder: pathlib.Path) -> dict[str, bytes]:
    """The bytes of all files in a folder by path, without the copy of the tokenizer."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    found = {str(path.relative_to(folder)): path.read_bytes() for path in files}
    return {name: data for name, data in found.items() if not name.startswith("tokenizer/")}


def examples_in(folder: pathlib.Path, split: str) -> Iterator[dict[str, np.ndarray]]:
    """The examples of a split, parsed without our code."""
    for path in sorted((folder / f"Split-{split}").iterdir()):
        for record in tf.data.TFRecordDataset(str(path), "GZIP").as_numpy_iterator():
            feature = tf.train.Example.FromString(record).features.feature
            kinds = {name: value.WhichOneof("kind") for name, value in feature.items()}
            yield {
                name: np.array(list(getattr(feature[name], kind).value), DTYPES[kind])
                for name, kind in kinds.items()
            }
