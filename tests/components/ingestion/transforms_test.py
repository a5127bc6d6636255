"""Tests of ingestion on Beam: what it writes, and that the bytes depend only on the text."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
from typing import Any

import apache_beam as beam
import pytest
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions

from components.config import IngestionConfig
from components.documents import place_of
from components.ingestion import transforms as ingestion
from components.ingestion.transforms import final_ids, ingest
from components.layout import SCRATCH_FOLDER
from components.readers.files import find_files
from components.readers.parts import split_file
from components.storage import exchange
from models.printable import printable
from tests.components.another_runner import PATH as ANOTHER

CONFIG = IngestionConfig(test_share=0.15, eval_share=0.15, shards=2, held_out_shards=2)
PLACES: Any = {
    "test_share": 0.15,
    "eval_share": 0.15,
    "shards": {"train": 2, "eval": 2, "test": 2},
}


def run(
    source: pathlib.Path, target: pathlib.Path, *flags: str, config: IngestionConfig = CONFIG
) -> dict[str, bytes]:
    """Ingests a folder; returns the bytes of the files that were written, by path."""
    target.mkdir()
    options = PipelineOptions(["--runner=DirectRunner", *flags])
    with beam.Pipeline(options=options) as pipeline:
        ingest(pipeline, find_files(str(source)).files, str(target), config)
    shutil.rmtree(target / SCRATCH_FOLDER)  # as the component does
    files = (path for path in sorted(target.rglob("*")) if path.is_file())
    return {str(path.relative_to(target)): path.read_bytes() for path in files}


def examples(target: pathlib.Path, split: str) -> dict[str, list[dict[str, Any]]]:
    """Returns id, text and duplicate of each shard's documents, in order."""
    shards = {}
    for path in sorted((target / f"Split-{split}").iterdir()):
        rows = []
        for record in tf.data.TFRecordDataset(str(path), "GZIP").as_numpy_iterator():
            feature = tf.train.Example.FromString(record).features.feature
            rows.append(
                {
                    "id": feature["id"].bytes_list.value[0].decode(),
                    "text": feature["text"].bytes_list.value[0].decode(),
                    "duplicate": feature["duplicate"].int64_list.value[0],
                }
            )
        shards[path.name] = rows
    return shards


def write_corpus(folder: pathlib.Path) -> None:
    """Writes 64 records, with one taken id, two duplicate texts and two malformed records."""
    folder.mkdir()
    lines = [json.dumps({"id": f"d{n}", "text": f"Text {n}."}) for n in range(40)]
    lines += [
        json.dumps({"id": "d3", "text": "Another text under a taken id."}),
        json.dumps({"id": "e0", "text": "Text 5."}),
        "{cut sh",
    ]
    (folder / "a.jsonl").write_text("\n".join(lines))
    texts = [f"Block {n}\nof two lines." for n in range(18)] + ["* * *", "* * *"]
    (folder / "b.txt").write_bytes("\n\n".join(texts).encode() + b"\n\n\xff")


def test_every_record_is_written_or_quarantined(tmp_path: pathlib.Path) -> None:
    write_corpus(tmp_path / "in")
    files = run(tmp_path / "in", tmp_path / "out")
    found = {}
    for split in ("train", "eval", "test"):
        for name, rows in examples(tmp_path / "out", split).items():
            assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)
            for row in rows:
                found[row["id"]] = row
                place = place_of(row["id"].removesuffix(".2"), **PLACES)
                assert (split, name) == (
                    place.split,
                    f"documents-{place.shard:05d}-of-00002.tfrecord.gz",
                )
    assert len(found) == 40 + 1 + 20
    assert found["d3"]["text"] == "Text 3."
    duplicates = {row["id"] for row in found.values() if row["duplicate"]}
    (star,) = (i for i in found if found[i]["text"] == "* * *" and not i.endswith(".2"))
    assert duplicates == {"e0", f"{star}.2"}
    a, b = tmp_path / "in" / "a.jsonl", tmp_path / "in" / "b.txt"
    assert [json.loads(line) for line in files["quarantine.jsonl"].splitlines()] == [
        {
            "file": str(a),
            "line": 41,
            "reason": f"duplicate id: 'd3' is first at {a}:4",
            "start": "Another text under a taken id.",
        },
        {
            "file": str(a),
            "line": 43,
            "reason": "not JSON: Expecting property name enclosed in double quotes, column 2",
            "start": "{cut sh",
        },
        {"file": str(b), "line": 59, "reason": "not UTF-8: byte 0xff at 0", "start": "\ufffd"},
    ]
    summary = json.loads(files["ingestion.json"])
    assert (summary["quarantined"], summary["empty"]) == (3, 0)
    assert summary["quarantined_by_reason"] == {"duplicate id": 1, "not JSON": 1, "not UTF-8": 1}
    splits = summary["splits"].values()
    assert sum(split["documents"] for split in splits) == 61
    assert sum(split["duplicates"] for split in splits) == 2
    assert sum(split["characters"] for split in splits) == sum(
        len(row["text"]) for row in found.values()
    )
    assert sum(split["sources"]["a"] for split in splits) == 41
    assert sum(split["sources"]["b"] for split in splits) == 20
    assert sum(split["langs"]["en"] for split in splits) == 61


