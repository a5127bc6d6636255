"""TFX artifact types of Polyseme."""

from typing import ClassVar

from tfx.types import artifact


class Vocabulary(artifact.Artifact):
    """The files that `Tokenizer.save` writes, and `words.json`, where the vocabulary comes from."""

    TYPE_NAME = "PolysemeVocabulary"
    PROPERTIES: ClassVar = {
        "size": artifact.Property(type=artifact.PropertyType.INT),
    }


class TrainedTexts(artifact.Artifact):
    """`keys.npy`: hashes of the training documents of a span and of all spans before it."""

    TYPE_NAME = "PolysemeTrainedTexts"
    PROPERTIES: ClassVar = {
        "span": artifact.Property(type=artifact.PropertyType.INT),
    }


class DataApproval(artifact.Artifact):
    """`checks.json`: DataGate's checks of a span's documents; exists only if all of them passed."""

    TYPE_NAME = "PolysemeDataApproval"
    PROPERTIES: ClassVar = {
        "span": artifact.Property(type=artifact.PropertyType.INT),
        "statistics_id": artifact.Property(type=artifact.PropertyType.INT),
        "cleaned_id": artifact.Property(type=artifact.PropertyType.INT),
    }


class ExamplesApproval(artifact.Artifact):
    """`checks.json`: ExampleGate's checks of a span's examples; exists only if all of them passed.

    The properties say how well the tokenizer fits the text. They are properties so that a later
    span can be compared with them even after the file is deleted. `tokenizer` is its fingerprint.
    """

    TYPE_NAME = "PolysemeExamplesApproval"
    PROPERTIES: ClassVar = {
        "span": artifact.Property(type=artifact.PropertyType.INT),
        "tokenizer": artifact.Property(type=artifact.PropertyType.STRING),
        "unknown_share": artifact.Property(type=artifact.PropertyType.FLOAT),
        "tokens_per_word": artifact.Property(type=artifact.PropertyType.FLOAT),
        "tokens_per_byte": artifact.Property(type=artifact.PropertyType.FLOAT),
    }
