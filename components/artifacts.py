"""Polyseme's own TFX artifact types."""

from tfx.types import artifact


class Vocabulary(artifact.Artifact):
    """A tokenizer's files, as `Tokenizer.save` writes them, and `words.json` with its figures."""

    TYPE_NAME = "PolysemeVocabulary"
    PROPERTIES = {
        "size": artifact.Property(type=artifact.PropertyType.INT),
    }
