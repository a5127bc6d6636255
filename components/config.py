"""Configuration of the components, free of TFX and TensorFlow."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated, ClassVar, Literal

import pydantic
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from models.errors import ConfigError
from models.settings import Affects, Settings, Share

Value = bool | int | float | str
"""What a hyperparameter may be."""


@dataclasses.dataclass(frozen=True)
class IngestionConfig(Settings, place="ingestion", affects=Affects.EXAMPLES):
    """What TextExampleGen reads; see components/text_example_gen.py."""

    input: Annotated[str, Affects.NOTHING] = ""
    """File, folder or pattern: .jsonl, .jsonl.gz, .txt or .parquet, with or without {SPAN}."""
    lang: str = "en"
    """Language of documents that do not say theirs."""
    eval_share: Annotated[float, pydantic.Field(gt=0, lt=1)] = 0.1
    """Share of documents, by a hash of the id, that are held out for evaluation."""
    max_quarantine_share: Annotated[Share, Affects.JUDGEMENT] = 0.01
    """DataGate refuses the span if more than this share of its records is malformed."""
    max_record_bytes: PositiveInt = 16_000_000
    """A longer record is quarantined."""
    shards: PositiveInt | None = None
    """Groups of the training documents by a hash of their id. A group is a file of documents, then
    one of examples, and what a worker holds; None makes them of 8 to 16 MB, 2 groups at least."""
    eval_shards: PositiveInt | None = None
    """Likewise of the held-out documents; None is `eval_share` of `shards`, 1 at least."""


@dataclasses.dataclass(frozen=True)
class ValidationConfig(Settings, place="validation", affects=Affects.JUDGEMENT):
    """What the text must be like; see docs/decisions/0031-what-the-data-gate-judges.md.

    TextCleaner quarantines single documents by the fields that affect examples. By the others
    DataGate judges a span's documents, and ExampleGate what the tokenizer makes of them. Drift is
    measured from the last earlier span that was approved.
    """

    min_documents: NonNegativeInt = 2
    """Fewest documents to train on, after cleaning."""
    min_characters: Annotated[NonNegativeInt, Affects.EXAMPLES] = 1
    """Shortest document, in characters."""
    max_non_letter_share: Annotated[Share, Affects.EXAMPLES] = 0.6
    """Highest share of characters of one document that are neither letters nor white space."""
    max_replacement_share: Annotated[Share, Affects.EXAMPLES] = 0.01
    """Highest share of U+FFFD in one document."""
    languages: Annotated[tuple[str, ...], Affects.EXAMPLES] = ("en", "zh", "zh-Hans", "zh-Hant")
    """Codes that a document's `lang` may have, as they are written there."""
    max_quarantine_share: Share = 0.05
    """Highest share of a span's documents that are quarantined, outside of the bounds above."""
    max_duplicate_share: Share = 0.05
    """Highest share of documents that repeat another one's text."""
    max_language_drift: Share = 0.1
    """Largest change of a language's share of the documents, beyond what chance explains; 1 allows
    any."""
    max_source_drift: Share = 0.6
    """Largest change of a source's share of the documents, beyond what chance explains. A span in
    which every document is from a new source has 1."""
    max_length_drift: Share = 0.4
    """Largest Kolmogorov-Smirnov distance of the documents' lengths, 0 to 1, beyond what chance
    explains."""
    max_unknown_share: Share = 0.1
    """Highest share of the text, in bytes, that the tokenizer gives unknown tokens for."""
    max_unknown_target_share: Share = 0.6
    """Highest share of the words that the model reads but cannot predict: ELMo's, which reads
    characters."""
    max_unknown_drift: Share = 0.1
    """Largest rise of either share; compared under the same tokenizer only."""
    max_tokens_per_byte: PositiveFloat = 0.65
    """Most tokens for a byte of text: a vocabulary that does not fit the text spells it in letters
    or bytes."""
    max_token_drift: NonNegativeFloat = 0.5
    """Largest relative rise of the tokens per word, where 0.5 is half as many again; compared under
    the same tokenizer only."""
    min_label_share: Share = 0.05
    """Lowest share of each class among the labels of the training examples, such as whether a
    sentence follows: with less of one, a model is right without learning anything."""


