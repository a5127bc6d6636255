"""What a gate checks, and how it refuses: each gate is a list of checks, and all are shown at once.

TFX deletes the outputs of a step that raises. So before a gate raises it writes what it saw to a
file outside of its artifact.
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
_LISTED = 6  # failed checks in a message, which is to fit a screen; the file has all


@dataclasses.dataclass(frozen=True)
class Check:
    """One bound, and what was found.

    Attributes:
        split: `train`, `eval`, `test`, or `all` for a bound over the whole span.
        feature: what is bounded.
        value: what was found, as a reader wants it.
        bound: what is allowed.
        passed: whether it is.
        field: the setting of the bound, as `--set` spells it; empty if there is none.
        examples: a few of what is behind the value, a line each.
        remedy: what to do, if it is not to mend the documents.
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
    """A check of a share of a span's records or documents.

    Args:
        feature: what is counted.
        number, total: how many, of how many.
        bound: the highest share.
        field: the bound's setting.
        examples: a few of what was counted.
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
    """The checks of a file that `approve` or `refuse` wrote."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return [
        Check(**check) for check in (content if isinstance(content, list) else content["checks"])
    ]


def evidence_file(folder: str | pathlib.Path, gate: str, span: int) -> pathlib.Path:
    """Where a gate that refuses a span writes what it saw."""
    return pathlib.Path(folder) / f"span-{span_label(span)}.{gate}.json"


def approve(checks: Sequence[Check], folder: str) -> None:
    """Writes a gate's checks, all passed, into its artifact's folder."""
    _write(pathlib.Path(folder) / CHECKS_FILE, [*map(dataclasses.asdict, checks)])


def refuse(
    checks: Sequence[Check], seen: Mapping[str, Any], *, gate: str, span: int, folder: str
) -> None:
    """Raises if a check failed, after it has written everything down.

    Args:
        checks: all of the gate's.
        seen: the numbers behind the checks, as JSON can say them.
        gate: its name.
        span: the span's number.
        folder: receives `span-<label>.<gate>.json` if a check failed.

    Raises:
        DataRefused: listing the checks that failed, and naming the file.
    """
    failed = [check for check in checks if not check.passed]
    if not failed:
        return
    os.makedirs(folder, exist_ok=True)
    evidence = evidence_file(folder, gate, span)
    content = {"gate": gate, "span": span, "checks": [*map(dataclasses.asdict, checks)]}
    _write(evidence, content | dict(seen))
    lines = [f"the text is not fit to train on: {len(failed)} of {len(checks)} checks failed"]
    for check in failed[:_LISTED]:
        lines += [f"  {check}", *(f"    {example}" for example in check.examples)]
    if len(failed) > _LISTED:
        lines.append(f"  and {len(failed) - _LISTED} more")
    lines.append(f"  all checks and the numbers behind them are in {evidence}")
    remedies = [*dict.fromkeys(check.remedy or "mend or remove the documents" for check in failed)]
    fields = sorted({check.field for check in failed if check.field})
    if fields:
        remedies.append(f"move the bound on purpose: {', '.join(fields)}")
    raise DataRefused(
        "\n".join(lines), where=f"{gate}, span {span_label(span)}", remedy="; or ".join(remedies)
    )


def _write(path: pathlib.Path, content: Any) -> None:
    write_whole(str(path), [to_json(content, indent=1) + "\n"])
