"""Where a model comes from, down to the bytes of the text and of the code."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import pathlib
import subprocess
from collections.abc import Sequence

from models import errors

_ROOT = pathlib.Path(__file__).parent.parent
_FLOORS = ("models", "components")  # what is computed; `pipeline` only arranges it
_LIBRARIES = ("tensorflow", "keras", "keras-hub", "tensorflow-text")


@dataclasses.dataclass(frozen=True)
class Provenance:
    """What went into a run. It holds no time and no place of the run: a rerun has the same.

    Attributes:
        name: name of the pipeline.
        recipe: the recipe that the configuration started from.
        span: number of the span.
        label: the number or the date that its files' names bear.
        pattern: where its text lay, with {SPAN} where the label stands.
        corpus: fingerprint of its text, see components/input_files.py.
        config: fingerprint of the configuration.
        evaluation: fingerprint of the texts that are not to be trained on, empty for none.
        vocabulary: SHA-256 of a given vocabulary's files, empty where one is learned.
        code: version of the code and of what it computes with, see `code_version`.
    """

    name: str
    recipe: str
    span: int
    label: str
    pattern: str
    corpus: str
    config: str
    evaluation: str
    vocabulary: str
    code: str

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all that the weights depend on, but the model that training started from."""
        parts = [self.config, self.corpus, self.evaluation, self.vocabulary]
        parts += [str(self.span), self.code]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def to_json(self) -> str:
        """All fields and the fingerprint."""
        fields = dataclasses.asdict(self) | {"fingerprint": self.fingerprint}
        return json.dumps(fields, sort_keys=True, ensure_ascii=False)


def code_version(root: pathlib.Path = _ROOT) -> str:
    """Version of what computes: `git <commit>`, or `source <sha256>`, and the libraries'.

    Other versions of them round, draw and cut otherwise, so that what one has made is not gone on
    with by another. The commit is the last one that touched `models` or `components`, so that a new
    page of documentation doesn't make every model stale. Where they differ from it, or without git,
    it is the hash of the source files.
    """
    libraries = "".join(f", {name} {importlib.metadata.version(name)}" for name in _LIBRARIES)
    commit = _git(root, "log", "-1", "--format=%H", "--", *_FLOORS)
    if commit and _git(root, "status", "--porcelain", "--", *_FLOORS) == "":
        return f"git {commit}{libraries}"
    total = hashlib.sha256()
    for file in sorted(path for floor in _FLOORS for path in (root / floor).rglob("*.py")):
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        total.update(f"{file.relative_to(root)} {content}\n".encode())
    return f"source {total.hexdigest()}{libraries}"


def files_fingerprint(paths: Sequence[pathlib.Path]) -> str:
    """SHA-256 of a given vocabulary's file, or of several ones' digests; empty for none.

    Raises:
        ConfigError: a file cannot be read.
    """
    digests = []
    for path in paths:
        try:
            digests.append(hashlib.sha256(path.read_bytes()))
        except OSError as error:
            raise errors.ConfigError(
                f"the vocabulary file cannot be read: {error.strerror}",
                where=str(path),
                remedy="give an existing file, or --set vocabulary.file=None to learn one",
            ) from error
    if len(digests) < 2:
        return "".join(digest.hexdigest() for digest in digests)
    return hashlib.sha256(b"".join(digest.digest() for digest in digests)).hexdigest()


def _git(root: pathlib.Path, *arguments: str) -> str | None:
    """What git says, None if there is no git or no repository."""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
