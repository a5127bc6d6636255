"""From an input pattern to the files it means, and their fingerprint.

Imports neither TensorFlow nor Beam, so that the command line can check an input at once.
"""

from __future__ import annotations

import collections
import glob
import hashlib
import os
import pathlib
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, NoReturn

from components.storage.file_hashes import FileHashes
from models.errors import DataRefused

PLACEHOLDER = "{SPAN}"
"""Stands for a span's number or date in an input, see pipeline/spans.py."""
KINDS = ("jsonl", "ndjson", "txt", "csv", "tsv", "parquet")
"""Kinds of files that TextExampleGen reads: their suffixes without the dot."""
FORMATS = (
    ".jsonl, .txt (blank lines separate documents), .csv or .tsv, each alone or with .gz or .zst "
    "after it, or .parquet"
)
"""The same for people."""

_COMPRESSIONS: Mapping[str, tuple[str, tuple[bytes, ...]]] = {
    ".gz": ("gzip", (b"\x1f\x8b",)),
    ".zst": ("Zstandard", (b"\x28\xb5\x2f\xfd", *(bytes([n, 42, 77, 24]) for n in range(80, 96)))),
}
"""Name of each compression, and what its files can begin with; Zstandard's with a frame of
metadata."""
_NUMBERS = re.compile(r"(^|[-_.]+)\d+(?=[-_.]|$)|[-_.]*\d+$")
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")  # a workbook of a spreadsheet is one
_SHOWN = 5
_MOST_NAMES = 2_000  # characters


class Format(NamedTuple):
    """What a file's name says of its content: one of `KINDS`, and ".gz" or the like or ""."""

    kind: str
    compression: str


class Found(NamedTuple):
    """What a folder or a pattern has: files to read, sorted, and the others by what they are."""

    files: list[str]
    skipped: collections.Counter[str]

    def told(self) -> str:
        """How many files are skipped, in words; empty for none."""
        shown = [f"{count:,} {what}" for what, count in self.skipped.most_common(_SHOWN)]
        more = sum(self.skipped.values()) - sum(n for _, n in self.skipped.most_common(_SHOWN))
        return ", ".join(shown + ([f"{more:,} of other formats"] if more else []))


def format_of(path: str | os.PathLike[str]) -> Format | None:
    """Returns what a file's name says of its format, or None if that is not supported."""
    name = os.path.basename(os.fspath(path)).lower()
    compression = next((suffix for suffix in _COMPRESSIONS if name.endswith(suffix)), "")
    _, dot, kind = name.removesuffix(compression).rpartition(".")
    if not dot or kind not in KINDS or (kind == "parquet" and compression):
        return None
    return Format(kind, compression)


def printable(path: str) -> str:
    """A path as text: bytes that are not UTF-8 become escapes, as `caf\\xe9.txt`."""
    return os.fsencode(path).decode(errors="backslashreplace")


def source_of(path: str | os.PathLike[str]) -> str:
    """Returns the source of a file's documents that do not say theirs: its name, of words alone.

    The numbers of a date, a span or a part are left out, so that the next span has the same
    sources: "news-2020.jsonl" and "2021-05-01-news.jsonl" are both "news". Of a name of nothing but
    numbers nothing is left, and the source is "text".
    """
    name = printable(os.path.basename(path))
    if found := format_of(path):
        name = name[: len(name) - len(f".{found.kind}{found.compression}")]
    return _NUMBERS.sub("", name).strip("-_.") or "text"


