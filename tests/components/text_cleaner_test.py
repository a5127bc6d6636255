"""The component: the artifact it fills, and each refusal as the user reads it."""

from __future__ import annotations

import dataclasses
import json
import logging
import pathlib

import apache_beam as beam
import pytest
from tfx.types import standard_artifacts

from components.config import CleaningConfig
from components.documents import Document, serialize
from components.record_files import RecordWriter
from components.text_cleaner import TextCleaner
from models.errors import DataRefused

TEXTS = {"a": "One.", "b": "Two.", "c": "One.", "d": "Three."}


def clean(
    folder: pathlib.Path, texts: dict[str, str], config: CleaningConfig
) -> standard_artifacts.Examples:
    documents, cleaned = standard_artifacts.Examples(), standard_artifacts.Examples()
    documents.uri, cleaned.uri = str(folder / "documents"), str(folder / "cleaned")
    documents.set_string_custom_property("span_label", "2024-05")
    for name in ("span", "payload_format", "file_format"):
        documents.set_string_custom_property(name, f"its {name}")
    for split, named in (("train", texts), ("eval", {"h": "Held out."})):
        path = pathlib.Path(documents.uri) / f"Split-{split}"
        path.mkdir(parents=True)
        with RecordWriter(str(path / "documents-00000-of-00001.tfrecord.gz")) as writer:
            texts = named.items()
            writer.write(serialize([Document(name, text, "s", "en", 0) for name, text in texts]))
    TextCleaner.test_call(
        documents=documents,
        cleaned=cleaned,
        config=json.dumps(dataclasses.asdict(config)),
        evaluation="",
        unkeyed="{}",
        span=2,
        beam_pipeline=beam.Pipeline(),
    )
    return cleaned


def test_fills_an_artifact_that_tfx_understands(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "held.txt").write_text("A short one.\n\n" + "word " * 20)
    config = CleaningConfig(evaluation_texts=(str(tmp_path / "held.txt"),))
    with caplog.at_level(logging.INFO, "polyseme.text_cleaner"):
        artifact = clean(tmp_path, TEXTS, config)
    assert artifact.split_names == '["train", "eval"]'
    assert artifact.span == 2
    assert artifact.get_string_custom_property("span") == "its span"
    assert artifact.get_string_custom_property("span_label") == "2024-05"
    assert artifact.get_string_custom_property("file_format") == "its file_format"
    assert sorted(path.name for path in pathlib.Path(artifact.uri).iterdir()) == [
        "Dropped",
        "Split-eval",
        "Split-train",
        "cleaning.json",
    ]
    assert caplog.messages == [
        "span 2024-05: looking for runs of 13 words of 1 evaluation text(s); 1 are shorter and"
        " are not looked for",
        "span 2024-05: 3 documents to train on, 1 held out; dropped 1 (duplicate)",
    ]


def test_refuses_to_drop_most(tmp_path: pathlib.Path) -> None:
    texts = {f"d{n}": "Same." for n in range(4)} | {"e": "Other.", "f": "More."}
    with pytest.raises(DataRefused) as refused:
        clean(tmp_path, texts, CleaningConfig(max_dropped_share=0.4))
    assert str(refused.value) == (
        "3 of 7 documents would be dropped: 3 (duplicate); cleaning.max_dropped_share is 40%.\n"
        "  d1: duplicate, of d0\n"
        "  d2: duplicate, of d0\n"
        "  d3: duplicate, of d0\n"
        f"  where: {tmp_path}/documents\n"
        "  to do: Look at the documents, then loosen the rule, or raise max_dropped_share."
    )


def test_refuses_to_leave_too_few(tmp_path: pathlib.Path) -> None:
    with pytest.raises(DataRefused, match="1 to train on and 1 held out"):
        clean(tmp_path, {"a": "Same.", "b": "Same."}, CleaningConfig())
