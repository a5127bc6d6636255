"""Tests of finding input files, of the messages that refuse them, and of their fingerprint."""

from __future__ import annotations

import builtins
import os
import pathlib
import subprocess
import sys

import pytest

from components.readers.files import (
    as_glob,
    check_files,
    files_below,
    find_files,
    input_fingerprint,
    patterns_fingerprint,
    select_files,
    source_name,
)
from components.readers.formats import FORMATS, printable_path
from components.storage.file_hashes import FileHashes
from models.errors import DataRefused


def refusal(pattern: pathlib.Path | str) -> str:
    with pytest.raises(DataRefused) as caught:
        find_files(str(pattern))
    return str(caught.value)


def test_a_file_a_folder_and_a_glob(tmp_path: pathlib.Path) -> None:
    for name in ("b.txt", "a.jsonl", "deep/c.txt", ".hidden/d.txt", "notes.md"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("words")
    assert find_files(str(tmp_path / "b.txt")).files == [str(tmp_path / "b.txt")]
    assert find_files(str(tmp_path)).files == [
        str(tmp_path / name) for name in ("a.jsonl", "b.txt", "deep/c.txt")
    ]
    assert find_files(str(tmp_path / "*")).files == [
        str(tmp_path / "a.jsonl"),
        str(tmp_path / "b.txt"),
    ]
    assert find_files(str(tmp_path / "**" / "c.*")).files == [str(tmp_path / "deep/c.txt")]


def test_a_file_whose_name_looks_like_a_glob(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a[1].txt").write_text("words")
    assert find_files(str(tmp_path / "a[1].txt")).files == [str(tmp_path / "a[1].txt")]


def test_refuses_a_missing_path(tmp_path: pathlib.Path) -> None:
    assert refusal(tmp_path / "absent.jsonl") == (
        "The input does not exist.\n"
        f"  where: {tmp_path}/absent.jsonl\n"
        "  to do: Check the path, or fetch a corpus first: python -m pipeline corpus sotu"
    )
    assert refusal(tmp_path / "*.txt").startswith("No file matches.\n")


def test_refuses_a_folder_without_supported_files(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.pdf").write_text("words")
    assert refusal(tmp_path) == (
        "The input folder holds no file of a supported format. Skipped: 1 .pdf.\n"
        f"  where: {tmp_path}\n"
        f"  to do: Give it files that are {FORMATS}."
    )
    assert refusal(tmp_path / "*").startswith(
        "None of the 1 matches is a file of a supported format. Skipped: 1 .pdf.\n"
    )
    assert refusal(tmp_path / "a.pdf").startswith("The input file's format is not supported.\n")


def test_refuses_an_input_whose_files_are_all_empty(tmp_path: pathlib.Path) -> None:
    (tmp_path / "b.txt").touch()
    assert refusal(tmp_path / "b.txt") == (
        "The input file is empty.\n"
        f"  where: {tmp_path}/b.txt\n"
        "  to do: Fill it or remove it from the input."
    )
    (tmp_path / "c.parquet").touch()
    assert refusal(tmp_path).startswith("All the input files are empty.\n")
    (tmp_path / "a.txt").write_text("words")
    assert len(find_files(str(tmp_path)).files) == 3


def test_refuses_a_file_that_cannot_be_opened(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt").write_text("words")

    def denied(*_: object, **__: object) -> None:  # permissions would not stop root
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(builtins, "open", denied)
    message = refusal(tmp_path / "a.txt")
    monkeypatch.undo()
    assert message == (
        "The input file cannot be read: Permission denied.\n"
        f"  where: {tmp_path}/a.txt\n"
        "  to do: Check its permissions and the disk it is on."
    )


def test_refuses_a_broken_link(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.txt").symlink_to(tmp_path / "absent")
    assert refusal(tmp_path).startswith("The input is not a regular file.\n")


def test_skipped_files_are_counted_by_format(tmp_path: pathlib.Path) -> None:
    names = ["a.txt", "b.md", "c.MD", "_SUCCESS", ".hidden.md", *(f"d.{n}" for n in range(6))]
    for name in names:
        (tmp_path / name).write_text("words")
    found = find_files(str(tmp_path))
    assert found.files == [str(tmp_path / "a.txt")]
    assert found.skipped_in_words() == (
        "2 .md, 1 without a suffix, 1 .0, 1 .1, 1 .2, 3 of other formats"
    )
    assert find_files(str(tmp_path / "a.txt")).skipped_in_words() == ""


def test_links_are_followed_and_a_file_is_read_once(tmp_path: pathlib.Path) -> None:
    blobs, folder = tmp_path / "blobs", tmp_path / "in"
    for path in (blobs, folder):
        path.mkdir()
    (blobs / "one").write_text("One")
    (folder / "a.txt").symlink_to(blobs / "one")
    (folder / "b.txt").symlink_to(folder / "a.txt")
    (folder / "loop").symlink_to(folder)
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "c.txt").write_text("Two")
    (folder / "linked").symlink_to(tmp_path / "more")
    found = find_files(str(folder))
    assert found.files == [str(folder / "a.txt"), str(folder / "linked" / "c.txt")]
    assert found.skipped_in_words() == "1 second names of files"


def test_a_folder_that_cannot_be_read_is_refused(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deep").mkdir()
    original = os.scandir

    def denied(path: str) -> object:  # permissions would not stop root
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied", path)
        return original(path)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(DataRefused, match="An input folder cannot be read: Permission denied"):
        files_below(tmp_path)


def test_folders_with_names_that_look_like_patterns(tmp_path: pathlib.Path) -> None:
    for name in ("[ab]", "a"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.txt").write_text(name)
    assert find_files(str(tmp_path / "[ab]" / "*.txt")).files == [str(tmp_path / "[ab]" / "x.txt")]
    assert find_files(str(tmp_path / "[ab]")).files == [str(tmp_path / "[ab]" / "x.txt")]
    assert find_files(str(tmp_path / "[a]" / "*.txt")).files == [str(tmp_path / "a" / "x.txt")]
    assert as_glob(f"{tmp_path}/[ab]/[cd]/*") == f"{tmp_path}/[[]ab]/[cd]/*"


def test_names_that_are_not_utf_8(tmp_path: pathlib.Path) -> None:
    name = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9-2020.txt")
    with open(name, "w") as stream:
        stream.write("words")
    assert find_files(str(tmp_path)).files == [name]
    assert source_name(name) == "caf\\xe9"
    assert printable_path(name) == f"{tmp_path}/caf\\xe9-2020.txt"
    os.truncate(name, 0)
    assert "caf\\xe9" in refusal(name)


def test_select_files_leaves_folders_out(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.parquet").mkdir()  # Spark writes folders with such names
    assert select_files([str(tmp_path / "a.parquet")]).files == []


def test_refuses_a_span_left_in_the_pattern() -> None:
    assert refusal("news-{SPAN}.txt").startswith("The input's {SPAN} was not replaced by a span.\n")


def _files(folder: pathlib.Path) -> list[str]:
    return select_files(files_below(folder)).files


def test_the_fingerprint_depends_on_names_and_bytes(tmp_path: pathlib.Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.txt").write_text("words")
        (tmp_path / folder / "b.txt").write_text("more")
    first = input_fingerprint(_files(tmp_path / "one"))
    assert len(first) == 64
    assert input_fingerprint(_files(tmp_path / "two")) == first  # a corpus may move
    assert input_fingerprint(_files(tmp_path / "two")[:1]) != first
    (tmp_path / "two" / "b.txt").write_text("More")
    assert input_fingerprint(_files(tmp_path / "two")) != first
    (tmp_path / "one" / "b.txt").rename(tmp_path / "one" / "c.txt")
    assert input_fingerprint(_files(tmp_path / "one")) != first


def test_the_fingerprint_uses_cached_hashes(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("words")
    os.utime(file, (1_600_000_000, 1_600_000_000))
    sizes: list[int] = []
    first = input_fingerprint([str(file)], FileHashes(tmp_path / "cache.json"), sizes.append)
    assert (first, sizes) == (input_fingerprint([str(file)]), [5])
    with pytest.raises(DataRefused, match="not a regular file"):
        input_fingerprint([str(tmp_path / "absent.txt")])


def test_listed_files_are_checked_like_those_of_a_pattern(tmp_path: pathlib.Path) -> None:
    files = [str(tmp_path / name) for name in ("a.txt", "b.txt", "c.txt")]
    (tmp_path / "a.txt").write_text("words")
    (tmp_path / "b.txt").touch()
    check_files(files[:2])  # some files may be empty
    with pytest.raises(DataRefused, match="is empty"):
        check_files(files[1:2])
    with pytest.raises(DataRefused, match="not a regular file"):
        input_fingerprint([files[0], files[2]])


def test_imports_neither_tensorflow_nor_beam() -> None:
    heavy = "{'tensorflow', 'apache_beam'}"
    code = f"import sys, components.readers.files; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_the_fingerprint_of_several_patterns_depends_on_their_bytes(tmp_path: pathlib.Path) -> None:
    one, two = tmp_path / "a.txt", tmp_path / "b.txt"
    one.write_text("One")
    two.write_text("Two")
    patterns = (str(one), str(two))
    first = patterns_fingerprint(patterns)
    assert patterns_fingerprint(patterns) == first != patterns_fingerprint(patterns[:1])
    two.write_text("More")
    assert patterns_fingerprint(patterns) != first
    assert patterns_fingerprint(()) == ""
    with pytest.raises(DataRefused):
        patterns_fingerprint((str(tmp_path / "none.txt"),))


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("news-2020.jsonl", "news"),
        ("wire-2024-05-01.JSONL.gz", "wire"),
        ("2024-05-01-wire.txt", "wire"),
        ("news-10-a.jsonl", "news-a"),
        ("part00001.parquet", "part"),
        ("gpt2-output.jsonl", "gpt2-output"),
        ("2024-05-01.jsonl", "text"),
    ],
)
def test_a_source_taken_from_a_files_name_is_the_same_in_the_next_span(
    name: str, source: str
) -> None:
    assert source_name(f"corpus/{name}") == source
