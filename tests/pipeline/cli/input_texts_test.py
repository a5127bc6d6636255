"""The input texts of `predict`, and input that is not UTF-8."""

import io

import pytest

from models.errors import ConfigError
from pipeline.cli.input_texts import input_texts


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        (b"one\ntwo\n", ("one", "two")),
        (b"one\r\n\r\ntwo\rthree", ("one", "two", "three")),
        ("\ufeffone\n\ufefftwo\n\ufeff\n".encode(), ("one", "two")),  # joined files
        ("  one \n \t\n\u3000\n".encode(), ("  one ",)),
        ("a\u2028b\x0bc\x85d\n".encode(), ("a\u2028b\x0bc\x85d",)),
        (b"", ()),
    ],
)
def test_lines_of_standard_input_are_texts(content: bytes, texts: tuple[str, ...]) -> None:
    assert input_texts((), io.BytesIO(content)) == texts


def test_closed_standard_input_has_no_texts() -> None:
    assert input_texts((), None) == ()


def test_with_arguments_standard_input_is_not_read() -> None:
    stdin = io.BytesIO(b"one\n")
    assert input_texts(("\ufeffa", "", "two\nlines"), stdin) == ("a", "", "two\nlines")
    assert stdin.tell() == 0


@pytest.mark.parametrize(
    ("content", "where", "encoding"),
    [
        (b"first\nThe caf\xe9 opened.\nthird", "line 2: b'The caf\\xe9 opened.'", "LATIN1"),
        ("one\ntwo".encode("utf-16"), "line 1: b'\\xff\\xfeo\\x00n", "UTF-16"),
        (b"\xed\xa0\x80", "line 1: b'\\xed\\xa0\\x80'", "LATIN1"),
    ],
)
def test_standard_input_of_another_encoding_is_refused(
    content: bytes, where: str, encoding: str
) -> None:
    with pytest.raises(ConfigError, match="standard input is not UTF-8") as refused:
        input_texts((), io.BytesIO(content))
    assert (refused.value.where or "").startswith(where)
    assert f"iconv -f {encoding} " in (refused.value.remedy or "")
