"""Tests of reading vocabulary files with one entry per line."""

import pathlib

import pytest

from models.errors import ConfigError
from models.tokenizers.entries import listed, read_entries


@pytest.mark.parametrize(
    ("content", "entries"),
    [
        (b"a\nb\n", ["a", "b"]),
        (b"a\nb", ["a", "b"]),
        (b"\xef\xbb\xbfa\r\n b\r\n", ["a", " b"]),
        ("\u2028\n\x85\n".encode(), ["\u2028", "\x85"]),
    ],
)
def test_an_entry_is_a_line(tmp_path: pathlib.Path, content: bytes, entries: list[str]) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes(content)
    assert read_entries(path) == entries


@pytest.mark.parametrize(
    ("content", "what", "line"),
    [
        (b"", "empty", ""),
        (b" \n", "empty", ""),
        (b"a\n\nb\n", "an entry of the vocabulary is empty", ":2"),
        (b"a\nb\na\n", "'a' of the vocabulary is repeated", ":3 (first on line 1)"),
        (b"a\n\xff\n", "not UTF-8: byte 0xff", ":2"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_its_line(
    tmp_path: pathlib.Path, content: bytes, what: str, line: str
) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=what) as refused:
        read_entries(path)
    assert refused.value.where == f"{path}{line}"


def test_a_missing_file_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_entries(tmp_path / "none.txt")


def test_at_most_ten_names_are_listed() -> None:
    assert listed(list("abcdefghij")) == "a, b, c, d, e, f, g, h, i, j"
    assert listed(list("abcdefghijk")) == "a, b, c, d, e, f, g, h, i, j, …"
