"""Grouping through files: every item arrives once, at its key, however it was bundled."""

from __future__ import annotations

import pathlib

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to

from components import exchange
from components.exchange import GroupThroughFiles

ITEMS = [(number % 3, f"item {number}") for number in range(50)]
EXPECTED = [(key, sorted(item for k, item in ITEMS if k == key)) for key in range(4)]


@pytest.mark.parametrize("run_bytes", [1, 100, 10_000])
@pytest.mark.parametrize(
    "flags",
    [(), ("--direct_num_workers=2", "--direct_running_mode=multi_threading")],
    ids=["in memory", "threads"],
)
def test_every_item_arrives_at_its_key(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, run_bytes: int, flags: tuple[str, ...]
) -> None:
    monkeypatch.setattr(exchange, "_RUN_BYTES", run_bytes)
    with beam.Pipeline(options=PipelineOptions(flags)) as pipeline:
        groups = (
            pipeline
            | beam.Create(ITEMS)
            | beam.Reshuffle()
            | GroupThroughFiles(str(tmp_path), 4)
            | beam.MapTuple(lambda key, group: (key, sorted(group)))
        )
        assert_that(groups, equal_to(EXPECTED))
    runs = len(list(tmp_path.glob("run-*")))
    assert runs == len(ITEMS) if run_bytes == 1 else runs < len(ITEMS)


def test_a_group_can_be_read_again_and_at_two_places_at_once(tmp_path: pathlib.Path) -> None:
    with beam.Pipeline() as pipeline:
        groups = pipeline | beam.Create(ITEMS) | GroupThroughFiles(str(tmp_path), 4)
        pairs = groups | beam.MapTuple(
            lambda key, group: (key, len(list(zip(group, group, strict=True))) + len(list(group)))
        )
        assert_that(pairs, equal_to([(0, 34), (1, 34), (2, 32), (3, 0)]))


def test_no_item_at_all_gives_empty_groups(tmp_path: pathlib.Path) -> None:
    with beam.Pipeline() as pipeline:
        groups = (
            pipeline
            | beam.Create([])
            | GroupThroughFiles(str(tmp_path), 2)
            | beam.MapTuple(lambda key, group: (key, list(group)))
        )
        assert_that(groups, equal_to([(0, []), (1, [])]))


def test_a_run_that_no_bundle_handed_on_is_not_read(tmp_path: pathlib.Path) -> None:
    with beam.Pipeline() as pipeline:
        _ = (
            pipeline
            | beam.Create([(0, "left by a bundle that failed")])
            | GroupThroughFiles(str(tmp_path), 1)
        )
    with beam.Pipeline() as pipeline:
        groups = (
            pipeline
            | beam.Create([(0, "new")])
            | GroupThroughFiles(str(tmp_path), 1)
            | beam.MapTuple(lambda key, group: (key, list(group)))
        )
        assert_that(groups, equal_to([(0, ["new"])]))
