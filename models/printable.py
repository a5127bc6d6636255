"""Texts of others with their control characters shown, so that no terminal obeys them.

Ids, sources, file names, tokens and generated texts come from whoever wrote the corpus. With an
escape sequence among them they could move the cursor, write over lines that were printed before, or
set a terminal's title; with bidirectional controls, read differently from what they are.
"""

from __future__ import annotations

import json
import re
from typing import Any

UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 without tab and line feed, delete, C1
    "\u2028\u2029"  # line and paragraph separators
    "\u202a-\u202e\u2066-\u2069"  # bidirectional embeddings, overrides and isolates
    "\ud800-\udfff]"  # bytes of file names that are not UTF-8, which no stream could encode
)
"""A character that a terminal, or a stream, may not be given."""


def printable(text: str) -> str:
    """The text with each control character as a literal of Python has it: a backslash and `x1b`.

    Tabs and line feeds stay.
    """
    return UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def to_json(value: Any, **options: Any) -> str:
    """JSON that is readable and safe to print: in it too, control characters are escaped.

    Args:
        value: what to write.
        options: those of `json.dumps`, with another default: characters beyond ASCII stay.
    """
    text = json.dumps(value, **{"ensure_ascii": False, **options})
    return UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
