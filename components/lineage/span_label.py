"""Labels of spans, for people, from the spans' numbers."""

from __future__ import annotations

import datetime

LABEL_PROPERTY = "span_label"
"""Custom property of artifacts: the text that {SPAN} matched in the names of the span's files."""

_FIRST = datetime.date(1700, 1, 1).toordinal()
_LAST = datetime.date(2200, 12, 31).toordinal()


def span_label(number: int, label: str | None = None) -> str:
    """The label if there is one; else the date with that ordinal, or the number.

    Args:
        number: the span's number. From the ordinal of the year 1700 to that of 2200 it is a date.
        label: the label that a run or an artifact has. Artifacts of earlier releases and of TFX's
            own components have none.
    """
    if label:
        return label
    if _FIRST <= number <= _LAST:
        return datetime.date.fromordinal(number).isoformat()
    return str(number)
