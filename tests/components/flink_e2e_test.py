"""Tests of making examples on Flink: the DirectRunner's manifest, also if workers are killed."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from components.config import CleaningConfig
from components.examples import transforms as example_generation
from components.ingestion import transforms as ingestion
from components.storage import exchange
from tests.components.flink_cluster import MISSING, FlinkCluster, flink_cluster
from tests.components.text_to_examples import run
from tests.testdata.small_corpus import text

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(MISSING is not None, reason=str(MISSING)),
]
CLEANING = CleaningConfig(near_duplicate_similarity=0.75)


@pytest.fixture(scope="module", name="corpus")
def _corpus(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("corpus") / "a.jsonl"
    lines = [json.dumps({"id": f"d{n}", "text": text(n)}) for n in range(90)]
    again = [json.dumps({"id": "again", "text": text(7)})]
    nearly = [json.dumps({"id": "nearly", "text": f"{text(8)} Once more."})]
    path.write_text("\n".join([*lines, *again, *nearly, lines[0], "{cut sh"]))
    return path


@pytest.fixture(scope="module", name="cluster")
def _cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlinkCluster]:
    with flink_cluster(tmp_path_factory.mktemp("flink")) as cluster:
        yield cluster


@pytest.fixture(scope="module", name="expected")
def _expected(corpus: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    made = run(corpus, tmp_path_factory.mktemp("direct"), clean=CLEANING)
    assert made["ingestion"]["quarantined"] == 2
    dropped = [split["dropped"] for split in made["cleaning"]["splits"].values()]
    assert sum(counts.get("duplicate", 0) for counts in dropped) == 1
    assert sum(counts.get("near duplicate", 0) for counts in dropped) > 1  # texts of few templates
    assert len(made["manifest"].splitlines()) == 8
    return made


def test_the_same_manifest_on_flink(
    corpus: pathlib.Path,
    cluster: FlinkCluster,
    expected: dict[str, Any],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Flink groups by its own GroupByKey, and the expected manifest was grouped through files."""
    monkeypatch.delattr(exchange._WriteRuns, "_write")  # loopback: workers run in this process
    assert run(corpus, tmp_path, clean=CLEANING, flags=cluster.flags) == expected


def test_the_same_manifest_when_task_managers_are_killed(
    corpus: pathlib.Path,
    cluster: FlinkCluster,
    expected: dict[str, Any],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One is killed while documents are written, and one while examples are made."""
    killed = []

    def kill_at_the_second(component: Any, name: str) -> None:
        method, calls = getattr(component, name), []

        # Loopback: the work of the task managers is done in this process.
        def killing(*arguments: Any) -> Any:
            calls.append(arguments)
            if len(calls) == 2:
                cluster.start_task_manager()
                cluster.kill_task_manager()
                killed.append(name)
            return method(*arguments)

        monkeypatch.setattr(component, name, killing)

    kill_at_the_second(ingestion._WriteShard, "_write")
    kill_at_the_second(example_generation._MakeShard, "_make")
    assert run(corpus, tmp_path, clean=CLEANING, flags=cluster.flags) == expected
    assert killed == ["_write", "_make"]
