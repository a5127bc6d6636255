"""Settings of the steps before and after training; imports neither TFX nor TensorFlow."""

from __future__ import annotations

import codecs
import dataclasses
import os
from typing import Annotated

import pydantic
from pydantic import NonNegativeFloat, PositiveFloat

from components import beam_flags
from models.errors import ConfigError
from models.settings import Affects, NonNegativeInt, PositiveInt, Settings, Share

_Shards = Annotated[int, pydantic.Field(ge=1, le=1_000_000)]


@dataclasses.dataclass(frozen=True)
class IngestionConfig(Settings, place="ingestion", affects=Affects.EXAMPLES):
    """Settings of TextExampleGen; see components/ingestion/component.py."""

    input: Annotated[str, Affects.NOTHING] = ""
    """File, folder or glob, with or without {SPAN}; see components/readers/files.py."""
    lang: str = "en"
    """Language of documents without a `lang`."""
    text_field: Annotated[str, pydantic.Field(min_length=1)] = "text"
    """Name of the field or column that holds a record's text."""
    encoding: str = "utf-8"
    """Encoding of files without a byte order mark."""
    document_per_file: bool = False
    """Whether each .txt file is one document, with its folder's name as source. Otherwise blank
    lines separate the documents in a file."""
    join_lines: bool = False
    """Join the lines of each paragraph in a .txt file. Needed for text that is wrapped at a page
    width, because the models treat the end of a line as the end of a sentence."""
    max_sources: PositiveInt = 50
    """Number of sources that keep their name; documents of all rarer sources get the source
    "other". Metrics are computed for each source."""
    test_share: Annotated[float, pydantic.Field(gt=0, lt=1)] = 0.1
    """Share of documents, chosen by a hash of their id, that only the Evaluator uses, to judge
    models."""
    eval_share: Annotated[float, pydantic.Field(ge=0, lt=1)] = 0.0
    """Share of documents that models are evaluated on during training but not trained on. Must be
    above 0 for `training.eval_steps`, the Tuner and the choice among `training.seeds`."""
    max_quarantine_share: Annotated[Share, Affects.JUDGEMENT] = 0.01
    """DataGate refuses the span if a larger share of its records is malformed."""
    allow_unreadable: Annotated[tuple[str, ...], Affects.JUDGEMENT] = ()
    """Names or paths of files that may be truncated or damaged; what can be read of them is used.
    Any other damaged file makes DataGate refuse the span."""
    max_record_bytes: PositiveInt = 16_000_000
    """Longer records are quarantined."""
    shards: _Shards | None = None
    """Number of shards of the training documents, which a hash of the id assigns. A shard is a file
    of documents and later a file of examples, and a worker holds one in memory. None: shards of 8
    to 16 MB, at least 2."""
    held_out_shards: _Shards | None = None
    """Number of shards of each held-out split; None: its share of `shards`, at least 1."""

    def check(self) -> None:
        """Refuses an unknown encoding, and shares that leave no document to train on."""
        try:
            "".encode(self.encoding)
            for errors in ("surrogateescape", "surrogatepass"):  # as files are read
                codecs.getincrementaldecoder(self.encoding)(errors).decode(b"a", final=False)
        except (LookupError, ValueError):
            raise self.refused(
                "encoding",
                f"{self.encoding!r:.60} is not a text encoding",
                "give one that Python knows, such as utf-16-le, latin-1 or gb18030",
            ) from None
        if self.held_out_share >= 1:
            raise self.refused(
                "eval_share",
                f"eval_share {self.eval_share} and test_share {self.test_share} leave no document "
                "to train on",
                "give shares whose sum is below 1",
            )

    @property
    def held_out_share(self) -> float:
        """Share of documents that are not trained on."""
        return self.test_share + self.eval_share


