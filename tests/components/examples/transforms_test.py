"""Tests of making examples: equal bytes on every runner, correct ids, and correct counts."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import itertools
import json
import os
import pathlib
import subprocess
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from components.documents import place_of
from components.evaluation.resampling_units import UNIT, UNIT_FEATURE
from components.examples.baseline_counts import StoredCounts
from components.examples.shards import document_shards
from components.examples.transforms import build
from models.bert.objective import BertObjective
from models.bert.pairs import Corpus, make_pairs
from models.examples import check
from models.objective import TokenizedDocument
from models.tokenizers.sentences import split_sentences
from models.training.example_index import read_index
from tests.components.built_examples import (
    EMPTY,
    EVAL,
    EVAL_SHARDS,
    FILES,
    OBJECTIVE,
    SETTINGS,
    SHARDS,
    TRAIN,
    contents,
    examples_in,
    make,
    write_documents,
)
from tests.testdata import little_bert
from tests.testdata.likely import likely


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Documents, and the examples that one process made from them."""
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


def test_the_summary_matches_the_files(made: dict[str, Any]) -> None:
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


def test_the_evaluation_split_is_made_in_one_pass(
    made: dict[str, Any], tmp_path: pathlib.Path
) -> None:
    once = dataclasses.replace(little_bert.CONFIG.objective, dupe_factor=1)
    model = dataclasses.replace(little_bert.CONFIG, objective=once)
    make(tmp_path, made["documents"], model=model)
    found = contents(tmp_path / "examples")
    for name in FILES:
        if name.startswith("Split-"):
            same = found[name] == made["contents"][name]
            assert same != name.startswith("Split-train"), name


def test_the_baselines_are_counted_over_the_examples_to_train_on(made: dict[str, Any]) -> None:
    words, labels = np.zeros(30, np.int64), np.zeros(2, np.int64)
    for example in examples_in(made["examples"], "train"):
        np.add.at(words, example["mask_ids"][example["mask_weights"] > 0], 1)
        labels[example["next_sentence_label"]] += 1
    counts = StoredCounts(made["examples"])
    assert counts["words"].dense(30).tolist() == words.tolist()
    assert counts["next_sentence"].dense(2).tolist() == labels.tolist()


def test_labels_and_coverage_are_counted(made: dict[str, Any]) -> None:
    for split in ("train", "eval"):
        summary = made["splits"][split]
        labels = [int(e["next_sentence_label"][0]) for e in examples_in(made["examples"], split)]
        assert summary["labels"] == {"next_sentence_label": [labels.count(0), labels.count(1)]}
        assert summary["coverage"]["unknown_tokens"] == 0
        assert summary["coverage"]["tokens"] > summary["coverage"]["words"] > 0
        assert summary["worst"] == []


def test_the_index_has_each_examples_length(made: dict[str, Any]) -> None:
    folder = made["examples"] / "Split-train"
    index = read_index([str(path) for path in folder.iterdir()])
    masks = [example["padding_mask"] for example in examples_in(made["examples"], "train")]
    assert index.lengths.tolist() == [mask.sum() for mask in masks]
    assert [pathlib.Path(path).name for path in index.files] == sorted(os.listdir(folder))
    records = [tf.data.TFRecordDataset(path, "GZIP") for path in index.files]
    assert index.counts.tolist() == [len(list(each)) for each in records]


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


def test_every_example_matches_the_feature_spec(made: dict[str, Any]) -> None:
    spec = BertObjective(little_bert.CONFIG.objective, little_bert.tokenizer()).feature_spec()
    for split, source in (("train", b"paper"), ("eval", b"letters")):
        if split == "eval":
            spec = {**spec, UNIT: UNIT_FEATURE}
        for example in examples_in(made["examples"], split):
            check(example, spec)
            assert example["source"] == [source]
            assert 0 <= example["token_ids"].min() <= example["token_ids"].max() < 30


def test_held_out_examples_of_two_units_share_no_document(made: dict[str, Any]) -> None:
    """Each segment, also each second one, is from one of the two documents of its block."""
    segments = collections.defaultdict(list)
    for example in examples_in(made["examples"], "eval"):
        segments[example[UNIT][0].rpartition(b"-")[0]] += _segments(example)
    # Two documents in the first file, four in the second.
    assert sorted(segments) == [b"00000-00000", b"00001-00000", b"00001-00001"]
    texts = [_as_words(_ids(document.text)) for document in EVAL_SHARDS[1]]

    def are_of(block: bytes, documents: set[int]) -> bool:
        return all(any(s in texts[place] for place in documents) for s in segments[block])

    ways = [
        pair
        for pair in map(set, itertools.combinations(range(4), 2))
        if are_of(b"00001-00000", pair) and are_of(b"00001-00001", set(range(4)) - pair)
    ]
    assert len(ways) == 1


def _ids(text: str) -> list[int]:
    tokenizer = little_bert.tokenizer()
    sentences = split_sentences(text, "en")
    ids = [tokenizer.tokenize(tf.constant([sentence]))[0].numpy() for sentence in sentences]
    return np.concatenate(ids).tolist()


def _as_words(ids: list[int]) -> str:
    return f" {' '.join(map(str, ids))} "


