"""Tests of grouping by key: every item arrives once, at its key, on every kind of runner."""

from __future__ import annotations

import os
import pathlib
import pickle
from typing import Any, NamedTuple

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.direct.direct_runner import BundleBasedDirectRunner
from apache_beam.runners.portability.flink_runner import FlinkRunner
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.portability.portable_runner import PortableRunner
from apache_beam.runners.portability.spark_runner import SparkRunner
from apache_beam.runners.runner import create_runner
from apache_beam.testing.util import assert_that, equal_to

from components.storage import exchange
from components.storage.exchange import CoGroupItems, GroupItems, groups_in_memory
from tests.components.another_runner import PATH as ANOTHER

ITEMS = [(number % 3, f"item {number}") for number in range(50)]
EXPECTED = [(key, sorted(item for k, item in ITEMS if k == key)) for key in range(4)]
RUNNERS = {
    "in memory": (),
    "threads": ("--direct_num_workers=2", "--direct_running_mode=multi_threading"),
    "another": (f"--runner={ANOTHER}",),
}


class Inner(NamedTuple):
    name: str
    number: int


class Outer(NamedTuple):
    inner: Inner
    data: bytes
    flag: bool


@pytest.fixture(name="flags", params=RUNNERS.values(), ids=list(RUNNERS))
def _flags(request: pytest.FixtureRequest) -> PipelineOptions:
    return PipelineOptions(request.param)


@pytest.mark.parametrize("run_bytes", [1, 100, 10_000])
def test_every_item_arrives_at_its_key(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, run_bytes: int, flags: PipelineOptions
) -> None:
    monkeypatch.setattr(exchange, "_RUN_BYTES", run_bytes)
    with beam.Pipeline(options=flags) as pipeline:
        groups = (
            pipeline
            | beam.Create(ITEMS)
            | beam.Reshuffle()
            | GroupItems(str(tmp_path), 4, str)
            | beam.MapTuple(lambda key, group: (key, sorted(group)))
        )
        assert_that(groups, equal_to(EXPECTED))
    runs = len(list(tmp_path.glob("run-*")))
    if ANOTHER in str(flags.get_all_options()["runner"]):
        assert not any(tmp_path.iterdir())
    else:
        assert runs == len(ITEMS) if run_bytes == 1 else 0 < runs < len(ITEMS)


def test_a_group_can_be_iterated_again_and_twice_at_once(
    tmp_path: pathlib.Path, flags: PipelineOptions
) -> None:
    with beam.Pipeline(options=flags) as pipeline:
        groups = pipeline | beam.Create(ITEMS) | GroupItems(str(tmp_path), 4, str)
        pairs = groups | beam.MapTuple(
            lambda key, group: (key, len(list(zip(group, group, strict=True))) + len(list(group)))
        )
        assert_that(pairs, equal_to([(0, 34), (1, 34), (2, 32), (3, 0)]))


def test_no_items_give_empty_groups(tmp_path: pathlib.Path, flags: PipelineOptions) -> None:
    with beam.Pipeline(options=flags) as pipeline:
        groups = (
            pipeline
            | beam.Create([])
            | GroupItems(str(tmp_path), 2, str)
            | beam.MapTuple(lambda key, group: (key, list(group)))
        )
        assert_that(groups, equal_to([(0, []), (1, [])]))


def test_several_collections_are_grouped_by_key(
    tmp_path: pathlib.Path, flags: PipelineOptions
) -> None:
    outer = Outer(Inner("ü", -1), b"\x00\xff", flag=True)
    with beam.Pipeline(options=flags) as pipeline:
        groups = (
            {
                "words": pipeline | "Words" >> beam.Create([(2, ""), (0, "a"), (2, "b")]),
                "pairs": pipeline | "Pairs" >> beam.Create([(2, (b"", outer)), (1, (b"x", outer))]),
            }
            | CoGroupItems(str(tmp_path), 4, {"words": str, "pairs": tuple[bytes, Outer]})
            | beam.MapTuple(_listed)
        )
        expected: list[Any] = [
            (0, ["a"], []),
            (1, [], [(b"x", "Outer", outer)]),
            (2, ["", "b"], [(b"", "Outer", outer)]),
            (3, [], []),
        ]
        assert_that(groups, equal_to(expected))


def _listed(key: int, groups: Any) -> Any:
    pairs = [(name, type(each).__name__, each) for name, each in groups["pairs"]]
    return key, sorted(groups["words"]), pairs


def test_run_files_of_failed_bundles_are_not_read(tmp_path: pathlib.Path) -> None:
    with beam.Pipeline() as pipeline:
        _ = (
            pipeline
            | beam.Create([(0, "left by a bundle that failed")])
            | GroupItems(str(tmp_path), 1, str)
        )
    with beam.Pipeline() as pipeline:
        groups = (
            pipeline
            | beam.Create([(0, "new")])
            | GroupItems(str(tmp_path), 1, str)
            | beam.MapTuple(lambda key, group: (key, list(group)))
        )
        assert_that(groups, equal_to([(0, ["new"])]))


def test_only_direct_runners_group_through_files() -> None:
    direct = (create_runner("DirectRunner"), BundleBasedDirectRunner(), FnApiRunner())
    assert all(map(groups_in_memory, direct))
    others = (FlinkRunner(), SparkRunner(), PortableRunner(), create_runner(ANOTHER))
    assert not any(map(groups_in_memory, others))


class _Bomb:
    def __reduce__(self) -> Any:
        return os.mkdir, (self.folder,)

    def __init__(self, folder: str) -> None:
        self.folder = folder


@pytest.mark.parametrize("keep_length", [True, False])
def test_a_pickle_that_another_process_writes_into_a_run_file_is_not_run(
    tmp_path: pathlib.Path, keep_length: bool
) -> None:
    """After the run files are written, their items are replaced by a pickle that would run code."""
    scratch, proof = tmp_path / "scratch", tmp_path / "the pickle's code ran"
    scratch.mkdir()

    def poison(key: int, group: Any) -> list[Any]:
        for run in scratch.glob("run-*"):
            index = run.read_bytes()[:16]
            code = pickle.dumps(_Bomb(str(proof)))
            length = len(code).to_bytes(4, "little") if keep_length else b""
            run.write_bytes(index + length + code)
        return list(group)

    with (
        pytest.raises(RuntimeError, match="DataRefused: The data that workers exchange is damaged"),
        beam.Pipeline() as pipeline,
    ):
        _ = (
            pipeline
            | beam.Create([(0, "item")])
            | GroupItems(str(scratch), 1, str)
            | beam.MapTuple(poison)
        )
    assert not proof.exists()
