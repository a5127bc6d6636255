"""Tests of ExampleBuilder: the artifact, resuming a killed run, and refusals."""

from __future__ import annotations

import json
import logging
import pathlib
import shutil
from typing import Any

import numpy as np
import pytest

from components.documents import Document, read_documents
from components.examples import transforms
from components.examples.baseline_counts import StoredCounts
from models.errors import DataRefused
from models.training.example_index import read_index
from tests.components.built_examples import (
    FILES,
    contents,
    make,
    write_documents,
)
from tests.testdata import little_bert


def test_fills_an_artifact_that_tfx_understands(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    documents = write_documents(tmp_path / "documents")
    with caplog.at_level(logging.INFO, "polyseme.example_builder"):
        artifact = make(tmp_path, documents, span=7)
    assert artifact.split_names == '["train", "test", "eval"]'
    assert artifact.span == 7
    assert artifact.get_string_custom_property("span") == "7"
    assert artifact.get_string_custom_property("payload_format") == "FORMAT_TF_EXAMPLE"
    assert artifact.get_string_custom_property("file_format") == "tfrecords_gzip"
    folder = pathlib.Path(artifact.uri)
    assert sorted(contents(folder)) == FILES
    assert not (tmp_path / "finished").exists()
    for path in (tmp_path / "vocabulary").iterdir():
        assert (folder / "tokenizer" / path.name).read_bytes() == path.read_bytes()
    splits = json.loads((folder / "examples.json").read_text())["splits"]
    (line,) = [record.message for record in caplog.records if record.name.startswith("polyseme")]
    assert line == (
        f"span 7: examples: {splits['train']['examples']} to train on,"
        f" {splits['test']['examples']} to test on,"
        f" {splits['eval']['examples']} for evaluation during training;"
        f" {100 * splits['train']['padding_share']:.0f}% of the positions are padding"
    )


@pytest.mark.parametrize(("share", "replayed"), [(0.0, 25), (0.3, 11)])
def test_older_documents_give_the_examples_of_their_own_span(
    tmp_path: pathlib.Path, share: float, replayed: int
) -> None:
    older = write_documents(tmp_path / "older")
    made = make(tmp_path / "1", older, span=1)
    new = write_documents(tmp_path / "new", train=([_document(n) for n in range(30)],))
    for folder in (older, new):
        _summarize(folder)
    artifact = make(tmp_path / "2", new, span=2, older={1: older}, replay_share=share)
    assert artifact.get_string_custom_property("spans") == "[1, 2]"
    folder = pathlib.Path(artifact.uri)
    summary = json.loads((folder / "examples.json").read_text())
    assert summary["splits"]["train"]["documents"] == 30
    assert summary["older"]["documents"] == replayed
    index = read_index(sorted(map(str, (folder / "Split-train").iterdir())))
    of_both = summary["splits"]["train"]["examples"] + summary["older"]["examples"]
    assert index.counts.sum() == of_both > summary["splits"]["train"]["examples"]
    assert int(StoredCounts(folder)["next_sentence"].dense(2).sum()) == of_both
    if not share:
        for path in pathlib.Path(made.uri, "Split-train").iterdir():
            again = folder / "Split-train" / path.name.replace("examples-", "examples-of-span-1-")
            assert again.read_bytes() == path.read_bytes()


def _document(number: int) -> Document:
    return Document(f"n/{number}", little_bert.text(300 + number), "paper", "en", 0)


def _summarize(folder: pathlib.Path) -> None:
    """Writes the number of characters of the training documents, as TextCleaner does."""
    shards = (folder / "Split-train").iterdir()
    size = sum(len(document.text) for shard in shards for document in read_documents(shard))
    summary = {"splits": {"train": {"characters": {"kept": size}}}}
    (folder / "cleaning.json").write_text(json.dumps(summary))


class Killed(BaseException):
    """Simulates the end of the process."""


def test_a_killed_run_resumes_where_it_stopped(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    documents = write_documents(tmp_path / "documents")
    make(tmp_path, documents)
    expected = contents(tmp_path / "examples")
    shutil.rmtree(tmp_path / "examples")
    started: list[tuple[int, ...]] = []
    rng = np.random.default_rng

    def stop_at_the_third(key: tuple[int, ...]) -> np.random.Generator:
        if len(key) == 6:  # a block of a shard that was counted before
            return rng(key)
        started.append(key)
        if len(started) == 3:
            raise Killed
        return rng(key)

    monkeypatch.setattr(np.random, "default_rng", stop_at_the_third)
    with pytest.raises(BaseException, match="Killed"):
        make(tmp_path, documents)
    assert len(list((tmp_path / "finished").glob("*.json"))) == 2
    shutil.rmtree(tmp_path / "examples")  # TFX gives the next run another folder
    with caplog.at_level(logging.INFO, "polyseme.example_builder"):
        make(tmp_path, documents)
    assert contents(tmp_path / "examples") == expected
    completed = started[:2] + started[3:]
    assert sorted(set(completed)) == sorted(completed)  # no shard was made twice
    assert len(started) == 1 + 6
    assert "; 2 file(s) were finished before" in caplog.text
    assert not (tmp_path / "finished").exists()


@pytest.mark.parametrize(
    ("text", "sentences", "lost"),
    [
        ("The river rose.", 1, "{'chunks_without_partner': 1}"),
        ("\x01", 0, "{'documents_without_text': 1, 'pieces_without_token': 1}"),
    ],
)
def test_a_split_without_an_example_is_refused_with_the_tally(
    tmp_path: pathlib.Path, text: str, sentences: int, lost: str
) -> None:
    held_out = [[Document("x", text, "a", "en", 0)]]
    documents = write_documents(tmp_path / "documents", held_out=held_out)
    with pytest.raises(DataRefused) as caught:
        make(tmp_path, documents)
    assert str(caught.value) == (
        "The split 'eval' gave no training example out of 1 document(s) with"
        f" {sentences} sentence(s); dropped or cut: {lost}.\n"
        f"  where: {documents}\n"
        "  to do: Add documents, or lower ingestion.shards so that documents find partners."
    )


def test_a_failed_write_leaves_no_file(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = transforms._write

    def fail(path: str, *arguments: Any) -> None:
        write(path, *arguments)
        raise OSError("No space left on device")

    monkeypatch.setattr(transforms, "_write", fail)
    with pytest.raises(OSError, match="No space left on device"):
        make(tmp_path, write_documents(tmp_path / "documents"))
    assert not contents(tmp_path / "examples")
    assert not list((tmp_path / "finished").glob("*.json"))
