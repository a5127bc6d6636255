"""Configuration of the components, free of TFX and TensorFlow."""

from __future__ import annotations

import dataclasses


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


@dataclasses.dataclass(frozen=True)
class BeamConfig:
    """The runner of every Beam step."""

    runner: str = "DirectRunner"
    workers: int = 1
    """Worker processes of the DirectRunner; 1 stays inside the process."""
    args: tuple[str, ...] = ()
    """More Beam flags, as they are."""
