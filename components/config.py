"""Configuration of the components, free of TFX and TensorFlow."""

from __future__ import annotations

import dataclasses
import json
from typing import Literal

from models.errors import ConfigError

Value = bool | int | float | str
"""What a hyperparameter may be."""


@dataclasses.dataclass(frozen=True)
class IngestionConfig:
    """What TextExampleGen reads; see components/text_example_gen.py."""

    input: str = ""
    """File, folder or pattern: .jsonl, .jsonl.gz, .txt or .parquet, with or without {SPAN}."""
    lang: str = "en"
    """Language of documents that do not say theirs."""
    eval_share: float = 0.1
    """Share of documents, by a hash of the id, that are held out for evaluation."""
    max_quarantine_share: float = 0.01
    """The component fails if more than this share of the records is malformed."""
    max_record_bytes: int = 16_000_000
    """A longer record is quarantined."""
    shards: int | None = None
    """Groups of the training documents by a hash of their id. A group is a file of documents, then
    one of examples, and what a worker holds; None makes them of 8 to 16 MB, 2 groups at least."""
    eval_shards: int | None = None
    """Likewise of the held-out documents; None is `eval_share` of `shards`, 1 at least."""

    def __post_init__(self) -> None:
        for name in ("shards", "eval_shards"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(
                    f"documents cannot be parted into {value} groups",
                    where=f"ingestion.{name}",
                    remedy="give 1 or more, or None to have it follow the size of the text",
                )


@dataclasses.dataclass(frozen=True)
class ValidationConfig:
    """Bounds of the curated schema; see components/data_validation.py."""

    min_documents: int = 2
    min_characters: int = 1
    """Shortest document, in characters."""
    max_non_letter_share: float = 0.6
    """Highest share of characters of one document that are neither letters nor white space."""
    max_replacement_share: float = 0.01
    """Highest share of U+FFFD in one document."""
    languages: tuple[str, ...] = ("en", "zh", "zh-Hans", "zh-Hant")
    """Codes that a document's `lang` may have, as they are written there."""
    max_duplicate_share: float = 0.05
    """Highest share of documents that repeat another one's text."""
    max_language_drift: float = 0.5
    """Largest L-infinity distance of the language distribution from the last approved span's."""
    max_source_drift: float = 1.0
    """Likewise of the sources; 1 allows any, as sources come and go."""
    max_length_drift: float = 0.9
    """Largest Jensen-Shannon divergence, 0 to 1, of the documents' lengths, likewise."""


@dataclasses.dataclass(frozen=True)
class CleaningConfig:
    """Which documents TextCleaner drops; see components/text_cleaner.py."""

    duplicates: bool = True
    """Drop all but one of the documents that have the same text."""
    near_duplicate_similarity: float | None = None
    """Drop all but one of the documents that share about this much, 0 to 1, of their runs of five
    words; None looks for none. At 0.75, as in FineWeb, 98 % of the pairs are found that share 0.85,
    67 % at 0.75, 25 % at 0.65."""
    evaluation_texts: tuple[str, ...] = ()
    """Files, folders or patterns of texts that are not to be trained on, in `ingestion.input`'s
    formats: documents that share runs of words with them are dropped."""
    evaluation_words: int = 13
    """Words of such a run; GPT-3 takes 13. Shorter texts are counted, and not looked for."""
    max_evaluation_share: float = 0.0
    """Highest share of a document's runs that evaluation texts have as well."""
    language_confidence: float | None = None
    """Drop documents whose language is, with at least this probability, another than their `lang`;
    None does not look."""
    quality: bool = False
    """Drop documents outside the bounds below, which are Gopher's."""
    min_words: int = 50
    max_words: int = 100_000
    min_mean_word_length: float = 3.0
    """In characters; not asked of Chinese and Japanese."""
    max_mean_word_length: float = 10.0
    max_symbol_ratio: float = 0.1
    """Most `#` and ellipses for each word."""
    max_bullet_lines: float = 0.9
    """Highest share of the lines that begin with a bullet."""
    max_ellipsis_lines: float = 0.3
    """Highest share of the lines that end with an ellipsis."""
    min_alphabetic_words: float = 0.8
    """Lowest share of the words that have a letter."""
    min_stop_words: int = 2
    """Fewest occurrences of the, be, to, of, and, that, have, with; asked of English alone."""
    max_repeated_lines: float = 0.3
    """Highest share of the lines that stand in the document before."""
    max_repeated_words: float = 0.2
    """Highest share of the words that the most frequent pair of words makes up; 0.9 and 0.8 of it
    for runs of three and of four words."""
    max_dropped_share: float = 0.5
    """The component fails if more than this share of a span's documents is dropped."""

    def __post_init__(self) -> None:
        similarity = self.near_duplicate_similarity
        if similarity is not None and not 0 < similarity < 1:
            raise ConfigError(
                f"{similarity} is no share of common words between 0 and 1",
                where="cleaning.near_duplicate_similarity",
                remedy="give 0.75, say, or None; equal texts are cleaning.duplicates",
            )
        if self.evaluation_words < 1:
            raise ConfigError(
                f"a run of {self.evaluation_words} words is none",
                where="cleaning.evaluation_words",
                remedy="give 13, say",
            )


@dataclasses.dataclass(frozen=True)
class VocabularyConfig:
    """Where the vocabulary comes from; see components/vocabulary_trainer.py."""

    file: str | None = None
    """A given vocabulary; None learns one."""
    min_count: int = 2
    """Words seen less often are not learned from."""
    max_words: int = 1_000_000
    """Most frequent words that are learned from."""


@dataclasses.dataclass(frozen=True)
class ExamplesConfig:
    """How examples are made; see components/example_generation.py."""

    seed: int = 0

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ConfigError(
                f"{self.seed} is no seed", where="examples.seed", remedy="give 0 or more"
            )


@dataclasses.dataclass(frozen=True)
class Hyperparameter:
    """A field that the Tuner varies, and what it tries there: `values`, or a range."""

    field: str
    """The configuration's, `training.optimizer.learning_rate` say; components/search_space.py has
    those that can be tuned."""
    values: tuple[Value, ...] = ()
    low: float | None = None
    high: float | None = None
    """Both ends belong to the range."""
    log: bool = False
    """Draw the logarithm evenly, not the number: for what counts by factors."""

    def __post_init__(self) -> None:
        where = f"tuning.space, {self.field}"
        if bool(self.values) == (self.low is not None or self.high is not None):
            raise ConfigError(
                "a hyperparameter has either values or a range",
                where=where,
                remedy=f"write {self.field}:8/16/32 or {self.field}:8..32, say",
            )
        if self.values:
            if len(set(self.values)) < len(self.values):
                raise ConfigError(f"{self.values} has a value twice", where=where)
            return
        if self.low is None or self.high is None or not self.low < self.high:
            raise ConfigError(
                f"from {self.low} to {self.high} is no range",
                where=where,
                remedy="give the lower end, then a higher one",
            )
        if self.log and self.low <= 0:
            raise ConfigError(
                f"{self.low} has no logarithm", where=where, remedy="begin above 0, or without log"
            )

    @classmethod
    def parse(cls, text: str) -> Hyperparameter:
        """The hyperparameter that a command line means, `training.batch_size:8/16/32` say.

        Args:
            text: `field:value/value/…`, `field:low..high` or `field:low..high:log`.

        Raises:
            ConfigError: the text is none of them.
        """
        field, _, rest = text.strip().partition(":")
        span, colon, scale = rest.partition(":")
        low, dots, high = span.partition("..")
        try:
            if not field or not span or scale not in ("log", "") or bool(scale) != bool(colon):
                raise ValueError(text)
            if dots:
                return cls(field, low=float(low), high=float(high), log=bool(scale))
            if scale:
                raise ValueError(text)
        except ValueError:
            raise ConfigError(
                f"{text.strip()!r} is no hyperparameter",
                where="tuning.space",
                remedy="write FIELD:VALUE/VALUE/…, FIELD:LOW..HIGH or FIELD:LOW..HIGH:log",
            ) from None
        return cls(field, tuple(map(_literal, span.split("/"))))


def _literal(text: str) -> Value:
    """A value as a command line has it: a number, True or False, else a text."""
    try:
        value: Value = json.loads({"True": "true", "False": "false"}.get(text, text))
    except ValueError:
        return text
    return value if isinstance(value, Value) else text


@dataclasses.dataclass(frozen=True)
class TuningConfig:
    """How hyperparameters are searched before the training; see components/tuner.py."""

    trials: int = 0
    """Candidates that are tried; 0 trains with the configuration as it is."""
    steps: int | None = None
    """Optimizer steps of a trial; warmup shrinks with them. None: a tenth of `training.steps`, but
    20 of them at least if there are so many."""
    algorithm: Literal["random", "bayesian", "grid"] = "random"
    """KerasTuner's. "bayesian" draws three trials for each hyperparameter, then follows a Gaussian
    process; "grid" takes the product of all values."""
    seed: int = 0
    """Of what is drawn; the trials themselves have `training.seed`, each the same."""
    space: tuple[Hyperparameter, ...] = ()
    """What is varied. Empty: the learning rate, from a fifth of the configured one to five times
    it, and the warmup, from nothing to a fifth of the steps."""

    def __post_init__(self) -> None:
        for name, value, least in (
            ("trials", self.trials, 0),
            ("steps", self.steps, 1),
            ("seed", self.seed, 0),
        ):
            if value is not None and value < least:
                raise ConfigError(
                    f"{value} is too few" if name != "seed" else f"{value} is no seed",
                    where=f"tuning.{name}",
                    remedy=f"give {least} or more",
                )
        fields = [hyperparameter.field for hyperparameter in self.space]
        for field in fields:
            if fields.count(field) > 1:
                raise ConfigError(f"{field} stands there twice", where="tuning.space")
        if self.algorithm == "grid" and not all(each.values for each in self.space):
            raise ConfigError(
                "a grid has points, and a range has none",
                where="tuning.space",
                remedy="give values, as in training.batch_size:8/16/32",
            )


@dataclasses.dataclass(frozen=True)
class BeamConfig:
    """The runner of every Beam step."""

    runner: str = "DirectRunner"
    workers: int = 1
    """Worker processes of the DirectRunner; 1 stays inside the process."""
    args: tuple[str, ...] = ()
    """More Beam flags, as they are."""
