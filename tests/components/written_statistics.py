"""Writes DataGate's inputs for tests: statistics of documents, and the counts of other steps."""

import dataclasses
import json
import pathlib
from typing import Any

import tensorflow as tf
from tfx.components import StatisticsGen
from tfx.types.standard_artifacts import Examples, ExampleStatistics

from components.config import ValidationConfig
from components.validation.component import stats_options

# 30 training documents (24 en from a diary, 6 zh from letters; lengths 100 to 129), and 5 for test.
TRAIN = [("en", "diary", 100 + n) for n in range(24)] + [
    ("zh", "letters", 124 + n) for n in range(6)
]
TEST = [("en", "diary", length) for length in (50, 60, 70, 80, 90)]


def _feature(value: str | int | float) -> tf.train.Feature:
    if isinstance(value, str):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))
    if isinstance(value, int):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
    return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))


def _example(lang: str, source: str, characters: int) -> bytes:
    values = {
        "id": f"{source}-{characters}",
        "text": "x" * characters,
        "source": source,
        "lang": lang,
        "timestamp": 0,
        "characters": characters,
        "non_letter_share": 0.25 if characters == 110 else 0.125,
        "replacement_share": 0.0,
        "duplicate": 1 if characters == 129 else 0,
    }
    features = tf.train.Features(feature={name: _feature(v) for name, v in values.items()})
    return tf.train.Example(features=features).SerializeToString()


def artifact_in(kind, folder: pathlib.Path, identity: int = 0, **properties):
    artifact = kind()
    artifact.uri = str(folder)
    artifact.id = identity
    for name, value in properties.items():
        setattr(artifact, name, value)
    folder.mkdir(parents=True, exist_ok=True)
    return artifact


def write_statistics(folder: pathlib.Path) -> pathlib.Path:
    """Runs StatisticsGen on the documents; returns the folder of its statistics."""
    examples = artifact_in(Examples, folder / "examples", split_names='["train", "test"]', span=7)
    for split, documents in (("train", TRAIN), ("test", TEST)):
        shard = folder / "examples" / f"Split-{split}" / "documents-00000-of-00001.tfrecord.gz"
        shard.parent.mkdir()
        with tf.io.TFRecordWriter(str(shard), "GZIP") as writer:
            for document in documents:
                writer.write(_example(*document))
    statistics = artifact_in(ExampleStatistics, folder / "out")
    StatisticsGen.EXECUTOR_SPEC.executor_class().Do(
        {"examples": [examples]},
        {"statistics": [statistics]},
        {"stats_options_json": stats_options().to_json(), "exclude_splits": "[]"},
    )
    assert statistics.span == 7, "the resolvers and the gate read the span from the statistics"
    return folder / "out"


def validation(**bounds: Any) -> str:
    """A ValidationConfig as JSON."""
    defaults = {"max_duplicate_share": 0.1, "min_test_documents": 6}
    return json.dumps(dataclasses.asdict(ValidationConfig(**defaults | bounds)))


MALFORMED = [
    {"file": "a.jsonl", "line": 3, "reason": "text is empty", "start": ""},
    {"file": "a.jsonl", "line": 7, "reason": "not JSON: column 2", "start": "{"},
]
INGESTED = {
    "unreadable": [],
    "splits": {"train": {"documents": 31}, "eval": {"documents": 0}, "test": {"documents": 6}},
    "quarantined": 2,
    "empty": 1,
}
CLEANED = {
    "splits": {
        "train": {
            "documents": 31,
            "kept": 28,
            "dropped": {"too short": 1, "duplicate": 2},
            "quarantined": 1,
        },
        "eval": {"documents": 0, "kept": 0, "dropped": {}, "quarantined": 0},
        "test": {"documents": 6, "kept": 6, "dropped": {}, "quarantined": 0},
    },
    "examples": {
        "too short": [{"id": "s", "reason": "too short", "detail": "2 characters"}],
        "duplicate": [{"id": "d", "reason": "duplicate", "detail": "of e"}],
    },
}


def write_counts(folder: pathlib.Path) -> tuple[Examples, Examples]:
    """Writes the counts of TextExampleGen and TextCleaner; returns the two artifacts."""
    documents = artifact_in(Examples, folder / "documents")
    (folder / "documents" / "ingestion.json").write_text(json.dumps(INGESTED))
    lines = "".join(json.dumps(item) + "\n" for item in MALFORMED)
    (folder / "documents" / "quarantine.jsonl").write_text(lines)
    cleaned = artifact_in(Examples, folder / "cleaned", 43)
    (folder / "cleaned" / "cleaning.json").write_text(json.dumps(CLEANED))
    return documents, cleaned
