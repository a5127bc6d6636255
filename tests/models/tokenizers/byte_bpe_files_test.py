"""Tests of GPT-2's vocabulary files: reading, writing, and errors with file and line."""

import json
import os
import pathlib

import pytest

from models.errors import ConfigError
from models.tokenizers.byte_bpe_files import (
    BYTE_LETTERS,
    END_OF_TEXT,
    BytePairs,
    read_byte_pairs,
    to_letters,
)

LETTERS = tuple(sorted(BYTE_LETTERS))
MERGES = (("t", "h"), ("Ġ", "th"))
ENTRIES = (*LETTERS, "th", "Ġth", END_OF_TEXT)
IDS = {entry: number for number, entry in enumerate(ENTRIES)}
LINES = ["#version: 0.2", "t h", "Ġ th"]


def write(folder: pathlib.Path, ids: object = IDS, lines: list[str] = LINES) -> pathlib.Path:
    content = ids if isinstance(ids, bytes) else json.dumps(ids).encode()
    (folder / "encoder.json").write_bytes(content)
    (folder / "vocab.bpe").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def test_bytes_are_printable_characters_in_gpt2s_order():
    assert to_letters("a b\n\x7f\xad中") == "aĠbĊġÂŃä¸Ń"
    assert len(set(BYTE_LETTERS)) == 256
    assert all(letter.isprintable() and not letter.isspace() for letter in BYTE_LETTERS)
    assert [LETTERS[number] for number in (0, 93, 94, 187, 188, 255)] == list("!~¡ÿĀŃ")


def without(*entries: str) -> dict[str, int]:
    return {entry: i for i, entry in enumerate(e for e in ENTRIES if e not in entries)}


def test_written_files_are_read_back(tmp_path):
    pairs = BytePairs(ENTRIES, MERGES)
    pairs.write(tmp_path)
    assert json.loads((tmp_path / "encoder.json").read_text()) == IDS
    assert (tmp_path / "vocab.bpe").read_text(encoding="utf-8").split("\n") == [*LINES, ""]
    assert read_byte_pairs(tmp_path) == pairs


@pytest.mark.parametrize(
    ("entries", "merges"),
    [
        ("encoder.json", "vocab.bpe"),
        ("vocab.json", "merges.txt"),
        ("gpt2-encoder.json", "gpt2-vocab.bpe"),
    ],
)
def test_the_merges_are_found_in_the_folder_of_the_entries(tmp_path, entries, merges):
    write(tmp_path)
    (tmp_path / "encoder.json").rename(tmp_path / entries)
    (tmp_path / "vocab.bpe").rename(tmp_path / merges)
    assert read_byte_pairs(tmp_path / entries) == BytePairs(ENTRIES, MERGES)
    if "-" not in entries:
        assert read_byte_pairs(tmp_path) == BytePairs(ENTRIES, MERGES)


@pytest.mark.parametrize("lines", [LINES[1:], [line + "\r" for line in LINES]])
def test_the_version_is_optional_and_windows_line_ends_are_removed(tmp_path, lines):
    assert read_byte_pairs(write(tmp_path, lines=lines)).merges == MERGES


def test_ids_may_be_in_any_order_and_there_may_be_no_merges(tmp_path):
    pairs = read_byte_pairs(write(tmp_path, dict(reversed(IDS.items())), lines=[""]))
    assert pairs == BytePairs(ENTRIES, ())
    assert pairs.unreachable == ["th", "Ġth"]


def test_an_entry_has_the_rank_of_the_first_pair_that_makes_it():
    merges = (("a", "bc"), ("b", "c"), ("ab", "c"))
    assert BytePairs(ENTRIES, merges).ranks == {"abc": 0, "bc": 1}


