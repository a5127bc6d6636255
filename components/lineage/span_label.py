"""A span's name for people, where only its number is known."""

from __future__ import annotations

import datetime

LABEL_PROPERTY = "span_label"
"""Custom property of artifacts: the text that {SPAN} matched in the names of the span's files."""

_FIRST = datetime.date(1700, 1, 1).toordinal()
_LAST = datetime.date(2200, 12, 31).toordinal()


def span_label(number: int, label: str | None = None) -> str:
    """The label if there is one, else the number, or the date whose ordinal it is.

    Args:
        number: the span's number. The ordinals of the years 1700 to 2200 are taken for dates.
        label: what the run or the artifact says. Artifacts of old runs, and those of TFX's own
            components, don't say any.
    """
    if label:
        return label
    if _FIRST <= number <= _LAST:
        return datetime.date.fromordinal(number).isoformat()
    return str(number)