@dataclasses.dataclass(frozen=True)
class ValidationConfig(Settings, place="validation", affects=Affects.JUDGEMENT):
    """Bounds on the text; see docs/decisions/0031-what-the-data-gate-judges.md.

    TextCleaner quarantines single documents by the fields that affect examples. DataGate judges the
    documents of a span, and ExampleGate the result of tokenizing them, by the other fields. Drift
    is measured against the last earlier span that was approved.
    """

    min_documents: NonNegativeInt = 2
    """Minimum number of training documents, after cleaning."""
    min_test_documents: PositiveInt = 10
    """Minimum number of documents of the split "test", after cleaning. Confidence intervals need
    at least five blocks of two documents."""
    min_characters: Annotated[NonNegativeInt, Affects.EXAMPLES] = 1
    """Minimum length of a document, in characters."""
    max_non_letter_share: Annotated[Share, Affects.EXAMPLES] = 0.6
    """Maximum share of a document's characters that are neither letters nor white space."""
    max_replacement_share: Annotated[Share, Affects.EXAMPLES] = 0.01
    """Maximum share of a document's characters that are U+FFFD, the replacement character."""
    languages: Annotated[tuple[str, ...], Affects.EXAMPLES] = ("en", "zh", "zh-Hans", "zh-Hant")
    """Language codes that a document's `lang` may have, spelled as in the documents."""
    max_quarantine_share: Share = 0.05
    """Maximum share of a span's documents that are quarantined for violating the bounds above."""
    max_duplicate_share: Share = 0.05
    """Maximum share of documents that are exact duplicates."""
    max_language_drift: Share = 0.1
    """Maximum change of a language's share of the documents, beyond what chance explains; 1 allows
    any change."""
    max_source_drift: Share = 0.6
    """Maximum change of a source's share of the documents, beyond what chance explains. The change
    is 1 if every document of a span is from a new source."""
    max_length_drift: Share = 0.4
    """Maximum Kolmogorov-Smirnov distance of the documents' lengths, 0 to 1, beyond what chance
    explains."""
    max_unknown_share: Share = 0.1
    """Maximum share of the text, in bytes, that becomes unknown tokens."""
    max_unknown_target_share: Share = 0.6
    """Maximum share of the words that a model reads but cannot predict: ELMo reads characters and
    predicts words of its vocabulary."""
    max_unknown_drift: Share = 0.1
    """Maximum increase of either share; compared only between spans with the same tokenizer."""
    max_tokens_per_byte: PositiveFloat = 0.65
    """Maximum number of tokens per byte of text. A vocabulary that does not fit the text splits it
    into letters or bytes."""
    max_token_drift: NonNegativeFloat = 0.5
    """Maximum relative increase of the tokens per word, 0.5 for 50 % more; compared only between
    spans with the same tokenizer."""
    max_loss_drift: NonNegativeFloat = 0.2
    """Maximum relative increase of the served model's loss, from the text that it was blessed on to
    this span's text; measured before training."""
    min_label_share: Share = 0.05
    """Minimum share of each class among the labels of the training examples, such as next-sentence
    labels. Below it a model that always predicts the other class is right."""


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
    """Settings of TextCleaner; see components/cleaning/component.py."""

    duplicates: bool = True
    """Drop exact duplicates: keep one of the documents with the same text."""
    near_duplicate_similarity: Annotated[float, pydantic.Field(gt=0, lt=1)] | None = None
    """Drop near duplicates: keep one of the documents whose word 5-grams have about this Jaccard
    similarity, 0 to 1. None: do not look for them. At 0.75, as in FineWeb, 98 % of the pairs of
    similarity 0.85 are found, 67 % at 0.75, and 25 % at 0.65."""
    trained_before: bool = True
    """Drop held-out documents whose text was trained on in an earlier span; with
    `near_duplicate_similarity`, also their near duplicates."""
    evaluation_texts: Annotated[tuple[str, ...], Affects.NOTHING] = ()
    """Files, folders or globs of texts that must not be trained on, in the formats of
    `ingestion.input`. Documents that share word n-grams with them are dropped."""
    evaluation_words: PositiveInt = 13
    """Words in such an n-gram; GPT-3 uses 13. Shorter evaluation texts are counted and ignored."""
    max_evaluation_share: Share = 0.0
    """Maximum share of a document's n-grams that occur in evaluation texts."""
    language_confidence: Share | None = None
    """Drop documents whose detected language differs from their `lang`, if the detector gives at
    least this probability. None: do not detect languages."""
    quality: bool = False
    """Drop documents that violate the bounds below, which are Gopher's."""
    min_words: NonNegativeInt = 50
    max_words: PositiveInt = 100_000
    min_mean_word_length: NonNegativeFloat = 3.0
    """In characters; not applied to Chinese and Japanese."""
    max_mean_word_length: PositiveFloat = 10.0
    max_symbol_ratio: NonNegativeFloat = 0.1
    """Maximum number of `#` and ellipses per word."""
    max_bullet_lines: Share = 0.9
    """Maximum share of lines that begin with a bullet."""
    max_ellipsis_lines: Share = 0.3
    """Maximum share of lines that end with an ellipsis."""
    min_alphabetic_words: Share = 0.8
    """Minimum share of words that contain a letter."""
    min_stop_words: NonNegativeInt = 2
    """Minimum number of occurrences of the, be, to, of, and, that, have, with; English only."""
    max_repeated_lines: Share = 0.3
    """Maximum share of lines that repeat an earlier line of the document."""
    max_repeated_words: Share = 0.2
    """Maximum share of the words that belong to the most frequent word 2-gram; 0.9 and 0.8 times
    this for 3-grams and 4-grams."""
    max_dropped_share: Annotated[Share, Affects.JUDGEMENT] = 0.5
    """DataGate refuses the span if a larger share of its documents is dropped."""

    def check(self) -> None:
        """Refuses bounds that no document can meet, and settings without effect."""
        for least, most in (
            ("min_words", "max_words"),
            ("min_mean_word_length", "max_mean_word_length"),
        ):
            if getattr(self, least) > getattr(self, most):
                raise self.refused(
                    least,
                    f"{getattr(self, least)} is more than {most}, which is {getattr(self, most)}",
                    f"give {getattr(self, most)} or less",
                )
        for switch, value, fields in (
            ("quality", "True", _QUALITY_BOUNDS),
            ("evaluation_texts", "FILE", ("evaluation_words", "max_evaluation_share")),
        ):
            changed = [field for field in fields if self.changed(field)]
            if changed and not getattr(self, switch):
                raise self.refused(
                    changed[0],
                    f"{getattr(self, changed[0])!r} has no effect without cleaning.{switch}",
                    f"set cleaning.{switch}={value}, or leave {changed[0]} out",
                )


