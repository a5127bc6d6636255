"""Ingestion and examples on a Flink cluster: the bytes of the DirectRunner, whatever is killed."""

from __future__ import annotations

import json
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from components import example_generation, ingestion
from components.config import ExamplesConfig, IngestionConfig
from components.example_generation import build
from components.ingestion import SCRATCH, ingest
from tests.components.built_examples import MODEL, contents
from tests.components.flink_cluster import MISSING, FlinkCluster, flink_cluster
from tests.testdata import little_bert

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(MISSING is not None, reason=str(MISSING)),
]
CONFIG = IngestionConfig(eval_share=0.3, shards=3, eval_shards=2)


@pytest.fixture(scope="module", name="corpus")
def _corpus(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("corpus") / "a.jsonl"
    lines = [json.dumps({"id": f"d{n}", "text": little_bert.text(n)}) for n in range(60)]
    path.write_text("\n".join([*lines, lines[0], "{cut sh"]))
    return path


@pytest.fixture(scope="module", name="cluster")
def _cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlinkCluster]:
    with flink_cluster(tmp_path_factory.mktemp("flink")) as cluster:
        yield cluster


def run(corpus: pathlib.Path, folder: pathlib.Path, *flags: str) -> dict[str, bytes]:
    """Text to examples; returns the bytes of all that was made."""
    documents, examples = folder / "documents", folder / "examples"
    with beam.Pipeline(options=PipelineOptions(flags)) as pipeline:
        ingest(pipeline, [str(corpus)], str(documents), CONFIG)
    shutil.rmtree(documents / SCRATCH)
    little_bert.tokenizer().save(examples / "tokenizer")
    with beam.Pipeline(options=PipelineOptions(flags)) as pipeline:
        build(
            pipeline, str(documents), str(examples), family="bert", model=MODEL,
            config=ExamplesConfig(), span=1, code="git 0", finished=str(folder / "finished"),
        )  # fmt: skip
    shutil.rmtree(folder / "finished")
    return contents(folder)


@pytest.fixture(scope="module", name="expected")
def _expected(corpus: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    made = run(corpus, tmp_path_factory.mktemp("direct"))
    assert sum(name.endswith(".tfrecord.gz") for name in made) == 2 * 5
    return made


def test_the_same_bytes_on_flink(
    corpus: pathlib.Path,
    cluster: FlinkCluster,
    expected: dict[str, bytes],
    tmp_path: pathlib.Path,
) -> None:
    assert run(corpus, tmp_path, *cluster.flags) == expected


def test_the_same_bytes_when_task_managers_are_killed(
    corpus: pathlib.Path,
    cluster: FlinkCluster,
    expected: dict[str, bytes],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One while documents are written, one while examples are."""
    killed = []

    def kill_at_the_second(component: Any, name: str) -> None:
        method, calls = getattr(component, name), []

        # Loopback: what the task managers ask for is done in this process.
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
    assert run(corpus, tmp_path, *cluster.flags) == expected
    assert killed == ["_write", "_make"]
