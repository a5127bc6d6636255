"""Reads and writes vocabularies of byte-level BPE in GPT-2's two published files.

A byte is written as a printable character: its own in ISO-8859-1 if that is printable, else the
next unused character from U+0100 on. `encoder.json` maps entries to ids. `vocab.bpe` has a line
with its version and then one merge per line, best first: the pair of entries to merge.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import pathlib
from collections.abc import Mapping, Sequence

from models.errors import ConfigError

END_OF_TEXT = "<|endoftext|>"
ENTRIES_FILE, MERGES_FILE = "encoder.json", "vocab.bpe"

_NAMES = {ENTRIES_FILE: MERGES_FILE, "vocab.json": "merges.txt"}
"""Names of the two files: OpenAI's and Hugging Face's. Both names may have the same prefix."""
_VERSION = "#version: 0.2"


def _byte_letters() -> list[str]:
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


BYTE_LETTERS: Sequence[str] = _byte_letters()
"""The printable character of each byte. GPT-2 orders the bytes by these code points."""

_LETTERS = frozenset(BYTE_LETTERS)
_TO_LETTERS = {byte: ord(letter) for byte, letter in enumerate(BYTE_LETTERS)}
_TO_BYTES = {ord(letter): byte for byte, letter in enumerate(BYTE_LETTERS)}


def to_letters(text: str) -> str:
    """The UTF-8 bytes of a text as printable characters."""
    return text.encode().decode("latin-1").translate(_TO_LETTERS)


@dataclasses.dataclass(frozen=True)
class BytePairs:
    """A vocabulary of byte-level BPE.

    Attributes:
        entries: distinct, in the order of their ids: the 256 bytes, the results of merges,
            end-of-text, and perhaps entries that occur in no text.
        merges: pairs of entries, best first. It does not matter which pair makes an entry.
    """

    entries: tuple[str, ...]
    merges: tuple[tuple[str, str], ...]

    @functools.cached_property
    def ranks(self) -> Mapping[str, int]:
        """The results of merges → the index of the first merge that makes each."""
        ranks: dict[str, int] = {}
        for rank, (a, b) in enumerate(self.merges):
            ranks.setdefault(a + b, rank)
        return ranks

    @functools.cached_property
    def unreachable(self) -> Sequence[str]:
        """Entries that are neither bytes nor results of merges nor end-of-text."""
        reachable = {*_LETTERS, *self.ranks, END_OF_TEXT}
        return [entry for entry in self.entries if entry not in reachable]

    def token_bytes(self) -> list[bytes]:
        """The bytes of each entry; empty for end-of-text and for entries that occur in no text."""
        without_bytes = {*self.unreachable, END_OF_TEXT}
        return [
            b"" if entry in without_bytes else entry.translate(_TO_BYTES).encode("latin-1")
            for entry in self.entries
        ]

    def write(self, folder: pathlib.Path) -> None:
        """Writes `encoder.json` and `vocab.bpe`."""
        ids = json.dumps({entry: number for number, entry in enumerate(self.entries)})
        (folder / ENTRIES_FILE).write_text(ids, encoding="utf-8")
        lines = [_VERSION, *(f"{a} {b}" for a, b in self.merges)]
        (folder / MERGES_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_byte_pairs(path: pathlib.Path) -> BytePairs:
    """Reads a vocabulary from its two files.

    Args:
        path: their folder, or the path of the entries (OpenAI's `encoder.json` or Hugging Face's
            `vocab.json`, perhaps with a prefix). The merges (`vocab.bpe` or `merges.txt`) are in
            the same folder.

    Raises:
        ConfigError: a file is missing or cannot be used; names the file and the line.
    """
    entries_path, merges_path = locate(pathlib.Path(path))
    entries = _read_entries(entries_path)
    merges = _read_merges(merges_path, frozenset(entries))
    return BytePairs(tuple(entries), tuple(merges))


def locate(path: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """The paths of the entries and of the merges; see `read_byte_pairs`.

    Raises:
        ConfigError: the name of the file is not one of the published names.
    """
    if path.is_dir():
        present = [path / name for name in _NAMES if (path / name).is_file()]
        path = present[0] if present else path / ENTRIES_FILE
    for entries, merges in _NAMES.items():
        if path.name.endswith(entries):
            return path, path.with_name(path.name.removesuffix(entries) + merges)
    raise ConfigError(
        "the name of the vocabulary file is not one of the published names",
        where=str(path),
        remedy=f"give a folder with {ENTRIES_FILE} and {MERGES_FILE}, or the path of the first",
    )


def _read(path: pathlib.Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(
            f"the vocabulary cannot be read: {error.strerror}",
            where=str(path),
            remedy=f"put {ENTRIES_FILE} and {MERGES_FILE} into one folder",
        ) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"the vocabulary is not UTF-8: byte 0x{error.object[error.start]:02x}",
            where=f"{path}:{line}",
            remedy="use the file as it was published",
        ) from error


def _read_entries(path: pathlib.Path) -> list[str]:
    """The entries in the order of their ids."""
    pairs = _read_pairs(path)

    def refused(what: str, remedy: str) -> ConfigError:
        return ConfigError(what, where=str(path), remedy=remedy)

    ids: dict[str, int] = {}
    entries: dict[int, str] = {}
    for entry, number in pairs:
        if entry in ids:
            raise refused(f"the entry {entry!r} is repeated", "keep one of the two")
        if number in entries:
            raise refused(
                f"the entries {entries[number]!r} and {entry!r} have the same id, {number}",
                "give every entry its own id",
            )
        ids[entry] = number
        entries[number] = entry
    absent = [number for number in range(len(entries)) if number not in entries]
    if absent:
        raise refused(
            f"none of the {len(entries)} entries has the id {absent[0]}",
            "number the entries from 0 without gaps",
        )
    missing = [letter for letter in BYTE_LETTERS if letter not in ids]
    if missing:
        raise refused(
            f"the vocabulary lacks {len(missing)} of the 256 bytes, first "
            f"0x{_TO_BYTES[ord(missing[0])]:02x}, written {missing[0]!r}",
            "use a byte-level vocabulary, which has all bytes",
        )
    if END_OF_TEXT not in ids:
        raise refused(f"the vocabulary lacks {END_OF_TEXT}", "add it with the next free id")
    return [entries[number] for number in range(len(entries))]


def _read_pairs(path: pathlib.Path) -> list[tuple[str, int]]:
    """The pairs of entry and id in `encoder.json`, repeated ones included."""
    try:
        pairs = json.loads(_read(path), object_pairs_hook=list)  # a dict would hide repetitions
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"the vocabulary is not JSON: {error.msg}",
            where=f"{path}:{error.lineno}",
            remedy="use the file as it was published",
        ) from error
    if not isinstance(pairs, list) or not all(
        isinstance(pair, tuple) and type(pair[1]) is int for pair in pairs
    ):
        raise ConfigError(
            "the vocabulary is not a JSON object of ids",
            where=str(path),
            remedy='write {"entry": id, …}',
        )
    return pairs


def _read_merges(path: pathlib.Path, entries: frozenset[str]) -> list[tuple[str, str]]:
    """The merges: pairs of entries whose concatenation is an entry."""
    merges = []
    for number, line in enumerate(_read(path).removesuffix("\n").split("\n"), 1):
        if number == 1 and (line.startswith("#version:") or not line):
            continue
        parts = line.removesuffix("\r").split(" ")
        if len(parts) != 2:
            raise ConfigError(
                f"{line!r:.80} is not a merge",
                where=f"{path}:{number}",
                remedy="write two entries with one space between them",
            )
        wrong = [
            part
            for part in (*parts, "".join(parts))
            if part not in entries or not _LETTERS.issuperset(part)
        ]
        if wrong:
            raise ConfigError(
                f"{wrong[0]!r} in the merge {line!r:.80} is not an entry made of bytes",
                where=f"{path}:{number}",
                remedy="use both files of the same vocabulary",
            )
        merges.append((parts[0], parts[1]))
    return merges
