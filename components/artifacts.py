"""Polyseme's own TFX artifact types."""

from typing import ClassVar

from tfx.types import artifact


class Vocabulary(artifact.Artifact):
    """A tokenizer's files, as `Tokenizer.save` writes them, and `words.json` with its figures."""

    TYPE_NAME = "PolysemeVocabulary"
    PROPERTIES: ClassVar = {
        "size": artifact.Property(type=artifact.PropertyType.INT),
    }


class DataApproval(artifact.Artifact):
    """Written only when the gate let a span's documents pass: `checks.json`, what it checked."""

    TYPE_NAME = "PolysemeDataApproval"
    PROPERTIES: ClassVar = {
        "span": artifact.Property(type=artifact.PropertyType.INT),
        "statistics_id": artifact.Property(type=artifact.PropertyType.INT),
    }
