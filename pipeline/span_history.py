"""The history of each span: the attempts to train on it, and which spans `next` skips.

`next` takes the first span, in order, that it does not skip. It skips

- a span whose model was pushed by some run: this span is done;
- a span that was refused, or whose model was not blessed or was rolled back, as long as its files
  and the configuration are unchanged: another run would have the same outcome. When they have
  changed, or with `--span`, the span is tried again.

A span whose last run failed or was stopped is taken again. So is a span that was only prepared by a
partial run, which trains nothing. A partial run on a span that was trained on before does not
change the span's state, unless it refuses the text.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from models.errors import DataRefused
from pipeline.config import PipelineConfig
from pipeline.metadata.queries import NodeRecord, RunHistory
from pipeline.metadata.store import has_database
from pipeline.spans import NothingNew, Span, available_spans, choose_span

NEW, PUSHED, NOT_BLESSED, REFUSED, FAILED = "new", "pushed", "not blessed", "refused", "failed"
ROLLED_BACK = "rolled back"
PREPARED = "prepared"
_NO_END = "stopped, or still running"
_NO_END_EARLIER = "stopped, or still at work"  # what earlier releases recorded
_NOTE_KIND = "polyseme_span_attempt"
_GATES = ("TextExampleGen", "DataGate", "TextCleaner")
_JUDGED = (REFUSED, NOT_BLESSED, ROLLED_BACK)  # another run on the same text would end the same


@dataclasses.dataclass(frozen=True)
class Attempt:
    """The attempt of one run to train on a span.

    Attributes:
        run_id: the run.
        number: the span's number.
        label: the span's label.
        state: `PUSHED`, `ROLLED_BACK`, `NOT_BLESSED`, `REFUSED`, `PREPARED` or `FAILED`; `FAILED`
            also before the attempt has ended.
        files: number of files of the span; 0 if it was not recorded, as by earlier releases.
        inputs: fingerprint of the span's files and the configuration, see `inputs_of`; empty if it
            was not recorded.
        reason: why nothing was pushed, one line.
        version: the version that was pushed.
        until: where the run was to stop early, see pipeline/steps.py; empty for a complete run.
    """

    run_id: str
    number: int
    label: str
    state: str = FAILED
    files: int = 0
    inputs: str = ""
    reason: str = _NO_END
    version: str = ""
    until: str = ""

    @property
    def has_ended(self) -> bool:
        """Whether the end was recorded; it is not while the run is going, or if it was killed."""
        return (self.state, self.reason) != (FAILED, _NO_END)

    def ended(self, state: str, reason: str = "", version: str = "") -> Attempt:
        """The attempt with its end; only the first line of the reason is kept."""
        line = reason.partition("\n")[0]
        return dataclasses.replace(self, state=state, reason=line, version=version)


@dataclasses.dataclass(frozen=True)
class SpanState:
    """The state of a span.

    Attributes:
        label: the span's label.
        number: its number.
        state: `NEW`, or the state of the last attempt; `PUSHED` if any attempt was.
        when: start of the last attempt, as 2026-05-01 17:30; empty without an attempt.
        files: number of files it has now; 0 if the input no longer has the span.
        version: the last version that was pushed from it, empty if there is none.
        reason: why nothing was pushed, one line.
    """

    label: str
    number: int
    state: str
    when: str
    files: int
    version: str
    reason: str


def read_attempts(folder: pathlib.Path) -> list[Attempt]:
    """The attempts of a pipeline's runs, oldest first.

    Runs of earlier releases recorded no attempt; theirs are derived from their steps.

    Args:
        folder: the pipeline's folder.
    """
    if not has_database(folder):
        return []
    history = RunHistory(folder)
    notes = history.notes(_NOTE_KIND)
    derived = (
        _attempt_of_steps(run, history.nodes(run)) for run in history.run_ids() if run not in notes
    )
    recorded = [_with_push(_attempt_of_note(run, values), history) for run, values in notes.items()]
    return [attempt for attempt in derived if attempt] + recorded


def _attempt_of_note(run_id: str, values: Mapping[str, str | int]) -> Attempt:
    """An attempt as it was recorded; fields of later releases are ignored."""
    names = {field.name for field in dataclasses.fields(Attempt)}
    fields: dict[str, Any] = {name: value for name, value in values.items() if name in names}
    if fields.get("reason") == _NO_END_EARLIER:
        fields["reason"] = _NO_END
    return Attempt(run_id=run_id, **fields)


def _with_push(attempt: Attempt, history: RunHistory) -> Attempt:
    """The attempt; if its run was killed after the push, with the pushed version."""
    if attempt.state != FAILED:
        return attempt
    pusher = history.nodes(attempt.run_id).get("Pusher")
    pushed = pusher.output("pushed_model") if pusher and pusher.succeeded else None
    if pushed is None or pushed.properties.get("pushed") != 1:
        return attempt
    state = ROLLED_BACK if pushed.rolled_back else PUSHED
    return attempt.ended(state, version=pushed.properties["pushed_version"])


def write_attempt(folder: pathlib.Path, attempt: Attempt) -> None:
    """Records an attempt in the pipeline's metadata, replacing the record of the same run."""
    values = dataclasses.asdict(attempt)
    RunHistory(folder, create=True).note(_NOTE_KIND, values.pop("run_id"), values)


