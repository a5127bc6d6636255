"""Converts the timestamps of records, in several forms, to seconds since 1970 UTC."""

from __future__ import annotations

import datetime
import math
import re
from typing import Any

_ISO = re.compile(  # the forms that both Python 3.10 and 3.13 parse, and fractions of a second
    r"(?P<date>\d{4}-\d\d-\d\d)"
    r"([T ](?P<time>\d\d:\d\d(:\d\d)?)(\.\d+)?(?P<zone>Z|[+-]\d\d:\d\d)?)?",
    re.ASCII,
)
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
_FIRST = (datetime.datetime(1, 1, 1, tzinfo=datetime.timezone.utc) - _EPOCH).total_seconds()
_LAST = (datetime.datetime(3000, 1, 1, tzinfo=datetime.timezone.utc) - _EPOCH).total_seconds()
_SHOWN = 40


class BadTimestamp(ValueError):
    """A value is not a timestamp; the message says why."""


def parse_timestamp(value: Any) -> int:
    """Converts a timestamp to seconds since 1970 UTC, which are negative for earlier years.

    None and "" give 0.

    Args:
        value: a number of seconds, an ISO 8601 string, or a date or datetime. A date means its
            first second, and a time without a time zone is in UTC.

    Raises:
        BadTimestamp: the value is none of these, or is outside the years 1 to 2999, as a number of
            milliseconds would be.
    """
    if value is None or value == "":
        return 0
    moment: Any = value
    if isinstance(value, str):
        moment = _iso(value.strip())
    elif isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        moment = datetime.datetime(value.year, value.month, value.day, tzinfo=datetime.timezone.utc)
    if isinstance(moment, datetime.datetime):
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=datetime.timezone.utc)
        return (moment - _EPOCH) // datetime.timedelta(seconds=1)
    if isinstance(moment, float) and math.isfinite(moment):
        moment = math.floor(moment)
    if not isinstance(moment, int) or isinstance(moment, bool):
        raise BadTimestamp(f"{str(value)[:_SHOWN]}")
    if not _FIRST <= moment < _LAST:
        raise BadTimestamp(
            f"{moment if abs(moment) < 10**30 else 'the number'} is not in the years 1 to 2999,"
            " counted in seconds since 1970; are these milliseconds?"
        )
    return moment


def _iso(text: str) -> datetime.datetime:
    fault = BadTimestamp(f"{text[:_SHOWN]!r}")
    match = _ISO.fullmatch(text)
    if match is None:
        raise fault
    zone = "+00:00" if match["zone"] in (None, "Z") else match["zone"]
    try:
        return datetime.datetime.fromisoformat(f"{match['date']}T{match['time'] or '00:00'}{zone}")
    except ValueError:  # no such day or hour
        raise fault from None