def test_the_same_bytes_on_threads(tmp_path: pathlib.Path) -> None:
    write_corpus(tmp_path / "in")
    once = run(tmp_path / "in", tmp_path / "once")
    assert {name.split("/")[0] for name in once} == {
        "Split-train",
        "Split-eval",
        "Split-test",
        "ingestion.json",
        "quarantine.jsonl",
    }
    flags = ("--direct_num_workers=2", "--direct_running_mode=multi_threading")
    assert run(tmp_path / "in", tmp_path / "threads", *flags) == once


@pytest.mark.e2e
def test_the_same_bytes_with_two_processes(tmp_path: pathlib.Path) -> None:
    write_corpus(tmp_path / "in")
    once = run(tmp_path / "in", tmp_path / "once")
    flags = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")
    assert run(tmp_path / "in", tmp_path / "processes", *flags) == once


def test_final_ids() -> None:
    assert final_ids("x", [False]) == ["x"]
    assert final_ids("x", [True, True, True]) == ["x", "x.2", "x.3"]
    assert final_ids("x", [False, False, True]) == ["x", None, "x.3"]


def test_a_document_dropped_for_its_id_makes_no_other_a_duplicate(tmp_path: pathlib.Path) -> None:
    (tmp_path / "in").mkdir()
    records = [("a", "One."), ("a", "Two."), ("b", "Two.")]
    (tmp_path / "in" / "a.jsonl").write_text(
        "\n".join(json.dumps({"id": i, "text": t}) for i, t in records)
    )
    run(tmp_path / "in", tmp_path / "out")
    rows = [
        row
        for split in ("train", "eval", "test")
        for shard in examples(tmp_path / "out", split).values()
        for row in shard
    ]
    assert sorted((row["id"], row["text"], row["duplicate"]) for row in rows) == [
        ("a", "One.", 0),
        ("b", "Two.", 0),
    ]


