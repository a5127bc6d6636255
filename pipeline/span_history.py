"""What became of each span: the attempts to train on it, and so which one `next` takes.

`next` takes the first span, in order, that it does not pass over. It passes over

- a span whose model was pushed by some run: it is done;
- a span that was refused, or whose model was not blessed or was rolled back, as long as its
  files and the configuration are what they were then: the same would come of it again. It is not
  done: when they have changed, or with `--span`, it is tried again.

A span whose last run failed or was stopped is taken again, and so is one that was only prepared: by
a partial run, which trains nothing. Of a span that was trained on before, a partial run changes
nothing, unless it refuses the text.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence

from models.errors import DataRefused
from pipeline.config import PipelineConfig
from pipeline.metadata.queries import NodeRecord, RunHistory
from pipeline.metadata.store import has_database
from pipeline.spans import NothingNew, Span, available_spans, choose_span

NEW, PUSHED, NOT_BLESSED, REFUSED, FAILED = "new", "pushed", "not blessed", "refused", "failed"
ROLLED_BACK = "rolled back"
PREPARED = "prepared"
_BEGUN = "stopped, or still at work"
_KIND = "polyseme_span_attempt"
_GATES = ("TextExampleGen", "DataGate", "TextCleaner")
_JUDGED = (REFUSED, NOT_BLESSED, ROLLED_BACK)  # the same text would come to the same again


@dataclasses.dataclass(frozen=True)
class Attempt:
    """One run's attempt to train on a span.

    Attributes:
        run_id: the run.
        number: the span's number.
        label: the span's name for people.
        state: `PUSHED`, `ROLLED_BACK`, `NOT_BLESSED`, `REFUSED`, `PREPARED` or `FAILED`, which it
            also is until its end.
        files: how many files the span had; 0 if that is not known, in runs of old code.
        inputs: of the span's files and the configuration, see `inputs_of`; empty if not known.
        reason: why nothing was pushed, a line.
        version: the version that was pushed.
        until: where it was to end, see pipeline/steps.py; empty of a run of the whole pipeline.
    """

    run_id: str
    number: int
    label: str
    state: str = FAILED
    files: int = 0
    inputs: str = ""
    reason: str = _BEGUN
    version: str = ""
    until: str = ""

    @property
    def has_ended(self) -> bool:
        """Whether its end was written down; it was not of a run that is at work or was killed."""
        return (self.state, self.reason) != (FAILED, _BEGUN)

    def ended(self, state: str, reason: str = "", version: str = "") -> Attempt:
        """The same attempt at its end; of the reason, the first line."""
        line = reason.partition("\n")[0]
        return dataclasses.replace(self, state=state, reason=line, version=version)


@dataclasses.dataclass(frozen=True)
class SpanState:
    """How far a pipeline is with a span.

    Attributes:
        label: the span's name for people.
        number: its number.
        state: `NEW`, or the last attempt's; `PUSHED` once some attempt was.
        when: when that attempt began, as 2026-05-01 17:30; empty if there was none.
        files: the files it has now; 0 if the input has it no longer.
        version: the last version that was pushed from it, empty if none was.
        reason: why nothing was pushed, a line.
    """

    label: str
    number: int
    state: str
    when: str
    files: int
    version: str
    reason: str


def read_attempts(folder: pathlib.Path) -> list[Attempt]:
    """The attempts of a pipeline's runs, oldest first; those of old code as far as they tell."""
    if not has_database(folder):
        return []
    history = RunHistory(folder)
    notes = history.notes(_KIND)
    older = (_read_off(run, history.nodes(run)) for run in history.run_ids() if run not in notes)
    known = {field.name for field in dataclasses.fields(Attempt)}
    noted = (
        Attempt(run_id=run, **{name: value for name, value in values.items() if name in known})
        for run, values in notes.items()
    )
    return [attempt for attempt in older if attempt] + [
        _as_it_ended(attempt, history) for attempt in noted
    ]


def _as_it_ended(attempt: Attempt, history: RunHistory) -> Attempt:
    """The attempt; of a run that was killed after its push, that it pushed."""
    if attempt.state != FAILED:
        return attempt
    pusher = history.nodes(attempt.run_id).get("Pusher")
    made = pusher.output("pushed_model") if pusher and pusher.succeeded else None
    if made is None or made.properties.get("pushed") != 1:
        return attempt
    state = ROLLED_BACK if made.rolled_back else PUSHED
    return attempt.ended(state, version=made.properties["pushed_version"])


