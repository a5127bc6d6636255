"""Polyseme's own TFX artifact types."""

from typing import ClassVar

from tfx.types import artifact


class Vocabulary(artifact.Artifact):
    """A tokenizer's files, as `Tokenizer.save` writes them, and `words.json` with its figures."""

    TYPE_NAME = "PolysemeVocabulary"
    PROPERTIES: ClassVar = {
        "size": artifact.Property(type=artifact.PropertyType.INT),
    }


class TrainedTexts(artifact.Artifact):
    """`keys.npy`: hashes of the documents to train on, of a span and of those before it."""

    TYPE_NAME = "PolysemeTrainedTexts"
    PROPERTIES: ClassVar = {
        "span": artifact.Property(type=artifact.PropertyType.INT),
    }


class DataApproval(artifact.Artifact):
    """Written only when the gate let a span's documents pass: `checks.json`, what it checked."""

    TYPE_NAME = "PolysemeDataApproval"
    PROPERTIES: ClassVar = {
        "span": artifact.Property(type=artifact.PropertyType.INT),
        "statistics_id": artifact.Property(type=artifact.PropertyType.INT),
        "cleaned_id": artifact.Property(type=artifact.PropertyType.INT),
    }


class ExamplesApproval(artifact.Artifact):
    """Written only when the gate let a span's examples pass: `checks.json`, what it checked.

    How the tokenizer fits the text are properties, so that a later span is compared with them
    whatever became of the files; `tokenizer` is a fingerprint of it.
    """

    TYPE_NAME = "PolysemeExamplesApproval"
    PROPERTIES: ClassVar = {
        "span": artifact.Property(type=artifact.PropertyType.INT),
        "tokenizer": artifact.Property(type=artifact.PropertyType.STRING),
        "unknown_share": artifact.Property(type=artifact.PropertyType.FLOAT),
        "tokens_per_word": artifact.Property(type=artifact.PropertyType.FLOAT),
        "tokens_per_byte": artifact.Property(type=artifact.PropertyType.FLOAT),
    }
