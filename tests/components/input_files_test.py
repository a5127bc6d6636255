"""Patterns into files: what is found, and each refusal as the user reads it."""

from __future__ import annotations

import builtins
import pathlib
import subprocess
import sys

import pytest

from components.input_files import (
    check_files,
    expand,
    files_below,
    input_fingerprint,
    patterns_fingerprint,
    source_of,
    suffix_of,
)
from models.errors import DataRefused


def refusal(pattern: pathlib.Path | str) -> str:
    with pytest.raises(DataRefused) as caught:
        expand(str(pattern))
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("a.jsonl", ".jsonl"),
        ("a.JSONL.GZ", ".jsonl.gz"),
        ("a.b.txt", ".txt"),
        ("a.parquet", ".parquet"),
        ("a.txt.gz", None),
        ("a.json", None),
    ],
)
def test_suffixes(name: str, suffix: str | None) -> None:
    assert suffix_of(name) == suffix


def test_a_file_a_folder_and_a_glob(tmp_path: pathlib.Path) -> None:
    for name in ("b.txt", "a.jsonl", "deep/c.txt", ".hidden/d.txt", "notes.md"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("words")
    assert expand(str(tmp_path / "b.txt")) == [str(tmp_path / "b.txt")]
    assert expand(str(tmp_path)) == [
        str(tmp_path / name) for name in ("a.jsonl", "b.txt", "deep/c.txt")
    ]
    assert expand(str(tmp_path / "*")) == [str(tmp_path / "a.jsonl"), str(tmp_path / "b.txt")]
    assert expand(str(tmp_path / "**" / "c.*")) == [str(tmp_path / "deep/c.txt")]


def test_a_file_whose_name_looks_like_a_glob(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a[1].txt").write_text("words")
    assert expand(str(tmp_path / "a[1].txt")) == [str(tmp_path / "a[1].txt")]


def test_refuses_a_missing_path(tmp_path: pathlib.Path) -> None:
    assert refusal(tmp_path / "absent.jsonl") == (
        "The input does not exist.\n"
        f"  where: {tmp_path}/absent.jsonl\n"
        "  to do: Check the path, or fetch a corpus first: python -m pipeline corpus sotu"
    )
    assert refusal(tmp_path / "*.txt").startswith("No file matches.\n")


def test_refuses_a_folder_without_supported_files(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.csv").write_text("words")
    assert refusal(tmp_path) == (
        "The input folder holds no file of a supported format.\n"
        f"  where: {tmp_path}\n"
        "  to do: Give it files that are .jsonl, .jsonl.gz, .txt (documents parted by blank lines)"
        " or .parquet."
    )
    assert refusal(tmp_path / "*").startswith(
        "None of the 1 matches is a file of a supported format.\n"
    )
    assert refusal(tmp_path / "a.csv").startswith("The input file's format is not supported.\n")


def test_refuses_empty_files_unless_others_hold_something(tmp_path: pathlib.Path) -> None:
    (tmp_path / "b.txt").touch()
    assert refusal(tmp_path / "b.txt") == (
        "The input file is empty.\n"
        f"  where: {tmp_path}/b.txt\n"
        "  to do: Fill it or remove it from the input."
    )
    (tmp_path / "c.parquet").touch()
    assert refusal(tmp_path).startswith("All the input files are empty.\n")
    (tmp_path / "a.txt").write_text("words")
    assert len(expand(str(tmp_path))) == 3


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


def test_refuses_what_is_not_its_format(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.jsonl.gz").write_text('{"text": "plain"}')
    (tmp_path / "b.parquet").write_bytes(b"PAR1 cut")
    assert refusal(tmp_path / "a.jsonl.gz").startswith(
        "The input file is named .gz but is not gzip.\n"
    )
    assert refusal(tmp_path / "b.parquet").startswith(
        "The input file is named .parquet but is not a whole Parquet file.\n"
    )


def test_refuses_a_span_left_in_the_pattern() -> None:
    assert refusal("news-{SPAN}.txt").startswith("The input's {SPAN} was not replaced by a span.\n")


def test_the_fingerprint_is_of_names_and_bytes(tmp_path: pathlib.Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.txt").write_text("words")
        (tmp_path / folder / "b.txt").write_text("more")
    first = input_fingerprint(files_below(tmp_path / "one"))
    assert len(first) == 64
    assert input_fingerprint(files_below(tmp_path / "two")) == first  # a corpus may move
    assert input_fingerprint(files_below(tmp_path / "two")[:1]) != first
    (tmp_path / "two" / "b.txt").write_text("More")
    assert input_fingerprint(files_below(tmp_path / "two")) != first
    (tmp_path / "one" / "b.txt").rename(tmp_path / "one" / "c.txt")
    assert input_fingerprint(files_below(tmp_path / "one")) != first


def test_files_that_are_given_are_looked_at_as_those_of_a_pattern(tmp_path: pathlib.Path) -> None:
    files = [str(tmp_path / name) for name in ("a.txt", "b.txt", "c.txt")]
    (tmp_path / "a.txt").write_text("words")
    (tmp_path / "b.txt").touch()
    check_files(files[:2])  # a part without a byte is a whole part
    with pytest.raises(DataRefused, match="is empty"):
        check_files(files[1:2])
    with pytest.raises(DataRefused, match="not a regular file"):
        input_fingerprint([files[0], files[2]])


def test_imports_neither_tensorflow_nor_beam() -> None:
    code = (
        "import sys, components.input_files;print({'tensorflow', 'apache_beam'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_the_fingerprint_of_several_patterns_is_of_their_bytes(tmp_path: pathlib.Path) -> None:
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
    assert source_of(f"corpus/{name}") == source
