"""The input texts of `predict`: its arguments, or the lines of standard input."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import BinaryIO

from models.errors import ConfigError

_LINE_END = re.compile(r"\r\n|\n|\r")
_BYTE_ORDER_MARK = "\ufeff"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_EXCERPT_BYTES = 40


def input_texts(arguments: Sequence[str], stdin: BinaryIO | None) -> tuple[str, ...]:
    """The arguments; without any, the lines of standard input that are not blank.

    A byte order mark at the start of a text is removed.

    Args:
        arguments: texts from the command line.
        stdin: standard input, None if it is closed.

    Raises:
        ConfigError: standard input is not UTF-8. The encoding of arguments is checked earlier, see
            pipeline/terminal/streams.py.
    """
    texts = arguments
    if not texts and stdin:
        lines = _LINE_END.split(_decode(stdin.read()))
        texts = [line for line in lines if line.strip(_BYTE_ORDER_MARK).strip()]
    return tuple(text.removeprefix(_BYTE_ORDER_MARK) for text in texts)


def _decode(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        start = content.rfind(b"\n", 0, error.start) + 1
        excerpt = content[start : start + _EXCERPT_BYTES].partition(b"\n")[0]
        encoding = "UTF-16" if content.startswith(_UTF_16) else "LATIN1"
        raise ConfigError(
            "standard input is not UTF-8",
            where=f"line {line}: {excerpt!r}",
            remedy=f"convert it, for example with `iconv -f {encoding} -t UTF-8`",
        ) from None