def expand(pattern: str) -> Found:
    """Returns the files that a pattern means, each looked at so far as is cheap.

    Args:
        pattern: a file, a folder (searched in depth, hidden files left out), or a glob (`**` goes
            into depth); {SPAN} must be replaced already. Folders and globs give the supported files
            among what they hold.

    Raises:
        DataRefused: nothing there, nothing supported there, nothing but empty files, or a file or
            folder that cannot be read.
    """
    if PLACEHOLDER in pattern:
        raise DataRefused(
            "The input's {SPAN} was not replaced by a span.", where=pattern, remedy="Name a span."
        )
    path = pathlib.Path(pattern).expanduser()
    if path.is_dir():
        found = chosen(paths_below(path))
        if not found.files:
            raise DataRefused(
                "The input folder holds no file of a supported format." + _skipped(found),
                where=pattern,
                remedy=f"Give it files that are {FORMATS}.",
            )
    elif path.exists():
        if not format_of(path):
            raise DataRefused(
                "The input file's format is not supported.",
                where=pattern,
                remedy=f"Convert it to {FORMATS}.",
            )
        found = Found([str(path)], collections.Counter())
    else:
        matches = glob.glob(as_glob(str(path)), recursive=True)
        if not matches:
            raise DataRefused(
                "The input does not exist." if not glob.has_magic(pattern) else "No file matches.",
                where=printable(pattern),
                remedy="Check the path, or fetch a corpus first: python -m pipeline corpus sotu",
            )
        found = chosen(matches)
        if not found.files:
            raise DataRefused(
                f"None of the {len(matches)} matches is a file of a supported format."
                + _skipped(found),
                where=pattern,
                remedy=f"Match files that are {FORMATS}.",
            )
    check_files(found.files)
    return found


def as_glob(pattern: str) -> str:
    """A pattern in which folders that exist under a name such as `[2024]` mean just themselves."""
    known, parts = "", pattern.split("/")
    for number, part in enumerate(parts[:-1]):
        known += f"{part}/"
        if not os.path.isdir(known):
            break
        parts[number] = glob.escape(part)
    return "/".join(parts)


def chosen(paths: Iterable[str]) -> Found:
    """Sorts out which of some paths are read: files of supported formats, each under one name."""
    files, skipped, seen = [], collections.Counter[str](), set()
    for path in sorted(paths):
        if os.path.isdir(path):
            continue
        if not format_of(path):
            skipped[pathlib.PurePath(path).suffix.lower() or "without a suffix"] += 1
            continue
        try:
            status = os.stat(path)
        except OSError:  # a link to nothing: `check_files` refuses it
            files.append(path)
            continue
        if (status.st_dev, status.st_ino) in seen:
            skipped["second names of files"] += 1
        else:
            seen.add((status.st_dev, status.st_ino))
            files.append(path)
    return Found(files, skipped)


def paths_below(folder: str | os.PathLike[str]) -> list[str]:
    """Returns all files in a folder and in depth, none hidden. Links to folders are followed.

    Raises:
        DataRefused: a folder cannot be read.
    """
    paths: list[str] = []
    seen: set[str] = set()
    for where, folders, names in os.walk(folder, onerror=_refuse_folder, followlinks=True):
        real = os.path.realpath(where)
        if real in seen:  # a link leads back to it
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths += [os.path.join(where, name) for name in names if not name.startswith(".")]
    return paths


def check_files(files: Sequence[str]) -> None:
    """Looks at each file so far as is cheap.

    Raises:
        DataRefused: one is no file or cannot be read, or all are empty.
    """
    filled = [*map(_has_bytes, files)]  # each is looked at
    if not any(filled):
        several = len(files) > 1
        raise DataRefused(
            "All the input files are empty." if several else "The input file is empty.",
            where=printable(os.path.commonpath(files)),
            remedy="Fill them." if several else "Fill it or remove it from the input.",
        )


def check_formats(files: Sequence[str], allowed: Collection[str]) -> None:
    """Refuses at once what the reader would find to be unreadable.

    Args:
        files: paths.
        allowed: `ingestion.allow_unreadable`.

    Raises:
        DataRefused: files that are not allowed do not begin, or end, as their formats do.
    """
    wrong = []
    for file in files:
        if not is_allowed(printable(file), allowed) and (fault := wrong_format(file)):
            wrong.append((printable(file), fault))
    if not wrong:
        return
    shown = "".join(f"\n  {file}: {fault}" for file, fault in wrong[:_SHOWN])
    more = f"\n  and {len(wrong) - _SHOWN:,} more" if len(wrong) > _SHOWN else ""
    names = ",".join(os.path.basename(file) for file, _ in wrong)
    raise DataRefused(
        f"{len(wrong):,} input files are not what their names say.{shown}{more}",
        where=os.path.commonpath([os.path.dirname(file) for file, _ in wrong]),
        remedy="Write them again, or give them the right names. Or use what can be read of them:"
        f" --set ingestion.allow_unreadable={names[:_MOST_NAMES]}",
    )