_QUALITY_BOUNDS = (
    "min_words",
    "max_words",
    "min_mean_word_length",
    "max_mean_word_length",
    "max_symbol_ratio",
    "max_bullet_lines",
    "max_ellipsis_lines",
    "min_alphabetic_words",
    "min_stop_words",
    "max_repeated_lines",
    "max_repeated_words",
)


@dataclasses.dataclass(frozen=True)
class CleaningConfig(Settings, place="cleaning", affects=Affects.EXAMPLES):
    """Which documents TextCleaner drops; see components/text_cleaner.py."""

    duplicates: bool = True
    """Drop all but one of the documents that have the same text."""
    near_duplicate_similarity: Annotated[float, pydantic.Field(gt=0, lt=1)] | None = None
    """Drop all but one of the documents that share about this much, 0 to 1, of their runs of five
    words; None looks for none. At 0.75, as in FineWeb, 98 % of the pairs are found that share 0.85,
    67 % at 0.75, 25 % at 0.65."""
    trained_before: bool = True
    """Drop held-out documents whose text an earlier span had among those to train on, or, with
    `near_duplicate_similarity`, a text that shares about so much with it."""
    evaluation_texts: Annotated[tuple[str, ...], Affects.NOTHING] = ()
    """Files, folders or patterns of texts that are not to be trained on, in `ingestion.input`'s
    formats: documents that share runs of words with them are dropped."""
    evaluation_words: PositiveInt = 13
    """Words of such a run; GPT-3 takes 13. Shorter texts are counted, and not looked for."""
    max_evaluation_share: Share = 0.0
    """Highest share of a document's runs that evaluation texts have as well."""
    language_confidence: Share | None = None
    """Drop documents whose language is, with at least this probability, another than their `lang`;
    None does not look."""
    quality: bool = False
    """Drop documents outside the bounds below, which are Gopher's."""
    min_words: NonNegativeInt = 50
    max_words: PositiveInt = 100_000
    min_mean_word_length: NonNegativeFloat = 3.0
    """In characters; not asked of Chinese and Japanese."""
    max_mean_word_length: PositiveFloat = 10.0
    max_symbol_ratio: NonNegativeFloat = 0.1
    """Most `#` and ellipses for each word."""
    max_bullet_lines: Share = 0.9
    """Highest share of the lines that begin with a bullet."""
    max_ellipsis_lines: Share = 0.3
    """Highest share of the lines that end with an ellipsis."""
    min_alphabetic_words: Share = 0.8
    """Lowest share of the words that have a letter."""
    min_stop_words: NonNegativeInt = 2
    """Fewest occurrences of the, be, to, of, and, that, have, with; asked of English alone."""
    max_repeated_lines: Share = 0.3
    """Highest share of the lines that stand in the document before."""
    max_repeated_words: Share = 0.2
    """Highest share of the words that the most frequent pair of words makes up; 0.9 and 0.8 of it
    for runs of three and of four words."""
    max_dropped_share: Annotated[Share, Affects.JUDGEMENT] = 0.5
    """DataGate refuses the span if more than this share of its documents is dropped."""

    def check(self) -> None:
        """Refuses bounds that no document is within, and what has no effect."""
        for least, most in (
            ("min_words", "max_words"),
            ("min_mean_word_length", "max_mean_word_length"),
        ):
            if getattr(self, least) > getattr(self, most):
                raise self.refused(
                    least,
                    f"{getattr(self, least)} is more than {most}, {getattr(self, most)}",
                    f"give {getattr(self, most)} or less",
                )
        for switch, wanted, fields in (
            ("quality", "True", _QUALITY_BOUNDS),
            ("evaluation_texts", "FILE", ("evaluation_words", "max_evaluation_share")),
        ):
            without = [field for field in fields if self.changed(field)]
            if without and not getattr(self, switch):
                raise self.refused(
                    without[0],
                    f"{getattr(self, without[0])!r} has no effect without cleaning.{switch}",
                    f"set cleaning.{switch}={wanted}, or leave {without[0]} out",
                )


