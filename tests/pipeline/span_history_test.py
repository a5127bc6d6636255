"""The history of each span, and which spans `next` skips."""

import dataclasses
import os
import pathlib

import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd

from models.training.config import DevicesConfig
from pipeline.config import PipelineConfig
from pipeline.metadata.queries import RunHistory
from pipeline.recipes import bert_tiny
from pipeline.span_history import (
    FAILED,
    NEW,
    NOT_BLESSED,
    PREPARED,
    PUSHED,
    REFUSED,
    ROLLED_BACK,
    Attempt,
    SpanState,
    inputs_of,
    read_attempts,
    span_states,
    spans_to_skip,
    write_attempt,
)
from pipeline.spans import Span, available_spans
from tests.testdata.recorded_runs import Recorder

Execution = mlmd.Execution


@pytest.fixture
def config(tmp_path: pathlib.Path) -> PipelineConfig:
    for day in ("2024-05-01", "2024-05-02", "2024-05-03", "2024-05-04"):
        (tmp_path / f"news-{day}.txt").write_text("text")
    tiny = bert_tiny()
    ingestion = dataclasses.replace(tiny.ingestion, input=f"{tmp_path}/news-{{SPAN}}.txt")
    return dataclasses.replace(tiny, name="mine", runs=str(tmp_path / "runs"), ingestion=ingestion)


@pytest.fixture
def spans(config: PipelineConfig) -> list[Span]:
    return available_spans(config.ingestion.input)


def record_attempt(
    span: Span,
    config: PipelineConfig,
    run_id: str,
    state: str,
    version: str = "",
    until: str = "",
) -> None:
    """Records the start of an attempt, and its end unless the state is `FAILED`."""
    config.folder.mkdir(parents=True, exist_ok=True)
    started = Attempt(
        run_id, span.number, span.label, files=1, inputs=inputs_of(span, config), until=until
    )
    write_attempt(config.folder, started)
    if state != FAILED:
        write_attempt(config.folder, started.ended(state, "a reason\nin lines", version))


def skipped(config: PipelineConfig, spans: list[Span]) -> list[str]:
    numbers = spans_to_skip(read_attempts(config.folder), spans, config)
    return [span.label for span in spans if span.number in numbers]


def test_attempts_are_stored_in_the_pipelines_metadata(
    config: PipelineConfig, spans: list[Span]
) -> None:
    assert read_attempts(config.folder) == []
    record_attempt(spans[1], config, "b", FAILED)
    record_attempt(spans[0], config, "a", PUSHED, "17")
    found = read_attempts(config.folder)
    assert [each.run_id for each in found] == ["b", "a"]  # in the order of their starts
    assert found[0] == Attempt(
        "b",
        739008,
        "2024-05-02",
        FAILED,
        1,
        inputs_of(spans[1], config),
        "stopped, or still running",
    )
    assert (found[1].state, found[1].reason, found[1].version) == (PUSHED, "a reason", "17")


def test_spans_pushed_refused_or_not_blessed_are_skipped_and_failed_ones_not(
    config: PipelineConfig, spans: list[Span]
) -> None:
    assert skipped(config, spans) == []
    for span, state in zip(spans, (PUSHED, REFUSED, NOT_BLESSED, FAILED), strict=True):
        record_attempt(span, config, state, state)
    assert skipped(config, spans) == ["2024-05-01", "2024-05-02", "2024-05-03"]


def test_a_span_that_an_earlier_release_rolled_back_is_skipped(
    config: PipelineConfig, spans: list[Span]
) -> None:
    config.folder.mkdir(parents=True)
    older = Attempt("a", spans[0].number, spans[0].label).ended(ROLLED_BACK, version="17")
    write_attempt(config.folder, older)
    assert skipped(config, spans) == ["2024-05-01"]


