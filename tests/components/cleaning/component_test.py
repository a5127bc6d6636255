"""Tests of TextCleaner: the artifacts, the log, and the messages that refuse a span."""

from __future__ import annotations

import dataclasses
import json
import logging
import pathlib
import shutil
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from tfx.types import standard_artifacts

from components.artifacts import TrainedTexts
from components.cleaning.component import TextCleaner, covered_by
from components.config import CleaningConfig
from components.documents import Document, serialize
from components.storage.record_files import RecordWriter
from models.errors import DataRefused

TEXTS = {"a": "One.", "b": "Two.", "c": "One.", "d": "Three."}


def clean(
    folder: pathlib.Path,
    texts: dict[str, str],
    config: CleaningConfig,
    *,
    earlier: TrainedTexts | None = None,
    **bounds: Any,
) -> standard_artifacts.Examples:
    documents, cleaned = standard_artifacts.Examples(), standard_artifacts.Examples()
    documents.uri, cleaned.uri = str(folder / "documents"), str(folder / "cleaned")
    documents.set_string_custom_property("span_label", "2024-05")
    for name in ("span", "payload_format", "file_format"):
        documents.set_string_custom_property(name, f"its {name}")
    for split, of_split in (("train", texts), ("test", {"h": "Held out."})):
        path = pathlib.Path(documents.uri) / f"Split-{split}"
        path.mkdir(parents=True)
        with RecordWriter(str(path / "documents-00000-of-00001.tfrecord.gz")) as writer:
            items = of_split.items()
            writer.write(serialize([Document(name, text, "s", "en", 0) for name, text in items]))
    trained = TrainedTexts()
    trained.uri = str(folder / "trained")
    TextCleaner.test_call(
        documents=documents,
        cleaned=cleaned,
        trained=trained,
        config=json.dumps(dataclasses.asdict(config)),
        bounds=json.dumps(bounds),
        evaluation="",
        unkeyed="{}",
        span=2,
        quarantine_dir=str(folder / "quarantine"),
        beam_pipeline=beam.Pipeline(),
        **({"earlier": [earlier]} if earlier else {}),
    )
    return cleaned


def trained_texts(
    folder: pathlib.Path,
    texts: dict[str, str],
    earlier: TrainedTexts | None,
    config: CleaningConfig = CleaningConfig(),  # noqa: B008  frozen
) -> TrainedTexts:
    """The TrainedTexts of a span with these training texts."""
    for name in ("documents", "cleaned", "trained"):
        shutil.rmtree(folder / name, ignore_errors=True)
    clean(folder, texts, config, earlier=earlier)
    result = TrainedTexts()
    result.uri = str(
        shutil.copytree(folder / "trained", folder / f"kept-{len(list(folder.iterdir()))}")
    )
    return result


def test_fills_an_artifact_that_tfx_understands(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "held.txt").write_text("A short one.\n\n" + "word " * 20)
    config = CleaningConfig(evaluation_texts=(str(tmp_path / "held.txt"),))
    with caplog.at_level(logging.INFO, "polyseme.text_cleaner"):
        artifact = clean(tmp_path, TEXTS, config)
    assert artifact.split_names == '["train", "test"]'
    assert artifact.span == 2
    assert artifact.get_string_custom_property("span") == "its span"
    assert artifact.get_string_custom_property("span_label") == "2024-05"
    assert artifact.get_string_custom_property("file_format") == "its file_format"
    assert sorted(path.name for path in pathlib.Path(artifact.uri).iterdir()) == [
        "Dropped",
        "Split-eval",
        "Split-test",
        "Split-train",
        "cleaning.json",
    ]
    assert caplog.messages == [
        "span 2024-05: looking for 13-grams of words of 1 evaluation text(s); 1 are too short to"
        " look for",
        "span 2024-05: documents: 3 to train on, 1 to test on; dropped 1 (duplicate)",
    ]


