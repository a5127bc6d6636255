"""The texts that `predict` is given: as arguments, or as lines on standard input."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import BinaryIO

from models.errors import ConfigError

_LINE_END = re.compile(r"\r\n|\n|\r")
_BYTE_ORDER_MARK = "\ufeff"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_SHOWN = 40


def given_texts(arguments: Sequence[str], stdin: BinaryIO | None) -> tuple[str, ...]:
    """The arguments, or the lines of standard input that are not blank if there are none.

    A byte order mark at the beginning of a text is no part of it.

    Args:
        arguments: texts as `sys.argv` has them.
        stdin: standard input, None if it is closed.

    Raises:
        ConfigError: standard input is not UTF-8. The arguments' encoding is checked already, see
            pipeline/terminal/output.py.
    """
    texts = arguments
    if not texts and stdin:
        lines = _LINE_END.split(_decoded(stdin.read()))
        texts = [line for line in lines if line.strip(_BYTE_ORDER_MARK).strip()]
    return tuple(text.removeprefix(_BYTE_ORDER_MARK) for text in texts)


def _decoded(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        begin = content.rfind(b"\n", 0, error.start) + 1
        shown = content[begin : begin + _SHOWN].partition(b"\n")[0]
        encoding = "UTF-16" if content.startswith(_UTF_16) else "LATIN1"
        raise ConfigError(
            "standard input is not UTF-8",
            where=f"line {line}: {shown!r}",
            remedy=f"convert it, with `iconv -f {encoding} -t UTF-8` perhaps",
        ) from None