@dataclasses.dataclass(frozen=True)
class VocabularyConfig(Settings, place="vocabulary", affects=Affects.EXAMPLES):
    """Where the vocabulary comes from; see components/vocabulary_trainer.py."""

    file: Annotated[str | None, Affects.NOTHING] = None
    """A given vocabulary; None learns one."""
    min_count: PositiveInt = 2
    """Words seen less often are not learned from."""
    max_words: PositiveInt = 1_000_000
    """Most frequent words that are learned from."""


@dataclasses.dataclass(frozen=True)
class ExamplesConfig(Settings, place="examples", affects=Affects.EXAMPLES):
    """How examples are made; see components/example_generation.py."""

    seed: NonNegativeInt = 0


@dataclasses.dataclass(frozen=True)
class Hyperparameter(Settings, place="tuning.space", affects=Affects.WEIGHTS):
    """A field that the Tuner varies, and what it tries there: `values`, or a range."""

    # NaN is refused by search_space.py, which knows what the field can be.
    __pydantic_config__: ClassVar[pydantic.ConfigDict] = {
        **Settings.__pydantic_config__,
        "allow_inf_nan": True,
    }

    field: str
    """The configuration's, `training.optimizer.learning_rate` say; components/search_space.py has
    those that can be tuned."""
    values: tuple[Value, ...] = ()
    low: float | None = None
    high: float | None = None
    """Both ends belong to the range."""
    log: bool = False
    """Draw the logarithm evenly, not the number: for what counts by factors."""

    def check(self) -> None:
        """Refuses what is neither values nor a range."""
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
class TuningConfig(Settings, place="tuning", affects=Affects.WEIGHTS):
    """How hyperparameters are searched before the training; see components/tuner.py."""

    trials: NonNegativeInt = 0
    """Candidates that are tried; 0 trains with the configuration as it is."""
    steps: PositiveInt | None = None
    """Optimizer steps of a trial; warmup shrinks with them. None: a tenth of `training.steps`, but
    20 of them at least if there are so many."""
    algorithm: Literal["random", "bayesian", "grid"] = "random"
    """KerasTuner's. "bayesian" draws three trials for each hyperparameter, then follows a Gaussian
    process; "grid" takes the product of all values."""
    seed: NonNegativeInt = 0
    """Of what is drawn; the trials themselves have `training.seed`, each the same."""
    space: tuple[Hyperparameter, ...] = ()
    """What is varied. Empty: the learning rate, from a fifth of the configured one to five times
    it, and the warmup, from nothing to a fifth of the steps."""

    def check(self) -> None:
        """Refuses a search that cannot be, and settings of a search that is not to be."""
        if not self.trials:
            for field in ("steps", "algorithm", "seed", "space"):
                if self.changed(field):
                    raise self.refused(
                        field,
                        "it has no effect, as no candidate is tried",
                        f"set tuning.trials, or leave tuning.{field} out",
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
class EvaluationConfig(Settings, place="evaluation", affects=Affects.JUDGEMENT):
    """How sure the blessing is; see components/judgement.py. Nothing but the judgement depends on
    it."""

    confidence: Annotated[float, pydantic.Field(ge=0.5, lt=1)] = 0.95
    """Probability with which the interval of a metric holds its true value. Half of the rest is the
    probability that luck blesses or refuses a model which is just at a bound."""
    resamples: Annotated[int, pydantic.Field(ge=200, le=1_000_000)] = 2_000
    """Times that the units of the evaluation text are drawn with replacement."""
    seed: NonNegativeInt = 0
    """Of these draws."""


@dataclasses.dataclass(frozen=True)
class BeamConfig(Settings, place="beam", affects=Affects.NOTHING):
    """The runner of every Beam step."""

    runner: str = "DirectRunner"
    workers: PositiveInt = 1
    """Worker processes of the DirectRunner; 1 stays inside the process."""
    args: tuple[str, ...] = ()
    """More Beam flags, as they are."""

    def check(self) -> None:
        """Refuses workers of a runner that starts its own."""
        if self.workers > 1 and self.runner != "DirectRunner":
            raise self.refused(
                "workers",
                f"{self.workers} workers are the DirectRunner's, and the runner is {self.runner}",
                "set the number that it starts by its own flags, in beam.args",
            )
