"""Configuration of the components, free of TFX and TensorFlow."""

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
    """What TextExampleGen reads; see components/ingestion/component.py."""

    input: Annotated[str, Affects.NOTHING] = ""
    """File, folder or pattern, with or without {SPAN}; see components/readers/files.py."""
    lang: str = "en"
    """Language of documents that do not say theirs."""
    text_field: Annotated[str, pydantic.Field(min_length=1)] = "text"
    """Name of the field, or column, that has a record's text."""
    encoding: str = "utf-8"
    """Encoding of files without a byte order mark."""
    document_per_file: bool = False
    """Each .txt file is one document; else blank lines separate documents in it. Its source is then
    its folder's name."""
    join_lines: bool = False
    """Join the lines of a paragraph in a .txt file: for text with line ends where the paper had
    them. The models take the end of a line for the end of a sentence."""
    max_sources: PositiveInt = 50
    """The documents of the sources that have the fewest, beyond so many sources, get the source
    "other": metrics are computed for each source."""
    test_share: Annotated[float, pydantic.Field(gt=0, lt=1)] = 0.1
    """Share of documents, by a hash of the id, that the Evaluator judges models by and nothing else
    looks at."""
    eval_share: Annotated[float, pydantic.Field(ge=0, lt=1)] = 0.0
    """Share of documents that training looks at without learning from them: for
    `training.eval_steps`, the Tuner and the choice among `training.seeds`, which need some."""
    max_quarantine_share: Annotated[Share, Affects.JUDGEMENT] = 0.01
    """DataGate refuses the span if more than this share of its records is malformed."""
    allow_unreadable: Annotated[tuple[str, ...], Affects.JUDGEMENT] = ()
    """Names or paths of files that may be cut off or damaged: what can be read of them is used. Any
    other such file makes DataGate refuse the span."""
    max_record_bytes: PositiveInt = 16_000_000
    """A longer record is quarantined."""
    shards: _Shards | None = None
    """Groups of the training documents by a hash of their id. A group is a file of documents, then
    one of examples, and what a worker holds; None makes them of 8 to 16 MB, 2 groups at least."""
    held_out_shards: _Shards | None = None
    """Groups of the documents of each other split; None is its share of `shards`, 1 at least."""

    def check(self) -> None:
        """Refuses an encoding that does not exist, and shares that leave nothing to train on."""
        try:
            "".encode(self.encoding)
            for errors in ("surrogateescape", "surrogatepass"):  # as files are read
                codecs.getincrementaldecoder(self.encoding)(errors).decode(b"a", final=False)
        except (LookupError, ValueError):
            raise self.refused(
                "encoding",
                f"{self.encoding!r:.60} is no encoding of text",
                "give one that Python has, as utf-16-le, latin-1 or gb18030",
            ) from None
        if self.held_out_share >= 1:
            raise self.refused(
                "eval_share",
                f"{self.eval_share} and the test_share, {self.test_share}, leave nothing to train "
                "on",
                "give less",
            )

    @property
    def held_out_share(self) -> float:
        """Share of documents that are not trained on."""
        return self.test_share + self.eval_share


@dataclasses.dataclass(frozen=True)
class ValidationConfig(Settings, place="validation", affects=Affects.JUDGEMENT):
    """What the text must be like; see docs/decisions/0031-what-the-data-gate-judges.md.

    TextCleaner quarantines single documents by the fields that affect examples. By the others
    DataGate judges a span's documents, and ExampleGate what the tokenizer makes of them. Drift is
    measured from the last earlier span that was approved.
    """

    min_documents: NonNegativeInt = 2
    """Fewest documents to train on, after cleaning."""
    min_test_documents: PositiveInt = 10
    """Fewest documents of the split "test", after cleaning: intervals come from at least five
    blocks of two."""
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
    max_loss_drift: NonNegativeFloat = 0.2
    """Largest relative rise of the served model's loss, before training, from the text that it was
    blessed on."""
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
    """Which documents TextCleaner drops; see components/cleaning/component.py."""

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
    """Where the vocabulary comes from; see components/vocabulary/component.py."""

    file: Annotated[str | None, Affects.NOTHING] = None
    """A given vocabulary; None learns one."""
    min_count: PositiveInt = 2
    """Words seen less often are not learned from."""
    max_words: PositiveInt = 1_000_000
    """Most frequent words that are learned from."""


@dataclasses.dataclass(frozen=True)
class ExamplesConfig(Settings, place="examples", affects=Affects.EXAMPLES):
    """How examples are made; see components/examples/transforms.py."""

    seed: NonNegativeInt = 0


@dataclasses.dataclass(frozen=True)
class EvaluationConfig(Settings, place="evaluation", affects=Affects.JUDGEMENT):
    """How sure the blessing is; see components/evaluation/judgement.py. Nothing but the judgement
    depends on it."""

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
    """One of `components.beam_flags.RUNNERS`."""
    workers: Annotated[int, pydantic.Field(ge=1, le=1_024)] = 1
    """Worker processes of the DirectRunner; 1 stays inside the process."""
    args: tuple[str, ...] = ()
    """More Beam flags. `${NAME}` in one is the value of an environment variable, which is put in
    when a step starts and is written nowhere."""
    step_args: tuple[str, ...] = ()
    """More flags for single steps, behind the others: `StatisticsGen:--num_workers=4`."""

    @property
    def flags(self) -> tuple[str, ...]:
        """The flags of all steps and of single ones."""
        each = (setting.partition(":")[2] for setting in self.step_args)
        return (*self.args, *each)

    def check(self) -> None:
        """Refuses unknown runners and steps, secrets, and workers of a runner that starts its own.

        No message repeats a flag's value.
        """
        try:
            beam_flags.of_steps(self.step_args)
        except ValueError as error:
            raise self.refused(
                "step_args",
                f"{str(error).partition('=')[0]!r} is no flag of a step on Beam",
                f"write STEP:--flag=value, where STEP is one of {', '.join(beam_flags.STEPS)}",
            ) from None  # its text is the whole flag
        for field, flags in (("args", self.args), ("step_args", self.flags[len(self.args) :])):
            if name := beam_flags.with_secret(flags):
                raise self.refused(
                    field,
                    f"{name} seems to hold a secret, and settings are written to config.json",
                    f"set an environment variable to it, and name that: '{name}=${{NAME}}'",
                )
        if others := beam_flags.other_runners((f"--runner={self.runner}", *self.flags)):
            raise self.refused(
                "runner",
                f"{others[0]!r} is no runner",
                f"give one of {', '.join(beam_flags.RUNNERS)}",
            )
        if self.workers > 1 and self.runner != "DirectRunner":
            raise self.refused(
                "workers",
                f"{self.workers} workers are the DirectRunner's, and the runner is {self.runner}",
                "set the number that it starts by its own flags, in beam.args",
            )

    def check_environment(self) -> None:
        """Refuses flags that name an environment variable which is not set here.

        Raises:
            ConfigError: naming the variables.
        """
        missing = sorted(beam_flags.variables(self.flags) - os.environ.keys())
        if missing:
            raise ConfigError(
                f"Beam's flags name environment variables that are not set: {', '.join(missing)}",
                where="beam.args" if beam_flags.variables(self.args) else "beam.step_args",
                remedy="set them where the command is given, or leave the flags out",
            )