def test_odd_documents_are_quarantined_with_their_values_whatever_their_share(
    tmp_path: pathlib.Path,
) -> None:
    texts = {f"d{n}": "Same." for n in range(4)} | {"e": "Other.", "f": "???", "g": "Mo\ufffde."}
    artifact = clean(tmp_path, texts, CleaningConfig(max_dropped_share=0.1))
    summary = json.loads((pathlib.Path(artifact.uri) / "cleaning.json").read_text())
    train = summary["splits"]["train"]
    assert (train["documents"], train["kept"], train["quarantined"]) == (7, 2, 2)
    assert train["dropped"] == {"duplicate": 3, "non-letters": 1, "replacement characters": 1}
    kept = tmp_path / "quarantine" / "span-2024-05.documents.jsonl"
    assert [json.loads(line) for line in kept.read_text().splitlines()] == [
        {
            "id": "f",
            "source": "s",
            "reason": "non-letters",
            "detail": "100.0% of its characters",
            "start": "???",
        },
        {
            "id": "g",
            "source": "s",
            "reason": "replacement characters",
            "detail": "20.00% of its characters",
            "start": "Mo\ufffde.",
        },
    ]


def test_refuses_to_leave_too_few_documents_and_names_the_quarantine(
    tmp_path: pathlib.Path,
) -> None:
    with pytest.raises(DataRefused) as refused:
        clean(
            tmp_path, {"a": "Same.", "b": "Same.", "c": "No."}, CleaningConfig(), min_characters=4
        )
    kept = tmp_path / "quarantine" / "span-2024-05.documents.jsonl"
    assert str(refused.value) == (
        "Too few documents are left: 1 to train on and 1 to test on; at least 2 and 1 are needed."
        " Dropped: 1 (duplicate), 1 (too short).\n"
        "  b: duplicate, of a\n"
        "  c: too short, 3 characters\n"
        f"  quarantined documents are listed in {kept}\n"
        f"  where: {tmp_path}/documents\n"
        "  to do: Add documents, or relax the rules of cleaning or the bounds of validation."
    )
    assert json.loads(kept.read_text())["id"] == "c"


def test_keys_of_trained_texts_accumulate_over_spans(tmp_path: pathlib.Path) -> None:
    keys = []
    earlier = None
    for span, texts in enumerate([{"a": "One.", "b": "Two."}, {"c": "Two.", "d": "Three."}]):
        folder = tmp_path / str(span)
        folder.mkdir()
        earlier = trained_texts(folder, texts, earlier)
        keys.append(np.load(pathlib.Path(earlier.uri) / "keys.npy"))
    assert [len(each) for each in keys] == [2, 3]
    assert set(keys[0]) < set(keys[1])
    # A training document that duplicates a held-out one is dropped, so it is not trained on.
    repeated = {"e": "Held out.", "f": "More.", "g": "Most."}
    earlier = trained_texts(tmp_path / "0", repeated, earlier)
    trained_texts(tmp_path / "1", {"h": "New.", "i": "Newer."}, earlier)
    settings = CleaningConfig(duplicates=False)
    earlier = trained_texts(tmp_path / "0", repeated, earlier, settings)
    with pytest.raises(DataRefused, match=r"0 to test on.*1 \(trained on before\)"):
        trained_texts(tmp_path / "1", {"g": "New.", "h": "Newer."}, earlier)
    settings = CleaningConfig(trained_before=False)
    trained_texts(tmp_path / "1", {"g": "New.", "h": "Newer."}, earlier, settings)


def test_covered_by_lists_the_artifacts_whose_keys_are_contained() -> None:
    first, second, other = TrainedTexts(), TrainedTexts(), TrainedTexts()
    first.id, second.id, other.id = 11, 12, 13
    second.set_string_custom_property("covers", json.dumps(covered_by([first])))
    assert covered_by([]) == []
    assert covered_by([other, second]) == [11, 12, 13]