@dataclasses.dataclass(frozen=True)
class VocabularyConfig(Settings, place="vocabulary", affects=Affects.EXAMPLES):
    """Settings of VocabularyTrainer; see components/vocabulary/component.py."""

    file: Annotated[str | None, Affects.NOTHING] = None
    """File of an existing vocabulary; None learns a vocabulary from the text."""
    min_count: PositiveInt = 2
    """Words that occur less often are ignored in learning."""
    max_words: PositiveInt = 1_000_000
    """Learn from this many of the most frequent words."""


@dataclasses.dataclass(frozen=True)
class ExamplesConfig(Settings, place="examples", affects=Affects.EXAMPLES):
    """Settings of ExampleBuilder; see components/examples/transforms.py."""

    seed: NonNegativeInt = 0


@dataclasses.dataclass(frozen=True)
class EvaluationConfig(Settings, place="evaluation", affects=Affects.JUDGEMENT):
    """Settings of the confidence intervals by which a model is blessed; see
    components/evaluation/judgement.py. They affect nothing but this judgement."""

    confidence: Annotated[float, pydantic.Field(ge=0.5, lt=1)] = 0.95
    """Probability that the interval of a metric contains its true value. A model exactly at a bound
    is blessed or refused by chance with half of the remaining probability."""
    resamples: Annotated[int, pydantic.Field(ge=200, le=1_000_000)] = 2_000
    """Number of bootstrap samples of the evaluation text's units."""
    seed: NonNegativeInt = 0
    """Seed of the bootstrap."""


@dataclasses.dataclass(frozen=True)
class BeamConfig(Settings, place="beam", affects=Affects.NOTHING):
    """Settings of Apache Beam, for every step that runs on it."""

    runner: str = "DirectRunner"
    """One of `components.beam_flags.RUNNERS`."""
    workers: Annotated[int, pydantic.Field(ge=1, le=1_024)] = 1
    """Worker processes of the DirectRunner; with 1, the step runs inside the main process."""
    args: tuple[str, ...] = ()
    """Additional Beam flags. `${NAME}` in a flag stands for an environment variable; it is replaced
    when a step starts, and its value is written nowhere."""
    step_args: tuple[str, ...] = ()
    """Additional flags for single steps, appended to `args`: `StatisticsGen:--num_workers=4`."""

    @property
    def flags(self) -> tuple[str, ...]:
        """All flags: those of every step and those of single steps."""
        of_steps = (setting.partition(":")[2] for setting in self.step_args)
        return (*self.args, *of_steps)

    def check(self) -> None:
        """Refuses unknown runners and steps, flags that hold a secret, and `workers` for a runner
        that starts its own workers.

        No message repeats the value of a flag.
        """
        try:
            beam_flags.flags_by_step(self.step_args)
        except ValueError as error:
            raise self.refused(
                "step_args",
                f"{str(error).partition('=')[0]!r} is not a flag of a step on Beam",
                f"write STEP:--flag=value, where STEP is one of {', '.join(beam_flags.STEPS)}",
            ) from None  # the original error repeats the whole flag
        for field, flags in (("args", self.args), ("step_args", self.flags[len(self.args) :])):
            if name := beam_flags.find_secret(flags):
                raise self.refused(
                    field,
                    f"{name} seems to hold a secret, and settings are written to config.json",
                    f"put it into an environment variable and write: '{name}=${{NAME}}'",
                )
        if unknown := beam_flags.unknown_runners((f"--runner={self.runner}", *self.flags)):
            raise self.refused(
                "runner",
                f"{unknown[0]!r} is not a runner",
                f"give one of {', '.join(beam_flags.RUNNERS)}",
            )
        if self.workers > 1 and self.runner != "DirectRunner":
            raise self.refused(
                "workers",
                f"{self.workers} workers are for the DirectRunner; the runner is {self.runner}",
                f"set the number of workers by {self.runner}'s own flags, in beam.args",
            )

    def check_environment(self) -> None:
        """Checks that every environment variable named in a flag is set.

        Raises:
            ConfigError: variables are not set; the message names them.
        """
        missing = sorted(beam_flags.variables(self.flags) - os.environ.keys())
        if missing:
            raise ConfigError(
                f"Beam's flags name environment variables that are not set: {', '.join(missing)}",
                where="beam.args" if beam_flags.variables(self.args) else "beam.step_args",
                remedy="set them before you run the command, or remove the flags",
            )