@pytest.mark.parametrize("state", [REFUSED, NOT_BLESSED, ROLLED_BACK])
def test_a_judged_span_is_taken_again_if_its_files_or_settings_changed(
    config: PipelineConfig, spans: list[Span], state: str
) -> None:
    record_attempt(spans[0], config, "a", state)
    record_attempt(spans[1], config, "b", PUSHED)
    both = ["2024-05-01", "2024-05-02"]
    assert skipped(config, spans) == both
    stat = os.stat(spans[0].files[0])
    pathlib.Path(spans[0].files[0]).write_text("Text")  # of the same length
    os.utime(spans[0].files[0], ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert skipped(config, spans) == both[1:]
    record_attempt(spans[0], config, "c", state)
    assert skipped(config, spans) == both
    more = (*spans[0].files, spans[3].files[0])
    assert skipped(config, [dataclasses.replace(spans[0], files=more), *spans[1:]]) == both[1:]
    looser = dataclasses.replace(config.validation, min_documents=1)
    assert skipped(dataclasses.replace(config, validation=looser), spans) == both[1:]


def test_inputs_do_not_depend_on_folders_and_devices(
    config: PipelineConfig, spans: list[Span], tmp_path: pathlib.Path
) -> None:
    before = inputs_of(spans[0], config)
    other = dataclasses.replace(config, name="x", devices=DevicesConfig(steps_per_execution=2))
    assert inputs_of(spans[0], other) == before
    (tmp_path / "moved").mkdir()
    moved = pathlib.Path(spans[0].files[0]).rename(tmp_path / "moved" / "news-2024-05-01.txt")
    assert inputs_of(dataclasses.replace(spans[0], files=(str(moved),)), config) == before
    moved.unlink()
    assert inputs_of(dataclasses.replace(spans[0], files=(str(moved),)), config) != before


def test_a_pushed_span_stays_pushed_after_later_attempts(
    config: PipelineConfig, spans: list[Span]
) -> None:
    record_attempt(spans[0], config, "a", PUSHED, "17")
    record_attempt(spans[0], config, "b", REFUSED)
    assert skipped(config, spans) == ["2024-05-01"]
    states, following = span_states(config.folder, config)
    assert (states[0].state, states[0].version, following) == (PUSHED, "17", "2024-05-02")


def test_the_last_attempt_counts_if_none_was_pushed(
    config: PipelineConfig, spans: list[Span]
) -> None:
    record_attempt(spans[0], config, "a", REFUSED)
    record_attempt(spans[0], config, "b", FAILED)
    assert skipped(config, spans) == []


def test_states_of_spans_that_exist_or_existed(
    config: PipelineConfig, spans: list[Span], tmp_path: pathlib.Path
) -> None:
    record_attempt(spans[0], config, "20240501-173059.000001", PUSHED, "17")
    record_attempt(spans[1], config, "20240502-080000.000001", NOT_BLESSED)
    pathlib.Path(spans[0].files[0]).unlink()
    states, following = span_states(config.folder, config)
    assert states == [
        SpanState("2024-05-01", 739007, PUSHED, "2024-05-01 17:30", 0, "17", "a reason"),
        SpanState("2024-05-02", 739008, NOT_BLESSED, "2024-05-02 08:00", 1, "", "a reason"),
        SpanState("2024-05-03", 739009, NEW, "", 1, "", ""),
        SpanState("2024-05-04", 739010, NEW, "", 1, "", ""),
    ]
    assert following == "2024-05-03"
    for span in spans[2:]:
        record_attempt(span, config, span.label, REFUSED)
    assert span_states(config.folder, config)[1] is None


def test_attempts_of_earlier_releases_are_derived_from_their_steps(tmp_path: pathlib.Path) -> None:
    recorder = Recorder(tmp_path / "mine")
    for run, span, component, state in [
        ("20260101-000000.1", 739007, "Pusher", Execution.CACHED),
        ("b", 739008, "Pusher", Execution.COMPLETE),
        ("c", 739009, "DataGate", Execution.FAILED),
        ("d", 739010, "Trainer", Execution.FAILED),
        ("e", 739011, "Trainer", Execution.RUNNING),
    ]:
        recorder.execution(run, "TextExampleGen", parameters={"span": span})
        pushed = recorder.artifact("PushedModel", pushed=int(run != "b"), pushed_version="17")
        recorder.execution(run, component, state, outputs={"pushed_model": pushed})
    recorder.execution("f", "Pusher")
    found = read_attempts(recorder.folder)
    assert [(each.label, each.state, each.version, each.reason) for each in found] == [
        ("2024-05-01", PUSHED, "17", ""),
        ("2024-05-02", NOT_BLESSED, "", ""),
        ("2024-05-03", REFUSED, "", "by DataGate"),
        ("2024-05-04", FAILED, "", "Trainer failed"),
        ("2024-05-05", FAILED, "", "stopped, or still running"),
    ]
    later = dataclasses.replace(found[1], state=PUSHED, version="18")
    write_attempt(recorder.folder, later)  # a recorded attempt replaces a derived one
    assert later in read_attempts(recorder.folder)
    assert len(read_attempts(recorder.folder)) == 5


def test_an_attempt_that_an_earlier_release_did_not_end_has_not_ended(
    tmp_path: pathlib.Path,
) -> None:
    history = RunHistory(tmp_path, create=True)
    values = {"number": 1, "label": "1", "state": "failed", "reason": "stopped, or still at work"}
    history.note("polyseme_span_attempt", "a", values)
    (found,) = read_attempts(tmp_path)
    assert not found.has_ended
    assert found == Attempt("a", 1, "1")


def test_a_run_that_was_killed_after_its_push_counts_as_pushed(config: PipelineConfig) -> None:
    recorder = Recorder(config.folder)
    made = recorder.artifact("PushedModel", pushed=1, pushed_version="17")
    recorder.execution("a", "Pusher", outputs={"pushed_model": made})
    write_attempt(config.folder, Attempt("a", 1, "1"))
    (found,) = read_attempts(config.folder)
    assert (found.state, found.version) == (PUSHED, "17")
    (artifact,) = RunHistory(config.folder).pushed()
    RunHistory(config.folder).set_rolled_back(artifact, True)
    assert read_attempts(config.folder)[0].state == ROLLED_BACK


def test_partial_runs_do_not_change_the_state_of_trained_spans(
    config: PipelineConfig, spans: list[Span]
) -> None:
    record_attempt(spans[0], config, "a", PUSHED, "17")
    record_attempt(spans[1], config, "b", NOT_BLESSED)
    for number, span in enumerate(spans[:3]):
        record_attempt(span, config, f"c{number}", PREPARED, until="validation")
    record_attempt(spans[3], config, "d", REFUSED, until="validation")
    states, following = span_states(config.folder, config)
    assert [state.state for state in states] == [PUSHED, NOT_BLESSED, PREPARED, REFUSED]
    assert states[0].version == "17"
    assert following == spans[2].label
    assert skipped(config, spans) == [spans[0].label, spans[1].label, spans[3].label]
    record_attempt(spans[2], config, "e", FAILED, until="examples")
    assert following == span_states(config.folder, config)[1]
