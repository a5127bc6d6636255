"""The provenance of a model: fingerprints of its text, configuration, vocabulary and code."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Mapping, Sequence

from models import errors

_MADE_BY = ("TextExampleGen", "TextCleaner", "VocabularyTrainer", "ExampleBuilder", "Trainer")
"""The steps whose code determines the weights."""


@dataclasses.dataclass(frozen=True)
class Provenance:
    """What determines the model of a run.

    It contains neither a time nor a folder of the run, so another run on the same inputs has the
    same provenance.

    Attributes:
        name: name of the pipeline.
        recipe: the recipe that the configuration started from.
        span: number of the span.
        label: label of the span, a number or a date.
        pattern: the input, with {SPAN} in the place of the label.
        corpus: fingerprint of the text, see components/readers/files.py.
        config: fingerprint of the configuration.
        evaluation: fingerprint of the texts that must not be trained on, empty without such texts.
        vocabulary: SHA-256 of the files of a given vocabulary, empty if one is learned.
        code: version of the code that determines the weights, see `code_of_weights`.
        start: what training was to start from, see `TrainingConfig.start`.
        window: number of spans whose text to train on, see `TrainingConfig.window`.
        commit: the commit of the code, for people.
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
        """SHA-256 of what determines the weights, except the model that training starts from."""
        parts = [self.config, self.corpus, self.evaluation, self.vocabulary]
        parts += [str(self.span), self.code, self.start, str(self.window)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def to_json(self) -> str:
        """All fields and the fingerprint, as JSON."""
        fields = dataclasses.asdict(self) | {"fingerprint": self.fingerprint}
        return json.dumps(fields, sort_keys=True, ensure_ascii=False)


def code_of_weights(versions: Mapping[str, str]) -> str:
    """SHA-256, in hexadecimal, of the versions of the code that determines the weights.

    Args:
        versions: step → version, see pipeline/code_versions.py.
    """
    return hashlib.sha256("\n".join(versions[step] for step in _MADE_BY).encode()).hexdigest()


def files_fingerprint(paths: Sequence[pathlib.Path]) -> str:
    """SHA-256 of a file, or of the digests of several files; empty for no file.

    Args:
        paths: the files of a given vocabulary.

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
