"""From an input pattern to the files it means, and their fingerprint.

Imports neither TensorFlow nor Beam, so that the command line can check an input at once.
"""

from __future__ import annotations

import glob
import hashlib
import os
import pathlib
import re
from collections.abc import Sequence

from models.errors import DataRefused

PLACEHOLDER = "{SPAN}"
"""Stands for a span's number or date in an input, see pipeline/spans.py."""

SUFFIXES = (".jsonl", ".jsonl.gz", ".txt", ".parquet")
"""What TextExampleGen reads."""

_FORMATS = ".jsonl, .jsonl.gz, .txt (documents parted by blank lines) or .parquet"
_NUMBERS = re.compile(r"(^|[-_.]+)\d+(?=[-_.]|$)|[-_.]*\d+$")
_CHUNK = 1 << 20


def suffix_of(path: str | os.PathLike[str]) -> str | None:
    """Returns which of `SUFFIXES` a file's name ends with, or None."""
    name = os.fspath(path).lower()
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), None)


def source_of(path: str | os.PathLike[str]) -> str:
    """Returns the source of a file's documents that do not say theirs: its name, of words alone.

    The numbers of a date, a span or a part are left out, so that the next span has the same
    sources: "news-2020.jsonl" and "2021-05-01-news.jsonl" are both "news". Of a name of nothing but
    numbers nothing is left, and the source is "text".
    """
    name = os.fsencode(os.path.basename(path)).decode(errors="replace")
    name = name[: len(name) - len(suffix_of(path) or "")]
    return _NUMBERS.sub("", name).strip("-_.") or "text"


def expand(pattern: str) -> list[str]:
    """Returns the files that a pattern means, sorted, each looked at so far as is cheap.

    Args:
        pattern: a file, a folder (searched in depth, hidden files left out), or a glob (`**` goes
            into depth); {SPAN} must be replaced already. Folders and globs give the supported files
            among what they hold.

    Raises:
        DataRefused: nothing there, nothing supported there, nothing but empty files, a file that
            cannot be read, or one whose first bytes are not its format's.
    """
    if PLACEHOLDER in pattern:
        raise DataRefused(
            "The input's {SPAN} was not replaced by a span.", where=pattern, remedy="Name a span."
        )
    path = pathlib.Path(pattern).expanduser()
    if path.is_dir():
        files = files_below(path)
        if not files:
            raise DataRefused(
                "The input folder holds no file of a supported format.",
                where=pattern,
                remedy=f"Give it files that are {_FORMATS}.",
            )
    elif path.exists():
        if not suffix_of(path):
            raise DataRefused(
                "The input file's format is not supported.",
                where=pattern,
                remedy=f"Convert it to {_FORMATS}.",
            )
        files = [str(path)]
    else:
        matches = glob.glob(str(path), recursive=True)
        if not matches:
            raise DataRefused(
                "The input does not exist." if not glob.has_magic(pattern) else "No file matches.",
                where=pattern,
                remedy="Check the path, or fetch a corpus first: python -m pipeline corpus sotu",
            )
        files = sorted(item for item in matches if suffix_of(item) and os.path.isfile(item))
        if not files:
            raise DataRefused(
                f"None of the {len(matches)} matches is a file of a supported format.",
                where=pattern,
                remedy=f"Match files that are {_FORMATS}.",
            )
    check_files(files)
    return files


def files_below(folder: str | os.PathLike[str]) -> list[str]:
    """Returns the files of supported formats in a folder and in depth, sorted; none hidden."""
    path = pathlib.Path(folder)
    found = (
        item
        for item in path.rglob("*")
        if not any(part.startswith(".") for part in item.relative_to(path).parts)
    )
    return sorted(str(item) for item in found if suffix_of(item) and not item.is_dir())


def check_files(files: Sequence[str]) -> None:
    """Looks at each file so far as is cheap.

    Raises:
        DataRefused: one cannot be read or does not begin as its format does, or all are empty.
    """
    if not sum(map(_check, files)):
        several = len(files) > 1
        raise DataRefused(
            "All the input files are empty." if several else "The input file is empty.",
            where=os.path.commonpath(files),
            remedy="Fill them." if several else "Fill it or remove it from the input.",
        )


def input_fingerprint(files: Sequence[str]) -> str:
    """Returns a SHA-256, in hexadecimal, over the names and the bytes of files.

    Names count from the files' common folder, so that a corpus may move. Files are streamed.

    Args:
        files: what `expand` gave, or a span's; at least one.

    Raises:
        DataRefused: as `check_files`.
    """
    check_files(files)
    root = os.path.commonpath([os.path.dirname(file) or "." for file in files])
    total = hashlib.sha256()
    for file in files:
        content = hashlib.sha256()
        with open(file, "rb") as stream:
            while chunk := stream.read(_CHUNK):
                content.update(chunk)
        total.update(os.path.relpath(file, root).encode("utf-8", "surrogateescape") + b"\0")
        total.update(content.digest())
    return total.hexdigest()


def patterns_fingerprint(patterns: Sequence[str]) -> str:
    """Returns a SHA-256 over the files of several patterns, in their order; empty for none.

    Raises:
        DataRefused: as `expand`.
    """
    found = [input_fingerprint(expand(pattern)) for pattern in patterns]
    return hashlib.sha256("\n".join(found).encode()).hexdigest() if found else ""


def _check(file: str) -> bool:
    """Refuses a file that cannot be opened, or does not begin as its format does.

    Returns:
        Whether it holds any byte. A part without one is a whole part, of which writers in parallel
        leave many.
    """
    if not os.path.isfile(file):
        raise DataRefused(
            "The input is not a regular file.",
            where=file,
            remedy="Remove it from the input, or repair the link.",
        )
    try:
        with open(file, "rb") as stream:
            start = stream.read(4)
            stream.seek(0, os.SEEK_END)
            if stream.tell() >= 4:
                stream.seek(-4, os.SEEK_END)
            end = stream.read(4)
    except OSError as error:
        raise DataRefused(
            f"The input file cannot be read: {error.strerror}.",
            where=file,
            remedy="Check its permissions and the disk it is on.",
        ) from error
    if not start:
        return False
    suffix = suffix_of(file)
    if suffix == ".jsonl.gz" and not start.startswith(b"\x1f\x8b"):
        raise DataRefused(
            "The input file is named .gz but is not gzip.",
            where=file,
            remedy="Compress it with gzip, or name it .jsonl if it is plain text.",
        )
    if suffix == ".parquet" and (start != b"PAR1" or end != b"PAR1"):
        raise DataRefused(
            "The input file is named .parquet but is not a whole Parquet file.",
            where=file,
            remedy="Write it again: its first or last bytes are missing.",
        )
    return True
