"""Tests of opening files of any compression, encoding and line ends as lines of UTF-8."""

from __future__ import annotations

import gzip
import pathlib
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from components.readers.streams import READ_ERRORS, UnmarkedEncoding, is_splittable, open_lines

COMPRESS: dict[str, Any] = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": zstandard.compress,
}


def read(path: pathlib.Path, content: bytes, encoding: str = "utf-8") -> bytes:
    path.write_bytes(content)
    stream, raw = open_lines(str(path), 0, encoding)
    with stream, raw:
        return stream.read()


@pytest.mark.parametrize("suffix", COMPRESS)
def test_compressions(tmp_path: pathlib.Path, suffix: str) -> None:
    path, text = tmp_path / f"a.txt{suffix}", "Grüße.\n".encode() * 50_000
    assert read(path, COMPRESS[suffix](text)) == text
    joined = COMPRESS[suffix](b"one\n") + COMPRESS[suffix](b"two\n")
    assert read(path, joined) == b"one\ntwo\n"


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_truncated_streams_raise_after_the_readable_part(
    tmp_path: pathlib.Path, suffix: str
) -> None:
    text = "".join(f"{n} {hash((n, 'x'))}\n" for n in range(50_000)).encode()
    whole = COMPRESS[suffix](text)
    path = tmp_path / f"a.txt{suffix}"
    for content in (whole[: len(whole) // 2], whole[:-1]):
        path.write_bytes(content)
        stream, raw = open_lines(str(path), 0, "utf-8")
        found: list[bytes] = []
        with stream, raw, pytest.raises(READ_ERRORS):
            found.extend(iter(stream.readline, b""))
        kept = b"".join(found)
        assert kept == text[: len(kept)]
        assert len(kept) > len(text) // 3


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", b"\xef\xbb\xbf"),
        ("utf-16-le", b"\xff\xfe"),
        ("utf-16-be", b"\xfe\xff"),
        ("utf-32-le", b"\xff\xfe\0\0"),
        ("utf-32-be", b"\0\0\xfe\xff"),
    ],
)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_byte_order_mark_decides_the_encoding(
    tmp_path: pathlib.Path, encoding: str, mark: bytes, suffix: str
) -> None:
    content = COMPRESS[suffix](mark + "中文 😀\r\ntwo\n".encode(encoding))
    found = read(tmp_path / f"a.txt{suffix}", content, "latin-1")
    assert found.removeprefix(b"\xef\xbb\xbf").replace(b"\r", b"") == "中文 😀\ntwo\n".encode()


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "gb18030", "latin-1", "cp1252"])
def test_without_a_mark_the_configured_encoding_is_used(
    tmp_path: pathlib.Path, encoding: str
) -> None:
    text = "é à.\rtwo\n"
    found = read(tmp_path / "a.txt", text.encode(encoding), encoding)
    assert found == "é à.\ntwo\n".encode()


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_refused(tmp_path: pathlib.Path, encoding: str) -> None:
    with pytest.raises(UnmarkedEncoding, match=f"set ingestion.encoding={encoding}"):
        read(tmp_path / "a.txt", "Plain English.\n".encode(encoding))


def test_bytes_that_are_invalid_in_the_encoding_become_invalid_utf_8(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / "a.txt"
    half = "a\n".encode("utf-16-le") + b"\x00\xd8" + "\nb\n".encode("utf-16-le")
    assert read(path, half, "utf-16-le") == b"a\n\xed\xa0\x80\nb\n"
    assert read(path, b"a\n\xff\nb\n", "gb18030") == b"a\n\xff\nb\n"


def test_a_truncated_character_raises_after_the_others(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("one\ntwo\n".encode("utf-16") + b"x")
    stream, raw = open_lines(str(path), 0, "utf-8")
    with stream, raw:
        assert [stream.readline(), stream.readline()] == [b"one\n", b"two\n"]
        with pytest.raises(READ_ERRORS):
            stream.readline()


def test_carriage_returns_alone_end_lines(tmp_path: pathlib.Path) -> None:
    assert read(tmp_path / "a.txt", b"one\r\rtwo\xff\r") == b"one\n\ntwo\xff\n"
    assert (
        read(tmp_path / "a.txt", b"one\r\ntwo\r") == b"one\r\ntwo\r"
    )  # `Lines` strips the carriage return


def test_plain_files_can_be_read_from_the_middle(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.txt"
    for content, splittable in (
        (b"one\ntwo\n", True),
        (b"\xef\xbb\xbfone\n", True),
        (b"", True),
        ("one\n".encode("utf-16"), False),
        ("one\n".encode("utf-16-le"), False),
        (b"one\rtwo\r", False),
        (gzip.compress(b"one\n", mtime=0), False),
    ):
        path.write_bytes(content)
        assert is_splittable(str(path), "utf-8") is splittable, content
    assert not is_splittable(str(path), "latin-1")
    assert not is_splittable(str(tmp_path / "absent.txt"), "utf-8")
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"one\n"))
    assert not is_splittable(str(tmp_path / "a.txt.gz"), "utf-8")
    path.write_bytes(b"one\ntwo\n")
    stream, raw = open_lines(str(path), 4, "utf-8")
    with stream, raw:
        assert (stream.read(), stream.tell()) == (b"two\n", 8)


@settings(deadline=None)
@given(
    text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\ufeff")),
    encoding=st.sampled_from(["utf-16", "utf-32", "utf-8-sig"]),
    suffix=st.sampled_from([*COMPRESS]),
)
def test_any_text_is_decoded(
    tmp_path_factory: pytest.TempPathFactory, text: str, encoding: str, suffix: str
) -> None:
    path = tmp_path_factory.mktemp("any") / f"a.txt{suffix}"
    found = read(path, COMPRESS[suffix](text.encode(encoding)), "latin-1")
    assert found.removeprefix(b"\xef\xbb\xbf").decode() == text