def inputs_of(span: Span, config: PipelineConfig) -> str:
    """SHA-256 of what determines the outcome of a run on a span, without reading its text.

    It covers the files' names, sizes and modification times, and all settings except those that say
    where and how fast the run computes.
    """
    root = os.path.commonpath([os.path.dirname(file) for file in span.files])
    stamps: list[tuple[str, int, int]] = []
    for file in span.files:
        with contextlib.suppress(OSError):  # a file that is gone changes the result
            stat = os.stat(file)
            stamps.append((os.path.relpath(file, root), stat.st_size, stat.st_mtime_ns))
    settings = dataclasses.asdict(config)
    for name in ("name", "recipe", "runs", "devices", "beam"):
        del settings[name]
    del settings["ingestion"]["input"]
    text = json.dumps([stamps, settings], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def spans_to_skip(
    attempts: Sequence[Attempt], spans: Sequence[Span], config: PipelineConfig
) -> set[int]:
    """Numbers of the spans that `next` skips; the module's docstring has the rule."""
    pushed = {attempt.number for attempt in attempts if attempt.state == PUSHED}
    last = {attempt.number: attempt for attempt in _decisive(attempts)}
    return {
        span.number
        for span in spans
        if span.number in pushed
        or (span.number in last and _would_end_the_same(last[span.number], span, config))
    }


def _would_end_the_same(attempt: Attempt, span: Span, config: PipelineConfig) -> bool:
    """Whether an attempt was judged, and its files and settings are unchanged."""
    if attempt.state == ROLLED_BACK and not attempt.inputs:
        return True  # an earlier release did not record the inputs
    return attempt.state in _JUDGED and attempt.inputs == inputs_of(span, config)


def span_states(folder: pathlib.Path, config: PipelineConfig) -> tuple[list[SpanState], str | None]:
    """The states of the spans of a pipeline's input, and of the spans that it once had.

    Args:
        folder: the pipeline's folder.
        config: its configuration.

    Returns:
        The states in order of the spans, and the label of the span that `next` takes, None if no
        span is left.

    Raises:
        ConfigError: see `available_spans`.
    """
    attempts = read_attempts(folder)
    try:
        spans = available_spans(config.ingestion.input)
    except DataRefused:  # an input without {SPAN} whose file is gone
        spans = []
    span_by_number = {span.number: span for span in spans}
    # The last attempt of a span counts, but any push counts more.
    pushed_last = sorted(_decisive(attempts), key=lambda attempt: attempt.state == PUSHED)
    attempt_by_number = {attempt.number: attempt for attempt in pushed_last}
    states = [
        _state(span_by_number.get(number), attempt_by_number.get(number))
        for number in sorted(span_by_number.keys() | attempt_by_number)
    ]
    try:
        to_skip = spans_to_skip(attempts, spans, config)
        return states, choose_span(spans, config.ingestion.input, "next", to_skip).label
    except (DataRefused, NothingNew):
        return states, None


def _decisive(attempts: Sequence[Attempt]) -> Iterator[Attempt]:
    """The attempts that determine a span's state; see the rule about partial runs above."""
    trained: set[int] = set()
    for attempt in attempts:
        if attempt.state in (PUSHED, NOT_BLESSED, ROLLED_BACK):
            trained.add(attempt.number)
        if not attempt.until or attempt.state == REFUSED or attempt.number not in trained:
            yield attempt


def _state(span: Span | None, attempt: Attempt | None) -> SpanState:
    """The state of a span that exists, has an attempt, or both."""
    either = span or attempt
    assert either is not None
    return SpanState(
        label=either.label,
        number=either.number,
        state=attempt.state if attempt else NEW,
        when=_start_time(attempt.run_id) if attempt else "",
        files=len(span.files) if span else 0,
        version=attempt.version if attempt else "",
        reason=attempt.reason if attempt else "",
    )


def _start_time(run_id: str) -> str:
    """The start of a run, which is in its id; the id itself if it has another form."""
    day, _, time = run_id.partition("-")
    if not (len(day) == 8 and day.isdecimal() and time[:4].isdecimal()):
        return run_id
    return f"{day[:4]}-{day[4:6]}-{day[6:]} {time[:2]}:{time[2:4]}"


def _attempt_of_steps(run_id: str, nodes: Mapping[str, NodeRecord]) -> Attempt | None:
    """The attempt of a run that recorded none, derived from its steps; None without a span."""
    ingestion, pusher = nodes.get("TextExampleGen"), nodes.get("Pusher")
    if ingestion is None or "span" not in ingestion.parameters:
        return None
    attempt = Attempt(run_id, ingestion.parameters["span"], ingestion.span_label)
    if pusher and pusher.succeeded:
        pushed = pusher.output("pushed_model")
        if pushed and pushed.properties.get("pushed") == 1:
            return attempt.ended(PUSHED, version=pushed.properties.get("pushed_version", ""))
        return attempt.ended(NOT_BLESSED)
    failed = [name for name, node in nodes.items() if node.state == "failed"]
    if failed and failed[0] in _GATES:
        return attempt.ended(REFUSED, f"by {failed[0]}")
    return attempt.ended(FAILED, f"{failed[0]} failed" if failed else attempt.reason)
