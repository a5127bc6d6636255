"""The component: the same bytes wherever it runs, ids of the tokenizer's own, nothing lost."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import pathlib
import shutil
import subprocess
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf

from components import example_builder
from components.documents import Document
from components.example_builder import build
from models.bert.objective import BertObjective
from models.errors import ConfigError, DataRefused
from models.examples import check
from models.tokenizers.sentences import split_sentences
from tests.components.built_examples import (
    EMPTY,
    EVAL,
    EVAL_SHARDS,
    MODEL,
    SETTINGS,
    SHARDS,
    TRAIN,
    contents,
    examples_in,
    make,
    write_documents,
)
from tests.testdata import little_bert

FILES = [
    "SHA256SUMS",
    *(f"Split-eval/examples-0000{n}-of-00002.tfrecord.gz" for n in range(2)),
    *(f"Split-train/examples-0000{n}-of-00003.tfrecord.gz" for n in range(3)),
    "examples.json",
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Documents, and what became of them inside one process."""
    folder = tmp_path_factory.mktemp("made")
    documents = write_documents(folder / "documents")
    make(folder, documents)
    found = contents(folder / "examples")
    return {
        "documents": documents,
        "examples": folder / "examples",
        "contents": found,
        "splits": json.loads(found["examples.json"])["splits"],
    }


def test_fills_an_artifact_that_tfx_understands(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    documents = write_documents(tmp_path / "documents")
    with caplog.at_level(logging.INFO, "polyseme.example_builder"):
        artifact = make(tmp_path, documents, span=7)
    assert artifact.split_names == '["train", "eval"]'
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
        f"span 7: {splits['train']['examples']} examples to train on,"
        f" {splits['eval']['examples']} held out;"
        f" {100 * splits['train']['padding_share']:.0f}% of the positions are padding"
    )


def test_the_figures_are_those_of_the_files(made: dict[str, Any]) -> None:
    for split, documents in (("train", TRAIN), ("eval", EVAL)):
        summary = made["splits"][split]
        masks = [example["padding_mask"] for example in examples_in(made["examples"], split)]
        assert summary["examples"] == len(masks) > len(documents)
        assert summary["positions"] == 24 * len(masks)
        assert summary["real_positions"] == np.sum(masks)
        assert summary["padding_share"] == pytest.approx(1 - np.mean(masks))
        assert summary["documents"] == len(documents)
        assert summary["pieces"] == sum(
            len(split_sentences(document.text, "en")) for document in documents if document != EMPTY
        )
        assert summary["files"] == len(SHARDS if split == "train" else EVAL_SHARDS)


def test_the_manifest_is_one_that_sha256sum_checks(made: dict[str, Any]) -> None:
    files = [name for name in FILES if name.startswith("Split-")]
    digests = [hashlib.sha256(made["contents"][name]).hexdigest() for name in files]
    assert made["contents"]["SHA256SUMS"].decode() == "".join(
        f"{digest}  {name}\n" for digest, name in zip(digests, files, strict=True)
    )
    command = ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"]
    subprocess.run(command, cwd=made["examples"], check=True)


def test_a_document_without_a_token_is_tallied(made: dict[str, Any]) -> None:
    for split, lost in (("train", 1), ("eval", 0)):
        tally = made["splits"][split]["tally"]
        assert tally["documents_without_text"] == tally["pieces_without_token"] == lost


def test_every_example_is_as_the_spec_says(made: dict[str, Any]) -> None:
    spec = BertObjective(little_bert.CONFIG.objective, little_bert.tokenizer()).feature_spec()
    for split, source in (("train", b"paper"), ("eval", b"letters")):
        for example in examples_in(made["examples"], split):
            check(example, spec)
            assert example["source"] == [source]
            assert 0 <= example["token_ids"].min() <= example["token_ids"].max() < 30


def test_every_segment_is_a_run_of_the_tokenizers_own_ids(made: dict[str, Any]) -> None:
    tokenizer = little_bert.tokenizer()
    runs = set()
    for document in TRAIN:
        sentences = split_sentences(document.text, "en")
        ids = [tokenizer.tokenize(tf.constant([sentence]))[0].numpy() for sentence in sentences]
        text = " ".join(map(str, np.concatenate(ids)))
        runs.add(f" {text} ")
    for example in examples_in(made["examples"], "train"):
        ids = example["token_ids"].copy()
        real = example["mask_weights"] > 0
        ids[example["mask_positions"][real]] = example["mask_ids"][real]
        for segment in (0, 1):
            inside = (example["segment_ids"] == segment) & (example["padding_mask"] > 0)
            words = [str(token) for token in ids[inside] if token not in (2, 3)]  # [CLS], [SEP]
            assert words
            assert any(f" {' '.join(words)} " in run for run in runs)


def test_a_changed_document_changes_its_shard_alone(
    made: dict[str, Any], tmp_path: pathlib.Path
) -> None:
    changed = TRAIN[12]._replace(text=little_bert.text(200))
    train = (SHARDS[0], [*TRAIN[9:12], changed, *TRAIN[13:17]], SHARDS[2])
    make(tmp_path, write_documents(tmp_path / "documents", train=train))
    found = contents(tmp_path / "examples")
    assert {name for name in FILES if found[name] != made["contents"][name]} == {
        "Split-train/examples-00001-of-00003.tfrecord.gz",
        "SHA256SUMS",
        "examples.json",
    }


def test_the_same_bytes_on_threads(made: dict[str, Any], tmp_path: pathlib.Path) -> None:
    flags = ("--direct_num_workers=2", "--direct_running_mode=multi_threading")
    make(tmp_path, made["documents"], *flags)
    assert contents(tmp_path / "examples") == made["contents"]


