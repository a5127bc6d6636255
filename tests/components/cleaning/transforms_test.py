"""Tests of cleaning on Beam: what it drops and reports, and that it depends only on the text."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from components.cleaning.evaluation_texts import EvaluationTexts, read_evaluation_texts
from components.cleaning.trained_texts import merge_keys
from components.cleaning.transforms import KEPT_KEYS_SUFFIX, clean
from components.config import CleaningConfig, ValidationConfig
from components.documents import Document, place_of, read_documents, serialize
from components.layout import SCRATCH_FOLDER
from components.storage import exchange
from components.storage.record_files import RecordWriter
from models.printable import printable
from tests.components.another_runner import PATH as ANOTHER

SHARDS = {"train": 3, "eval": 2, "test": 1}
ANY = ValidationConfig(
    max_non_letter_share=1.0, max_replacement_share=1.0, languages=("en", "de", "fr", "zh")
)
"""Bounds that quarantine none of the documents here."""
STORY = (
    "The river rose that night and the men of the village went down to the bank with lamps."
    " They had to be quick, for the water was already over the lower field and the old bridge."
    " Nobody spoke. A boy carried the rope; his sister held two horses that would not stand."
)


def document(document_id: str, text: str, lang: str = "en") -> Document:
    return Document(document_id, text, "s", lang, 0)


def write(folder: pathlib.Path, documents: list[Document]) -> None:
    """Writes documents as TextExampleGen does. An id begins with its split; others are "train"."""
    shards: dict[tuple[str, int], list[Document]] = {}
    for item in sorted(documents):
        split = item.id.split("-")[0] if item.id.startswith(("eval", "test")) else "train"
        shards_of_all = {"train": SHARDS[split]}
        shard = place_of(item.id, test_share=0.0, eval_share=0.0, shards=shards_of_all).shard
        shards.setdefault((split, shard), []).append(item)
    for (split, shard), items in shards.items():
        path = (
            folder / f"Split-{split}" / f"documents-{shard:05d}-of-{SHARDS[split]:05d}.tfrecord.gz"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        with RecordWriter(str(path)) as writer:
            writer.write(serialize(items))


def run(
    source: pathlib.Path,
    target: pathlib.Path,
    config: CleaningConfig,
    *flags: str,
    bounds: ValidationConfig = ANY,
    trained: str | None = None,
) -> dict[str, Any]:
    """Cleans; returns cleaning.json. Writes the keys of trained texts to `trained.npy`."""
    scratch = target / SCRATCH_FOLDER
    scratch.mkdir(parents=True)
    evaluation: EvaluationTexts | None = None
    if config.evaluation_texts:
        evaluation = read_evaluation_texts(config, str(scratch / "ngrams.npy"))
    options = PipelineOptions(["--runner=DirectRunner", *flags])
    with beam.Pipeline(options=options) as pipeline:
        clean(pipeline, str(source), str(target), config, bounds, evaluation, trained)
    merge_keys(sorted(scratch.glob(f"*{KEPT_KEYS_SUFFIX}")), str(target / "trained.npy"))
    shutil.rmtree(scratch)  # as the component does
    return json.loads((target / "cleaning.json").read_text())


def kept(folder: pathlib.Path) -> list[str]:
    shards = folder.glob("Split-*/*")
    return sorted(item.id for shard in shards for item in read_documents(shard))


def dropped(folder: pathlib.Path) -> dict[str, tuple[str, str]]:
    """(reason, detail) by id."""
    lines = [line for path in (folder / "Dropped").iterdir() for line in open(path)]
    items = [json.loads(line) for line in lines]
    return {item["id"]: (item["reason"], item["detail"]) for item in items}


def test_one_of_several_equal_texts_is_kept_held_out_ones_first(tmp_path: pathlib.Path) -> None:
    texts = {"a": "One.", "b": "Two.", "c": "One.", "d": "Two.", "eval-1": "Two.", "e": "Three."}
    write(tmp_path / "in", [document(*item) for item in texts.items()])
    summary = run(tmp_path / "in", tmp_path / "out", CleaningConfig())
    assert kept(tmp_path / "out") == ["a", "e", "eval-1"]
    assert dropped(tmp_path / "out") == {
        "b": ("duplicate", "of eval-1"),
        "c": ("duplicate", "of a"),
        "d": ("duplicate", "of eval-1"),
    }
    assert summary["splits"]["train"] == {
        "documents": 5,
        "kept": 2,
        "dropped": {"duplicate": 3},
        "quarantined": 0,
        "characters": {"kept": 10, "duplicate": 12},
    }
    assert summary["splits"]["eval"]["kept"] == 1
    assert summary["examples"]["duplicate"][0] == {
        "id": "b",
        "source": "s",
        "reason": "duplicate",
        "detail": "of eval-1",
        "start": "Two.",
    }


def test_a_quarantined_document_does_not_drop_its_duplicates(
    tmp_path: pathlib.Path,
) -> None:
    texts = {"a": "One.", "b": "Oui.", "c": "Tw\ufffd."}
    items = [document(*item) for item in texts.items()]
    write(tmp_path / "in", [*items, document("B", "Oui.", "fr"), document("eval-1", "!!!")])
    bounds = ValidationConfig(languages=("en",), max_replacement_share=0.1)
    summary = run(tmp_path / "in", tmp_path / "out", CleaningConfig(), bounds=bounds)
    assert kept(tmp_path / "out") == ["a", "b"]
    assert dropped(tmp_path / "out") == {
        "B": ("language not allowed", "fr"),
        "c": ("replacement characters", "25.00% of its characters"),
        "eval-1": ("non-letters", "100.0% of its characters"),
    }
    splits = summary["splits"]
    assert [splits[split]["quarantined"] for split in ("train", "eval")] == [2, 1]


def test_of_duplicates_in_several_splits_the_one_in_test_is_kept(tmp_path: pathlib.Path) -> None:
    names = ["a", "eval-a", "test-a", "b", "eval-b"]
    write(tmp_path / "in", [document(name, f"Text {name[-1]}.") for name in names])
    run(tmp_path / "in", tmp_path / "out", CleaningConfig())
    assert kept(tmp_path / "out") == ["eval-b", "test-a"]


def test_text_that_an_earlier_span_trained_on_is_not_held_out(tmp_path: pathlib.Path) -> None:
    first = [document("a", "One."), document("b", STORY), document("eval-c", "Held out before.")]
    write(tmp_path / "1", first)
    config = CleaningConfig(near_duplicate_similarity=0.75)
    run(tmp_path / "1", tmp_path / "out-1", config)
    second = [
        document("d", "One."),  # trained on again
        document("eval-e", "One."),  # the same text under another id
        document("eval-f", f"{STORY} Twice."),  # an edited page
        document("eval-g", "Held out before."),
        document("eval-h", "New."),
    ]
    write(tmp_path / "2", second)
    known = str(tmp_path / "out-1" / "trained.npy")
    summary = run(tmp_path / "2", tmp_path / "out-2", config, trained=known)
    assert kept(tmp_path / "out-2") == ["d", "eval-g", "eval-h"]
    assert summary["splits"]["eval"]["dropped"] == {"trained on before": 2}
    assert summary["splits"]["train"]["dropped"] == {}
    run(tmp_path / "2", tmp_path / "exact", CleaningConfig(), trained=known)
    assert "eval-f" in kept(tmp_path / "exact")  # without a similarity, near duplicates are kept


def test_one_of_several_near_duplicates_is_kept(tmp_path: pathlib.Path) -> None:
    others = [
        document(f"x{n}", f"{n} " + " ".join(f"w{n}.{i}" for i in range(60))) for n in range(9)
    ]
    near = [document("n1", STORY), document("n2", f"{STORY} Twice."), document("n3", STORY.upper())]
    write(tmp_path / "in", [*others, *near])
    config = CleaningConfig(near_duplicate_similarity=0.75)
    summary = run(tmp_path / "in", tmp_path / "out", config)
    assert dropped(tmp_path / "out") == {
        "n2": ("near duplicate", "of n1"),
        "n3": ("near duplicate", "of n1"),
    }
    assert summary["splits"]["train"]["kept"] == 10
    run(tmp_path / "in", tmp_path / "all", CleaningConfig())
    assert len(kept(tmp_path / "all")) == 12


def test_a_dropped_document_does_not_drop_its_duplicates(tmp_path: pathlib.Path) -> None:
    # "b" would be a duplicate of "a", but "a" is dropped because its `lang` is wrong.
    write(
        tmp_path / "in", [document("a", STORY, "de"), document("b", STORY), document("eval-1", "T")]
    )
    run(tmp_path / "in", tmp_path / "out", CleaningConfig(language_confidence=0.9))
    assert kept(tmp_path / "out") == ["b", "eval-1"]
    assert dropped(tmp_path / "out")["a"][0] == "other language"


def test_evaluation_texts_are_not_trained_on(tmp_path: pathlib.Path) -> None:
    (tmp_path / "held.txt").write_text(
        "Nobody spoke. A boy carried the rope; his sister held two"
        " horses that would not stand.\n\nToo short."
    )
    texts = {
        "a": STORY,
        "b": STORY.replace("boy", "girl").replace("horses", "mules"),
        "eval-1": "T",
    }
    write(tmp_path / "in", [document(*item) for item in texts.items()])
    config = CleaningConfig(evaluation_texts=(str(tmp_path / "held.txt"),), evaluation_words=8)
    summary = run(tmp_path / "in", tmp_path / "out", config)
    assert kept(tmp_path / "out") == ["b", "eval-1"]
    assert dropped(tmp_path / "out") == {
        "a": ("evaluation text", "20.00% of its 8-grams are in evaluation texts")
    }
    assert (summary["evaluation_texts"], summary["evaluation_texts_too_short"]) == (2, 1)


def test_the_rules_on_quality_are_applied(tmp_path: pathlib.Path) -> None:
    write(
        tmp_path / "in", [document("a", STORY), document("b", "Short."), document("eval-1", STORY)]
    )
    config = CleaningConfig(quality=True, duplicates=False)
    summary = run(tmp_path / "in", tmp_path / "out", config)
    assert dropped(tmp_path / "out") == {"b": ("few words", "1")}
    assert summary["splits"]["train"]["characters"] == {"kept": len(STORY), "few words": 6}


def corpus(folder: pathlib.Path) -> None:
    documents = [document(f"d{n}", f"{STORY} {n % 7}") for n in range(20)]
    documents += [document(f"e{n}", " ".join(f"v{n}.{i}" for i in range(40))) for n in range(20)]
    documents += [document(f"eval-{n}", f"{STORY} {n}") for n in range(4)]
    documents += [document("z1", "Nur kurz war die Nacht, und der Fluss stieg über die Ufer.")]
    write(folder, documents)


ALL = CleaningConfig(near_duplicate_similarity=0.9, language_confidence=0.95)


def files(folder: pathlib.Path) -> dict[str, bytes]:
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_shards_that_lose_nothing_are_the_same_files(tmp_path: pathlib.Path) -> None:
    corpus(tmp_path / "in")
    nothing = CleaningConfig(duplicates=False)
    run(tmp_path / "in", tmp_path / "out", nothing)
    shards = sorted(path.relative_to(tmp_path / "in") for path in (tmp_path / "in").glob("*/*"))
    assert (
        sorted(path.relative_to(tmp_path / "out") for path in (tmp_path / "out").glob("S*/*"))
        == shards
    )
    for shard in shards:
        assert os.path.samefile(tmp_path / "in" / shard, tmp_path / "out" / shard)


def test_a_shard_without_kept_documents_is_not_written(tmp_path: pathlib.Path) -> None:
    write(
        tmp_path / "in", [document(f"d{n}", "Same.") for n in range(9)] + [document("eval-1", "T")]
    )
    assert len([*(tmp_path / "in").glob("Split-train/*")]) == 3
    run(tmp_path / "in", tmp_path / "out", CleaningConfig())
    assert kept(tmp_path / "out") == ["d0", "eval-1"]
    assert len([*(tmp_path / "out").glob("Split-train/*")]) == 1


def test_the_size_of_run_files_does_not_change_the_result(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus(tmp_path / "in")
    run(tmp_path / "in", tmp_path / "once", ALL)
    monkeypatch.setattr(exchange, "_RUN_BYTES", 100)
    run(tmp_path / "in", tmp_path / "out", ALL)
    assert files(tmp_path / "out") == files(tmp_path / "once")
    assert len(dropped(tmp_path / "out")) > 20


def test_files_about_dropped_documents_can_be_printed(tmp_path: pathlib.Path) -> None:
    odd = "\x9b31m\u202e"
    write(tmp_path / "in", [document(f"{odd}{n}", f"Same {odd}.") for n in range(9)])
    run(tmp_path / "in", tmp_path / "out", CleaningConfig())
    assert len(dropped(tmp_path / "out")) == 8
    for path in (*(tmp_path / "out" / "Dropped").iterdir(), tmp_path / "out" / "cleaning.json"):
        assert printable(path.read_text()) == path.read_text()


def test_a_runner_that_groups_by_itself_writes_the_same_bytes(tmp_path: pathlib.Path) -> None:
    corpus(tmp_path / "in")
    run(tmp_path / "in", tmp_path / "one", ALL)
    run(tmp_path / "in", tmp_path / "another", ALL, f"--runner={ANOTHER}")
    assert files(tmp_path / "another") == files(tmp_path / "one")


@pytest.mark.e2e
def test_worker_processes_do_not_change_the_result(tmp_path: pathlib.Path) -> None:
    corpus(tmp_path / "in")
    run(tmp_path / "in", tmp_path / "one", ALL)
    flags = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
    run(tmp_path / "in", tmp_path / "two", ALL, *flags)
    assert files(tmp_path / "two") == files(tmp_path / "one")