def wrong_format(file: str) -> str:
    """What a file's first or last bytes say against its name; empty for nothing."""
    form = format_of(file)
    start, end = _ends(file)
    if form is None or not start:
        return ""
    if form.compression:
        name, magic = _COMPRESSIONS[form.compression]
        return "" if start.startswith(magic) else f"named {form.compression}, but is not {name}"
    if form.kind == "parquet":
        whole = start == end == b"PAR1"
        return "" if whole else "named .parquet, but its first or last bytes are not Parquet's"
    for name, magic in (*_COMPRESSIONS.values(), ("Parquet", (b"PAR1",)), ("a ZIP file", _ZIP)):
        if start.startswith(magic):
            return f"named .{form.kind}, but is {name}"
    return ""


def is_allowed(file: str, allowed: Collection[str]) -> bool:
    """Whether `ingestion.allow_unreadable` has a file, by its path or its name."""
    return file in allowed or os.path.basename(file) in allowed


def input_fingerprint(
    files: Sequence[str],
    hashes: FileHashes | None = None,
    told: Callable[[int], None] = lambda size: None,
) -> str:
    """Returns a SHA-256, in hexadecimal, over the names and the bytes of files.

    Names count from the files' common folder, so that a corpus may move. Files are streamed.

    Args:
        files: what `expand` gave, or a span's; at least one.
        hashes: what is known of the files.
        told: is called with the size in bytes of each file that is done.

    Raises:
        DataRefused: as `check_files`, or a file is gone meanwhile.
    """
    check_files(files)
    root = os.path.commonpath([os.path.dirname(file) or "." for file in files])
    total = hashlib.sha256()
    try:
        contents = (hashes or FileHashes()).of(files, told)
    except OSError as error:
        if error.filename in {os.path.abspath(file) for file in files}:
            _refuse_file(str(error.filename), error)
        raise
    for file, content in zip(files, contents, strict=True):
        total.update(os.path.relpath(file, root).encode("utf-8", "surrogateescape") + b"\0")
        total.update(bytes.fromhex(content))
    return total.hexdigest()


def patterns_fingerprint(patterns: Sequence[str], hashes: FileHashes | None = None) -> str:
    """Returns a SHA-256 over the files of several patterns, in their order; empty for none.

    Raises:
        DataRefused: as `expand`.
    """
    found = [input_fingerprint(expand(pattern).files, hashes) for pattern in patterns]
    return hashlib.sha256("\n".join(found).encode()).hexdigest() if found else ""


def _skipped(found: Found) -> str:
    return f" Skipped: {found.told()}." if found.skipped else ""


def _has_bytes(file: str) -> bool:
    """Whether a file holds any byte: writers in parallel leave many that hold none.

    Raises:
        DataRefused: it is no file, or cannot be read.
    """
    if not os.path.isfile(file):
        raise DataRefused(
            "The input is not a regular file.",
            where=printable(file),
            remedy="Remove it from the input, or repair the link.",
        )
    return bool(_ends(file)[0])


def _ends(file: str) -> tuple[bytes, bytes]:
    """A file's first and last four bytes."""
    try:
        with open(file, "rb") as stream:
            start = stream.read(4)
            stream.seek(0, os.SEEK_END)
            if stream.tell() >= 4:
                stream.seek(-4, os.SEEK_END)
            return start, stream.read(4)
    except OSError as error:
        _refuse_file(file, error)


def _refuse_file(file: str, error: OSError) -> NoReturn:
    raise DataRefused(
        f"The input file cannot be read: {error.strerror}.",
        where=printable(file),
        remedy="Check its permissions and the disk it is on.",
    ) from error


def _refuse_folder(error: OSError) -> NoReturn:
    raise DataRefused(
        f"An input folder cannot be read: {error.strerror}.",
        where=printable(str(error.filename)),
        remedy="Check its permissions, or link only what is to be read into another folder.",
    ) from error
