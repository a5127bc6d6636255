"""Checks of the gates: their form, their file, and the error that lists the failed checks.

TFX deletes the outputs of a component that raises. Before a gate raises, it therefore writes its
checks and the numbers behind them to a file outside its artifact.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from components.layout import CHECKS_FILE
from components.lineage.span_label import span_label
from components.storage.publish import write_whole
from models.errors import DataRefused
from models.printable import to_json

_EVERY_SPLIT = "all"
_LISTED = 6  # failed checks in a message, so that it fits on a screen; the file has all


@dataclasses.dataclass(frozen=True)
class Check:
    """A bound, and the value that was measured.

    Attributes:
        split: `train`, `eval`, `test`, or `all` for the whole span.
        feature: what is bounded.
        value: the measured value, in words.
        bound: the allowed values, in words.
        passed: whether the value is allowed.
        field: the setting of the bound, as `--set` spells it; "" if there is none.
        examples: a few documents or records behind the value, one line each.
        remedy: what to do if the check fails; "" means to correct or remove the documents.
    """

    split: str
    feature: str
    value: str
    bound: str
    passed: bool
    field: str = ""
    examples: Sequence[str] = ()
    remedy: str = ""

    def __str__(self) -> str:
        setting = f" ({self.field})" if self.field else ""
        return f"split {self.split}, {self.feature}: {self.value}; bound: {self.bound}{setting}"


def share_check(
    feature: str, number: int, total: int, bound: float, *, field: str, examples: Sequence[str] = ()
) -> Check:
    """A check that a share of a span's records or documents is at most `bound`.

    Args:
        feature: what is counted.
        number, total: the share is `number / total`.
        bound: the maximum share.
        field: the bound's setting.
        examples: a few of the counted documents or records.
    """
    share = number / total if total else 0.0
    return Check(
        split=_EVERY_SPLIT,
        feature=feature,
        value=f"{number:,} of {total:,}, {share:.2%}",
        bound=f"at most {bound:.2%}",
        passed=share <= bound,
        field=field,
        examples=tuple(examples),
    )


def read_checks(path: pathlib.Path) -> list[Check]:
    """Reads a file of checks that `approve` or `refuse_if_failed` wrote."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return [
        Check(**check) for check in (content if isinstance(content, list) else content["checks"])
    ]


def evidence_file(folder: str | pathlib.Path, gate: str, span: int) -> pathlib.Path:
    """The file that a gate writes when it refuses a span."""
    return pathlib.Path(folder) / f"span-{span_label(span)}.{gate}.json"


def approve(checks: Sequence[Check], folder: str) -> None:
    """Writes a gate's checks, all of which passed, into its artifact's folder."""
    _write(pathlib.Path(folder) / CHECKS_FILE, [*map(dataclasses.asdict, checks)])


def refuse_if_failed(
    checks: Sequence[Check], evidence: Mapping[str, Any], *, gate: str, span: int, folder: str
) -> None:
    """Raises if a check failed, after writing all checks and the evidence to a file.

    Args:
        checks: all checks of the gate.
        evidence: the numbers behind the checks; can be written as JSON.
        gate: the gate's name.
        span: the span's number.
        folder: receives `span-<label>.<gate>.json` if a check failed.

    Raises:
        DataRefused: a check failed; the message lists the failed checks and names the file.
    """
    failed = [check for check in checks if not check.passed]
    if not failed:
        return
    os.makedirs(folder, exist_ok=True)
    file = evidence_file(folder, gate, span)
    content = {"gate": gate, "span": span, "checks": [*map(dataclasses.asdict, checks)]}
    _write(file, content | dict(evidence))
    lines = [f"the text is not fit to train on: {len(failed)} of {len(checks)} checks failed"]
    for check in failed[:_LISTED]:
        lines += [f"  {check}", *(f"    {example}" for example in check.examples)]
    if len(failed) > _LISTED:
        lines.append(f"  and {len(failed) - _LISTED} more")
    lines.append(f"  all checks and the numbers behind them are in {file}")
    remedies = [
        *dict.fromkeys(check.remedy or "correct or remove the documents" for check in failed)
    ]
    fields = sorted({check.field for check in failed if check.field})
    if fields:
        remedies.append(f"change the bound if this text is wanted: {', '.join(fields)}")
    raise DataRefused(
        "\n".join(lines), where=f"{gate}, span {span_label(span)}", remedy="; or ".join(remedies)
    )


def _write(path: pathlib.Path, content: Any) -> None:
    write_whole(path, [to_json(content, indent=1) + "\n"])