def write_attempt(folder: pathlib.Path, attempt: Attempt) -> None:
    """Keeps an attempt, in place of what was known of the same run, in the pipeline's metadata."""
    values = dataclasses.asdict(attempt)
    RunHistory(folder, create=True).note(_KIND, values.pop("run_id"), values)


def inputs_of(span: Span, config: PipelineConfig) -> str:
    """SHA-256 of what decides over a span's text, without reading it.

    It is of the files' names, sizes and times of change, and of all settings but those that say
    where and how fast things are computed.
    """
    root = os.path.commonpath([os.path.dirname(file) for file in span.files])
    stamps: list[tuple[str, int, int]] = []
    for file in span.files:
        with contextlib.suppress(OSError):  # gone by now, so not what it was
            stat = os.stat(file)
            stamps.append((os.path.relpath(file, root), stat.st_size, stat.st_mtime_ns))
    settings = dataclasses.asdict(config)
    for name in ("name", "recipe", "runs", "devices", "beam"):
        del settings[name]
    del settings["ingestion"]["input"]
    text = json.dumps([stamps, settings], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def passed_over(
    attempts: Sequence[Attempt], spans: Sequence[Span], config: PipelineConfig
) -> set[int]:
    """Numbers of the spans that `next` passes over; the rule is at the top of this file."""
    pushed = {attempt.number for attempt in attempts if attempt.state == PUSHED}
    last = {attempt.number: attempt for attempt in _telling(attempts)}
    return {
        span.number
        for span in spans
        if span.number in pushed
        or (span.number in last and _would_come_of_it_again(last[span.number], span, config))
    }


def _would_come_of_it_again(attempt: Attempt, span: Span, config: PipelineConfig) -> bool:
    """Whether an attempt was judged, and its files and settings are what they were."""
    if attempt.state == ROLLED_BACK and not attempt.inputs:
        return True  # an older release did not write down what they were
    return attempt.state in _JUDGED and attempt.inputs == inputs_of(span, config)


def span_states(folder: pathlib.Path, config: PipelineConfig) -> tuple[list[SpanState], str | None]:
    """How far a pipeline is with each span of its input, and of those that it once had.

    Returns:
        The states in order, and the label of the span that `next` takes, None if there is none.

    Raises:
        ConfigError: as `available_spans`.
    """
    attempts = read_attempts(folder)
    try:
        spans = available_spans(config.ingestion.input)
    except DataRefused:  # an input without {SPAN} that is gone
        spans = []
    there = {span.number: span for span in spans}
    in_order_of_weight = sorted(_telling(attempts), key=lambda attempt: attempt.state == PUSHED)
    tried = {attempt.number: attempt for attempt in in_order_of_weight}  # the last one counts
    states = [
        _state(there.get(number), tried.get(number)) for number in sorted(there.keys() | tried)
    ]
    try:
        over = passed_over(attempts, spans, config)
        return states, choose_span(spans, config.ingestion.input, "next", over).label
    except (DataRefused, NothingNew):
        return states, None


def _telling(attempts: Sequence[Attempt]) -> Iterator[Attempt]:
    """The attempts that say how far a span is; see the rule about partial runs at the top."""
    trained: set[int] = set()
    for attempt in attempts:
        if attempt.state in (PUSHED, NOT_BLESSED, ROLLED_BACK):
            trained.add(attempt.number)
        if not attempt.until or attempt.state == REFUSED or attempt.number not in trained:
            yield attempt


def _state(span: Span | None, attempt: Attempt | None) -> SpanState:
    """Of a span that is there, was tried, or both."""
    named = span or attempt
    assert named is not None
    return SpanState(
        label=named.label,
        number=named.number,
        state=attempt.state if attempt else NEW,
        when=_when(attempt.run_id) if attempt else "",
        files=len(span.files) if span else 0,
        version=attempt.version if attempt else "",
        reason=attempt.reason if attempt else "",
    )


def _when(run_id: str) -> str:
    """A run's beginning out of its id, the id itself if it holds none."""
    day, _, time = run_id.partition("-")
    if not (len(day) == 8 and day.isdecimal() and time[:4].isdecimal()):
        return run_id
    return f"{day[:4]}-{day[4:6]}-{day[6:]} {time[:2]}:{time[2:4]}"


def _read_off(run_id: str, nodes: Mapping[str, NodeRecord]) -> Attempt | None:
    """The attempt of a run that wrote none down, None if it came to no span."""
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