def _segments(example: dict[str, np.ndarray]) -> list[str]:
    """Both segments before masking, without [CLS] and [SEP]."""
    ids = example["token_ids"].copy()
    real = example["mask_weights"] > 0
    ids[example["mask_positions"][real]] = example["mask_ids"][real]
    found = []
    for segment in (0, 1):
        inside = (example["segment_ids"] == segment) & (example["padding_mask"] > 0)
        found.append(_as_words([token for token in ids[inside].tolist() if token not in (2, 3)]))
    return found


def test_every_segment_is_a_sequence_of_ids_of_one_document(made: dict[str, Any]) -> None:
    runs = [_as_words(_ids(document.text)) for document in TRAIN if document != EMPTY]
    for example in examples_in(made["examples"], "train"):
        for words in _segments(example):
            assert words.strip()
            assert any(words in run for run in runs)


def test_a_changed_document_changes_only_its_shard(
    made: dict[str, Any], tmp_path: pathlib.Path
) -> None:
    changed = TRAIN[12]._replace(text=little_bert.text(200))
    train = (SHARDS[0], [*TRAIN[9:12], changed, *TRAIN[13:17]], SHARDS[2])
    make(tmp_path, write_documents(tmp_path / "documents", train=train))
    found = contents(tmp_path / "examples")
    assert {name for name in FILES if found[name] != made["contents"][name]} == {
        "Split-train/examples-00001-of-00003.tfrecord.gz",
        "SHA256SUMS",
        "baselines/next_sentence.npy",
        "baselines/words.npy",
        "examples.json",
        "index/Split-train/counts.json",
        "index/Split-train/lengths.npy",
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


OTHERS: dict[str, dict[str, Any]] = {
    "code": {"code": "other"},
    "span": {"span": 2},
    "seed": {"config": dataclasses.replace(SETTINGS, seed=1)},
    "objective": {
        "objective": json.dumps(
            dataclasses.asdict(dataclasses.replace(little_bert.CONFIG.objective, mask_prob=0.1))
        )
    },
}


@pytest.mark.parametrize("other", [*OTHERS, "nothing", "tokenizer", "text"])
def test_finished_shards_are_keyed_by_everything_they_depend_on(
    made: dict[str, Any], tmp_path: pathlib.Path, other: str
) -> None:
    little_bert.tokenizer().save(tmp_path / "tokenizer")
    options: dict[str, Any] = {
        "family": "bert",
        "objective": OBJECTIVE,
        "config": SETTINGS,
        "span": 1,
        "code": "c0de",
        "finished": str(tmp_path / "finished"),
    }

    def run(documents: pathlib.Path, **changed: Any) -> None:
        with beam.Pipeline() as pipeline:
            build(
                pipeline,
                document_shards(str(documents), {}, None),
                str(tmp_path),
                **{**options, **changed},
            )

    def states() -> dict[str, int]:
        return {path.name: path.stat().st_ino for path in (tmp_path / "finished").iterdir()}

    run(made["documents"])
    before, documents = states(), made["documents"]
    assert len(before) == 18
    if other == "tokenizer":
        (tmp_path / "tokenizer" / "more").write_text("")
    if other == "text":
        train = (SHARDS[0], SHARDS[1][1:], SHARDS[2])
        documents = write_documents(tmp_path / "documents", train=train)
    run(documents, **OTHERS.get(other, {}))
    made_again = {"nothing": 0, "text": 1}.get(other, 6)
    new = set(states().items()) - set(before.items())
    assert len(new) == 3 * made_again


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


def test_every_draw_is_keyed_by_seed_span_split_group_and_block(
    made: dict[str, Any], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys, rng = [], np.random.default_rng
    monkeypatch.setattr(np.random, "default_rng", lambda key: keys.append(key) or rng(key))
    make(tmp_path, made["documents"], span=7, config=dataclasses.replace(SETTINGS, seed=5))
    mixing = [(5, 7, 2, 0, 0), (5, 7, 2, 1, 0)]
    of_blocks = [(5, 7, 2, 0, 1, 0), (5, 7, 2, 1, 1, 0), (5, 7, 2, 1, 1, 1)]
    training = [(5, 7, 0, group) for group in range(3)]
    testing = [(5, 7, 1, 0, 0), (5, 7, 1, 0, 1, 0)]
    assert sorted(keys) == sorted([*training, *mixing, *of_blocks, *testing])


def test_partners_are_uniform_over_the_documents_of_the_corpus() -> None:
    # Within a shard all other documents are equally likely, and a shard is a random sample.
    documents, places_in = 12, {"test_share": 0.0, "eval_share": 0.0, "shards": {"train": 3}}
    counts = np.zeros(documents, np.int64)
    for salt in range(3_000):
        ids = [f"{salt}/{n}" for n in range(documents)]
        places = [place_of(document_id, **places_in).shard for document_id in ids]
        group = [n for n in range(documents) if places[n] == places[0]]
        tokens = [
            TokenizedDocument.of(ids[n], "", "en", [np.full(4, n, np.int32)] * 2) for n in group
        ]
        corpus = Corpus.of(tokens, np.zeros(documents, np.bool_))
        made = make_pairs(
            corpus, max_tokens=8, short_seq_prob=0.0, passes=2, rng=np.random.default_rng(salt),
            tally=collections.Counter(),
        )  # fmt: skip
        drawn = made.b_start[(made.document == 0) & (made.follows == 0)]
        counts += np.bincount(corpus.tokens[drawn], minlength=documents)
    assert counts[0] == 0
    assert counts.sum() > 1_500
    assert likely(stats.chisquare(counts[1:]).pvalue)
