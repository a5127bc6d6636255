"""Where a model comes from, down to the bytes of the text and of the code."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Mapping, Sequence

from models import errors

_MADE_BY = ("TextExampleGen", "TextCleaner", "VocabularyTrainer", "ExampleBuilder", "Trainer")
"""The steps whose code the weights depend on."""


@dataclasses.dataclass(frozen=True)
class Provenance:
    """What went into a run. It holds no time and no place of the run: a rerun has the same.

    Attributes:
        name: name of the pipeline.
        recipe: the recipe that the configuration started from.
        span: number of the span.
        label: the number or the date that its files' names bear.
        pattern: where its text lay, with {SPAN} where the label stands.
        corpus: fingerprint of its text, see components/readers/files.py.
        config: fingerprint of the configuration.
        evaluation: fingerprint of the texts that are not to be trained on, empty for none.
        vocabulary: SHA-256 of a given vocabulary's files, empty where one is learned.
        code: version of the code that the weights depend on, see `code_of_weights`.
        start: what training was to start from, see `TrainingConfig.start`.
        window: spans whose text it was to learn from, see `TrainingConfig.window`.
        commit: the commit that the code is of, for people.
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
    start: str
    window: int
    commit: str

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all that the weights depend on, but the model that training started from."""
        parts = [self.config, self.corpus, self.evaluation, self.vocabulary]
        parts += [str(self.span), self.code, self.start, str(self.window)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def to_json(self) -> str:
        """All fields and the fingerprint."""
        fields = dataclasses.asdict(self) | {"fingerprint": self.fingerprint}
        return json.dumps(fields, sort_keys=True, ensure_ascii=False)


def code_of_weights(versions: Mapping[str, str]) -> str:
    """A SHA-256, in hexadecimal, over the versions of the steps that the weights come from.

    Args:
        versions: by step, see pipeline/code_versions.py.
    """
    return hashlib.sha256("\n".join(versions[step] for step in _MADE_BY).encode()).hexdigest()


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