@pytest.mark.e2e
def test_the_same_bytes_with_two_processes(made: dict[str, Any], tmp_path: pathlib.Path) -> None:
    flags = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")
    make(tmp_path, made["documents"], *flags)
    assert contents(tmp_path / "examples") == made["contents"]


class Killed(BaseException):
    """Stands for the end of the process."""


def test_a_run_that_was_killed_goes_on_where_it_was(
    made: dict[str, Any],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    begun: list[tuple[int, ...]] = []
    rng = np.random.default_rng

    def die_at_the_third(key: tuple[int, ...]) -> np.random.Generator:
        begun.append(key)
        if len(begun) == 3:
            raise Killed
        return rng(key)

    monkeypatch.setattr(np.random, "default_rng", die_at_the_third)
    with pytest.raises(BaseException, match="Killed"):
        make(tmp_path, made["documents"])
    assert len(list((tmp_path / "finished").glob("*.json"))) == 2
    shutil.rmtree(tmp_path / "examples")  # TFX gives the next run another folder
    with caplog.at_level(logging.INFO, "polyseme.example_builder"):
        make(tmp_path, made["documents"])
    assert contents(tmp_path / "examples") == made["contents"]
    assert sorted({*begun[:2], *begun[3:]}) == sorted(begun[:2] + begun[3:])  # none made again
    assert len(begun) == 1 + 5
    assert "; 2 file(s) were finished before" in caplog.text
    assert not (tmp_path / "finished").exists()


OTHERS: dict[str, dict[str, Any]] = {
    "code": {"code": "git 1"},
    "span": {"span": 2},
    "seed": {"config": dataclasses.replace(SETTINGS, seed=1)},
    "model": {
        "model": json.dumps(
            dataclasses.asdict(
                dataclasses.replace(
                    little_bert.CONFIG,
                    objective=dataclasses.replace(little_bert.CONFIG.objective, masked_share=0.2),
                )
            )
        )
    },
}


@pytest.mark.parametrize("other", [*OTHERS, "nothing", "tokenizer", "text"])
def test_finished_shards_are_known_by_all_they_are_made_of(
    made: dict[str, Any], tmp_path: pathlib.Path, other: str
) -> None:
    little_bert.tokenizer().save(tmp_path / "tokenizer")
    options: dict[str, Any] = {
        "family": "bert",
        "model": MODEL,
        "config": SETTINGS,
        "span": 1,
        "code": "git 0",
        "finished": str(tmp_path / "finished"),
    }

    def run(documents: pathlib.Path, **changed: Any) -> None:
        with beam.Pipeline() as pipeline:
            build(pipeline, str(documents), str(tmp_path), **{**options, **changed})

    def states() -> dict[str, int]:
        return {path.name: path.stat().st_ino for path in (tmp_path / "finished").iterdir()}

    run(made["documents"])
    before, documents = states(), made["documents"]
    assert len(before) == 10
    if other == "tokenizer":
        (tmp_path / "tokenizer" / "more").write_text("")
    if other == "text":
        train = (SHARDS[0], SHARDS[1][1:], SHARDS[2])
        documents = write_documents(tmp_path / "documents", train=train)
    run(documents, **OTHERS.get(other, {}))
    made_again = {"nothing": 0, "text": 1}.get(other, 5)
    new = set(states().items()) - set(before.items())
    assert len(new) == 2 * made_again


@pytest.mark.parametrize(
    "other", [{"span": 2}, {"config": dataclasses.replace(SETTINGS, seed=1)}], ids=["span", "seed"]
)
def test_every_file_depends_on_span_and_seed(
    made: dict[str, Any], tmp_path: pathlib.Path, other: dict[str, Any]
) -> None:
    make(tmp_path, made["documents"], **other)
    found = contents(tmp_path / "examples")
    assert sorted(found) == FILES
    assert not {name for name in FILES if found[name] == made["contents"][name]}


def test_every_draw_is_keyed_by_seed_span_split_and_group(
    made: dict[str, Any], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys, rng = [], np.random.default_rng
    monkeypatch.setattr(np.random, "default_rng", lambda key: keys.append(key) or rng(key))
    make(tmp_path, made["documents"], span=7, config=dataclasses.replace(SETTINGS, seed=5))
    assert sorted(keys) == [(5, 7, 0, 0), (5, 7, 0, 1), (5, 7, 0, 2), (5, 7, 1, 0), (5, 7, 1, 1)]


@pytest.mark.parametrize(
    ("text", "sentences", "lost"),
    [
        ("The river rose.", 1, "{'chunks_without_partner': 3}"),
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


def test_a_bad_configuration_is_refused_before_beam_starts(tmp_path: pathlib.Path) -> None:
    objective = dataclasses.replace(little_bert.CONFIG.objective, sequence_length=4)
    model = dataclasses.replace(little_bert.CONFIG, objective=objective)
    with pytest.raises(ConfigError) as caught:
        make(tmp_path, tmp_path / "not read", model=model)
    assert caught.value.where == "model.objective.sequence_length"


def test_a_writer_that_dies_leaves_no_file(
    made: dict[str, Any], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = example_builder._write

    def die(path: str, *arguments: Any) -> None:
        write(path, *arguments)
        raise OSError("No space left on device")

    monkeypatch.setattr(example_builder, "_write", die)
    with pytest.raises(OSError, match="No space left on device"):
        make(tmp_path, made["documents"])
    assert not contents(tmp_path / "examples")
    assert not list((tmp_path / "finished").glob("*.json"))
