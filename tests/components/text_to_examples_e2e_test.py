"""Tests that the examples' manifest does not depend on order, runner, kills or bad records."""

from __future__ import annotations

import gzip
import json
import pathlib
import random
import signal
import time
import zlib

import pytest

from components.config import CleaningConfig
from tests.components.text_to_examples import run
from tests.testdata import commands
from tests.testdata.small_corpus import text

pytestmark = [pytest.mark.e2e, pytest.mark.one_stack]
# With a source: without one it would be the file's name, which depends on the order.
GOOD = [{"id": f"d{n}", "text": text(n), "source": "small"} for n in range(891)]
FILES = 5


def write(folder: pathlib.Path, records: list[bytes]) -> pathlib.Path:
    """Writes records to several files, in turn."""
    folder.mkdir()
    for n in range(FILES):
        (folder / f"{n}.jsonl").write_bytes(b"\n".join(records[n::FILES]) + b"\n")
    return folder


@pytest.fixture(scope="module", name="good")
def _good() -> list[bytes]:
    return [json.dumps(record).encode() for record in GOOD]


@pytest.fixture(scope="module", name="source")
def _source(good: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return write(tmp_path_factory.mktemp("text") / "in", good)


@pytest.fixture(scope="module", name="manifest")
def _manifest(source: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    found = run(source, tmp_path_factory.mktemp("once"))
    assert found["cleaning"]["splits"]["train"]["kept"] > 600
    assert len(found["manifest"].splitlines()) == 8
    return found["manifest"]


def test_the_order_of_the_input_does_not_change_the_manifest(
    good: list[bytes], manifest: str, tmp_path: pathlib.Path
) -> None:
    assert run(write(tmp_path / "in", good[::-1]), tmp_path)["manifest"] == manifest


def test_worker_processes_do_not_change_the_manifest(
    source: pathlib.Path, manifest: str, tmp_path: pathlib.Path
) -> None:
    flags = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")
    assert run(source, tmp_path, flags=flags)["manifest"] == manifest


def test_kills_do_not_change_the_manifest(
    source: pathlib.Path, manifest: str, tmp_path: pathlib.Path
) -> None:
    """Three runs are killed at random moments, one while making examples; the last completes."""

    def start(attempt: str) -> commands.AnyCommand:
        arguments = [str(source), str(tmp_path), attempt]
        return commands.start("tests.components.text_to_examples", arguments)

    begun = time.monotonic()
    whole = start("whole")
    whole.communicate()
    assert whole.returncode == 0
    seconds = time.monotonic() - begun
    sums = (tmp_path / "whole" / "examples" / "SHA256SUMS").read_text()
    assert sums == manifest
    for path in (tmp_path / "finished").iterdir():
        path.unlink()
    moments = random.Random(0)
    killed = 0
    for attempt in range(20):
        process = start(f"killed-{attempt}")
        assert process.stdout is not None
        assert "begun\n" in process.stdout  # it has finished its imports
        time.sleep(moments.uniform(0, seconds / 3))
        process.kill()
        killed += process.wait() == -signal.SIGKILL
        if killed == 3:
            break
    assert killed == 3
    for path in (tmp_path / "finished").glob("*"):
        path.unlink()
    process = start("amid")  # killed as soon as a file of examples is finished
    while not any((tmp_path / "finished").glob("*.json")) and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert any((tmp_path / "finished").glob("*.json"))
    last = start("last")
    last.communicate()
    assert last.returncode == 0
    assert (tmp_path / "last" / "examples" / "SHA256SUMS").read_text() == manifest


POISON: dict[str, tuple[bytes, str]] = {
    "binary": (bytes(byte for byte in range(256) if byte not in b"\r\n"), "not UTF-8"),
    "truncated": (json.dumps(GOOD[0]).encode()[:90], "not JSON"),
    "only spaces": (json.dumps({"id": "p2", "text": " \t\u3000 "}).encode(), "text is empty"),
    "mixed encodings": ('{"id": "p3", "text": "Größe '.encode() + b'Gr\xf6\xdfe"}', "not UTF-8"),
    "lone surrogate": (rb'{"id": "p4", "text": "A \ud800 alone."}', "lone surrogate"),
    "megabyte words": (
        json.dumps({"id": "p5", "text": " ".join(["a" * 500_000] * 2)}).encode(),
        "few words",
    ),
    "right-to-left": (
        json.dumps(
            {"id": "p6", "text": "ارتفع النهر في تلك الليلة ونزل رجال القرية. " * 5}
        ).encode(),
        "other language",
    ),
    "zero-width": (
        json.dumps({"id": "p7", "text": "\u200b".join(text(1))}).encode(),
        "word length",
    ),
    "combining marks": (
        json.dumps({"id": "p8", "text": "a" + "\u0301\u0323" * 5_000}).encode(),
        "few words",
    ),
}
RULES = CleaningConfig(language_confidence=0.9, quality=True, min_words=20, max_repeated_words=1.0)


@pytest.fixture(name="poisoned")
def _poisoned(good: list[bytes], tmp_path: pathlib.Path) -> pathlib.Path:
    records = [*good]
    for number, (poison, _) in enumerate(POISON.values()):
        records.insert(100 * number, poison)
    assert len(POISON) == 0.01 * len(records)
    return write(tmp_path / "in", records)


def test_malformed_records_do_not_change_the_examples_of_the_others(
    poisoned: pathlib.Path, source: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    clean = run(source, tmp_path / "clean", clean=RULES)
    found = run(poisoned, tmp_path / "poisoned", clean=RULES)
    assert found["manifest"] == clean["manifest"]
    assert found["examples"] == clean["examples"]
    lost: dict[str, int] = dict(found["ingestion"]["quarantined_by_reason"])
    for split in found["cleaning"]["splits"].values():
        for reason, count in split["dropped"].items():
            lost[reason] = lost.get(reason, 0) + count
    expected: dict[str, int] = {}
    for _, reason in POISON.values():
        expected[reason] = expected.get(reason, 0) + 1
    assert lost == expected
    assert sum(split["kept"] for split in clean["cleaning"]["splits"].values()) == len(GOOD)


def test_a_truncated_file_among_a_hundred_loses_only_what_was_cut_off(
    poisoned: pathlib.Path, good: list[bytes], tmp_path: pathlib.Path
) -> None:
    records = b"".join(path.read_bytes() for path in sorted(poisoned.iterdir())).splitlines()
    more = [
        json.dumps({"id": f"m{n}", "text": f"{text(n)} {n}.", "source": "small"}).encode()
        for n in range(200)
    ]
    whole = gzip.compress(b"\n".join(more))
    cut = whole[: len(whole) * 2 // 5]
    complete = zlib.decompressobj(31).decompress(cut).count(b"\n")
    assert 10 < complete < 150
    (tmp_path / "hundred").mkdir()
    for n in range(99):
        content = gzip.compress(b"\n".join(records[n::99]))
        (tmp_path / "hundred" / f"{n:02d}.jsonl.gz").write_bytes(content)
    (tmp_path / "hundred" / "cut.jsonl.gz").write_bytes(cut)
    found = run(tmp_path / "hundred", tmp_path / "out", clean=RULES)
    clean = run(write(tmp_path / "clean", good + more[:complete]), tmp_path / "plain", clean=RULES)
    assert found["manifest"] == clean["manifest"]
    (lost,) = found["ingestion"]["unreadable"]
    assert (lost["line"], lost["size"], lost["lost_records"]) == (complete + 1, len(cut), None)
    # The other four are documents, which cleaning drops.
    assert found["ingestion"]["quarantined"] == len(POISON) - 4


def test_odd_documents_are_trained_on_if_no_rule_drops_them(
    poisoned: pathlib.Path, manifest: str, tmp_path: pathlib.Path
) -> None:
    found = run(poisoned, tmp_path / "out")
    splits = found["cleaning"]["splits"].values()
    assert sum(split["documents"] for split in splits) == len(GOOD) + 4
    assert found["manifest"] != manifest
