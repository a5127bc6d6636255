"""Escapes control characters in untrusted text, so that printing it is safe.

Ids, sources, file names, tokens and generated texts come from the authors of the corpus. Escape
sequences in them could move the cursor, overwrite lines that were printed before, or set the
terminal's title. Bidirectional controls could make a text read differently from what it is.
"""

from __future__ import annotations

import json
import re
from typing import Any

UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 without tab and line feed, delete, C1
    "\u2028\u2029"  # line and paragraph separators
    "\u202a-\u202e\u2066-\u2069"  # bidirectional embeddings, overrides and isolates
    "\ud800-\udfff]"  # surrogates, such as bytes of file names that are not UTF-8
)
"""Matches a character that must not be printed."""


def printable(text: str) -> str:
    """The text with each control character escaped as in a Python literal, such as `\\x1b`.

    Tabs and line feeds are kept.
    """
    return UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def to_json(value: Any, **options: Any) -> str:
    """JSON that is readable and safe to print: control characters are escaped.

    Args:
        value: what to write.
        options: options of `json.dumps`. By default characters beyond ASCII are not escaped.
    """
    text = json.dumps(value, **{"ensure_ascii": False, **options})
    return UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