def test_bytes_of_entries():
    token_bytes = BytePairs((*ENTRIES, "<pad>", "中"), MERGES).token_bytes()
    assert sorted(token_bytes[:256]) == [bytes([byte]) for byte in range(256)]
    assert token_bytes[256:] == [b"th", b" th", b"", b"", b""]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (b"{", r"(?s)not JSON.*encoder\.json:1"),
        (b'{\n"a": 1\n]', r"(?s)not JSON.*encoder\.json:3"),
        (b'{"a":\n"\xff"}', r"(?s)UTF-8: byte 0xff.*encoder\.json:2"),
        (list(IDS), "not a JSON object of ids"),
        (IDS | {"th": "256"}, "not a JSON object of ids"),
        (IDS | {"th": True}, "not a JSON object of ids"),
        (json.dumps(IDS)[:-1].encode() + b', "th": 300}', "'th' is repeated"),
        (IDS | {"th": 5}, r"'&' and 'th' have the same id, 5"),
        (IDS | {"th": 300}, "none of the 259 entries has the id 256"),
        (without("Ġ"), r"lacks 1 of the 256 bytes, first 0x20, written 'Ġ'"),
        ({}, "lacks 256 of the 256 bytes, first 0x00, written 'Ā'"),
        (without(END_OF_TEXT), r"lacks <\|endoftext\|>"),
    ],
)
def test_entries_that_cannot_be_used_are_refused(tmp_path, ids, message):
    with pytest.raises(ConfigError, match=message) as refused:
        read_byte_pairs(write(tmp_path, ids))
    assert refused.value.where.startswith(str(tmp_path / "encoder.json"))
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("lines", "what", "line"),
    [
        ([*LINES, "t h e"], "'t h e' is not a merge", 4),
        ([*LINES, "", "t h"], "'' is not a merge", 4),
        ([*LINES, "#version: 0.2"], "'#version:' in", 4),
        ([*LINES, "T h"], "'Th' in the merge 'T h' is not an entry", 4),
        ([LINES[0], "中 h"], "'中' in the merge '中 h' is not an entry", 2),
        (["Ġt h"], "'Ġt' in the merge 'Ġt h' is not an entry", 1),
    ],
)
def test_merges_that_cannot_be_used_are_refused_with_their_line(tmp_path, lines, what, line):
    with pytest.raises(ConfigError, match=what) as refused:
        read_byte_pairs(write(tmp_path, lines=lines))
    assert refused.value.where == f"{tmp_path / 'vocab.bpe'}:{line}"
    assert refused.value.remedy


def test_a_merge_of_entries_that_are_not_made_of_bytes_is_refused(tmp_path):
    ids = IDS | {entry: 259 + number for number, entry in enumerate(["中", "文", "中文"])}
    with pytest.raises(ConfigError, match="'中' in the merge '中 文' is not an entry made"):
        read_byte_pairs(write(tmp_path, ids, [*LINES, "中 文"]))


@pytest.mark.parametrize("missing", ["encoder.json", "vocab.bpe"])
def test_a_missing_file_is_named(tmp_path, missing):
    (write(tmp_path) / missing).unlink()
    with pytest.raises(ConfigError, match="No such file") as refused:
        read_byte_pairs(tmp_path)
    assert refused.value.where == str(tmp_path / missing)


def test_an_unknown_name_of_the_entries_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="not one of the published names"):
        read_byte_pairs(write(tmp_path) / "vocab.bpe")


@pytest.mark.skipif(
    "POLYSEME_DATA" not in os.environ,
    reason="POLYSEME_DATA is not set: GPT-2's own files are missing",
)
def test_gpt2s_own_files_are_written_with_the_same_bytes(tmp_path):
    folder = pathlib.Path(os.environ["POLYSEME_DATA"], "vocabularies")
    pairs = read_byte_pairs(folder / "gpt2-encoder.json")
    assert len(pairs.entries) == 50_257
    assert pairs.entries[:256] == LETTERS
    assert pairs.entries[256:-1] == tuple(pairs.ranks) == tuple(a + b for a, b in pairs.merges)
    assert pairs.entries[-1] == END_OF_TEXT
    assert pairs.unreachable == []
    pairs.write(tmp_path)
    for name in ("encoder.json", "vocab.bpe"):
        assert (tmp_path / name).read_bytes() == (folder / f"gpt2-{name}").read_bytes()