def test_the_input_order_and_its_parts_change_nothing(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_corpus(tmp_path / "in")
    once = run(tmp_path / "in", tmp_path / "once")
    monkeypatch.setattr(
        ingestion, "split_file", lambda file, **_: reversed(list(split_file(file, 200)))
    )
    monkeypatch.setattr(exchange, "_RUN_BYTES", 1_000)
    assert len(list(split_file(str(tmp_path / "in" / "a.jsonl"), 200))) > 5
    assert run(tmp_path / "in", tmp_path / "parts") == once


def test_the_quarantine_can_be_printed(tmp_path: pathlib.Path) -> None:
    write_corpus(tmp_path / "in")
    (tmp_path / "in" / "c.jsonl").write_text("{cut \x1b[2J\x9b31m\u202e short\n")
    quarantine = run(tmp_path / "in", tmp_path / "out")["quarantine.jsonl"].decode()
    assert printable(quarantine) == quarantine
    found = json.loads(quarantine.splitlines()[-1])
    assert found["start"] == "{cut \x1b[2J\x9b31m\u202e short"


def test_ids_sources_and_languages_are_not_used_as_paths(tmp_path: pathlib.Path) -> None:
    (tmp_path / "in").mkdir()
    names = [
        "../../../above",
        str(tmp_path / "absolute"),
        ".",
        "..",
        "a/b",
        "~",
        "$HOME",
        "%s",
        "*",
    ]
    lines = [
        json.dumps({"id": name, "text": f"Text {name}.", "source": name, "lang": name})
        for name in names
    ]
    (tmp_path / "in" / "a.jsonl").write_text("\n".join(lines))
    files = run(tmp_path / "in", tmp_path / "out")
    shards = {name for name in files if name.startswith("Split-")}
    assert all(re.fullmatch(r"Split-\w+/documents-\d{5}-of-\d{5}.tfrecord.gz", s) for s in shards)
    assert set(files) - shards == {"ingestion.json", "quarantine.jsonl"}
    found = [
        row["id"]
        for split in ("train", "eval", "test")
        for rows in examples(tmp_path / "out", split).values()
        for row in rows
    ]
    assert sorted(found) == sorted(names)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


def test_a_runner_that_groups_by_itself_writes_the_same_bytes(tmp_path: pathlib.Path) -> None:
    write_corpus(tmp_path / "in")
    once = run(tmp_path / "in", tmp_path / "once")
    assert run(tmp_path / "in", tmp_path / "another", f"--runner={ANOTHER}") == once


def test_a_changed_document_changes_only_its_shard(tmp_path: pathlib.Path) -> None:
    write_corpus(tmp_path / "in")
    once = run(tmp_path / "in", tmp_path / "once")
    path = tmp_path / "in" / "a.jsonl"
    path.write_text(path.read_text().replace('"Text 17."', '"Text seventeen."'))
    again = run(tmp_path / "in", tmp_path / "again")
    place = place_of("d17", **PLACES)
    changed = f"Split-{place.split}/documents-{place.shard:05d}-of-00002.tfrecord.gz"
    assert {name for name in once if once[name] != again[name]} == {changed, "ingestion.json"}


def test_rare_sources_become_other_and_rare_languages_are_counted_together(
    tmp_path: pathlib.Path,
) -> None:
    (tmp_path / "in").mkdir()
    lines = [{"id": f"a{n}", "text": f"A {n}.", "source": f"s{n % 5}"} for n in range(50)]
    lines += [{"id": f"b{n}", "text": f"B {n}.", "source": f"own {n}"} for n in range(40)]
    lines += [{"id": f"c{n}", "text": f"C {n}.", "lang": f"l{n}"} for n in range(60)]
    path = tmp_path / "in" / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    config = dataclasses.replace(CONFIG, max_sources=4)
    files = run(tmp_path / "in", tmp_path / "out", config=config)
    splits = json.loads(files["ingestion.json"])["splits"].values()
    sources = {source for split in splits for source in split["sources"]}
    assert sources == {"a", "s0", "s1", "s2", "other"}  # "a", the name of the file, has the most
    assert sum(split["sources"].get("other", 0) for split in splits) == 20 + 40
    assert sum(split["of_rare_sources"] for split in splits) == 20 + 40
    assert all(len(split["langs"]) <= 51 for split in splits)
    assert sum(sum(split["langs"].values()) for split in splits) == 150


@pytest.mark.e2e
@pytest.mark.one_stack
def test_a_million_malformed_records_are_counted_and_not_kept_in_memory(
    tmp_path: pathlib.Path,
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_bytes(b"{}\n" * 1_000_000 + b'{"text": "One."}\n')
    program = (
        "import pathlib, re, sys\n"
        "from tests.components.ingestion import transforms_test\n"
        "transforms_test.run(*map(pathlib.Path, sys.argv[1:]))\n"
        # Not `ru_maxrss`, which a new program inherits from the process that starts it.
        "status = pathlib.Path('/proc/self/status').read_text()\n"
        "print(int(re.search(r'VmHWM:\\s+(\\d+) kB', status)[1]) // 1024)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "in"), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=True,
    )
    summary = json.loads((tmp_path / "out" / "ingestion.json").read_text())
    assert summary["quarantined_by_reason"] == {"no text": 1_000_000}
    assert sum(split["documents"] for split in summary["splits"].values()) == 1
    assert len((tmp_path / "out" / "quarantine.jsonl").read_text().splitlines()) == 10_000
    assert int(done.stdout) < 1_000  # megabytes, two thirds of which are TensorFlow and Beam


def test_names_of_files_that_are_not_utf_8(tmp_path: pathlib.Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(3):
        name = os.fsdecode(os.fsencode(tmp_path / "in") + b"/caf\xe9-%d.txt" % number)
        with open(name, "wb") as stream:
            stream.write(b"Text %d.\n\n\xff" % number)
    files = run(tmp_path / "in", tmp_path / "out")
    found = [json.loads(line)["file"] for line in files["quarantine.jsonl"].splitlines()]
    assert found == [f"{tmp_path}/in/caf\\xe9-{number}.txt" for number in range(3)]
