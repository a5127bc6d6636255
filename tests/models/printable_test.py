"""Tests that control characters are escaped and all other characters are kept."""

from __future__ import annotations

import json
import sys
import unicodedata

from models.printable import printable, to_json

HOSTILE = "a\x1b]0;owned\x07\x1b[2J\r\x9b31mb\x7f\u202ec\u2066d\u2028e\udcff"
SHOWN = r"a\x1b]0;owned\x07\x1b[2J\r\x9b31mb\x7f\u202ec\u2066d\u2028e\udcff"
SAFE = "Tabs\tand lines\nstay, and so does 河 é 👩‍👩‍👧 עברית."


def test_only_control_characters_are_escaped() -> None:
    assert printable(HOSTILE) == SHOWN
    assert printable(SAFE) == SAFE
    every = "".join(map(chr, range(sys.maxunicode + 1)))
    kept = set(every) & set(printable(every))
    assert {c for c in kept if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")} == {"\t", "\n"}
    assert not {c for c in kept if unicodedata.bidirectional(c) in ("RLO", "LRO", "RLE", "LRE")}


def test_escaped_json_is_read_back() -> None:
    assert json.loads(to_json([HOSTILE, SAFE])) == [HOSTILE, SAFE]
    assert printable(to_json([HOSTILE])) == to_json([HOSTILE])
    assert "河" in to_json(SAFE)
    assert to_json("河\x7f", ensure_ascii=True) == '"\\u6cb3\\u007f"'
