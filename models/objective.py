"""The protocol of an objective: one builder, trainer, evaluator and exporter serve all objectives.

A family is settings plus an objective; a task is an objective over the hidden states of any family
(law "One protocol").
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from models.counts import Counts
    from models.family import ObjectiveConfig


@dataclasses.dataclass(frozen=True)
class Labels:
    """The classes of a feature, whose values are numbered from 0.

    Attributes:
        names: the meaning of each value.
        remedy: what to do if one class is so rare in the examples that a model is right without
            learning anything.
    """

    names: tuple[str, ...]
    remedy: str


@dataclasses.dataclass(frozen=True)
class Feature:
    """One feature of a training example. Its shape is fixed, so that batches are static.

    Attributes:
        shape, dtype: as the model reads it.
        decode: for a feature that files store as strings of shape `shape[:-1]`: the function that
            turns the strings into the model's numbers, in graph.
        axis: the name of the first axis if its length is free for the model, so that a model that
            was trained on short examples can be evaluated on longer ones. "time" is the axis of
            `padding_mask`; where only padding is cut off, the feature may be cut along it.
        labels: the classes, if the feature is a class to predict.
    """

    shape: tuple[int, ...]
    dtype: Literal["int64", "float32", "string"]
    description: str
    decode: Callable[[tf.Tensor], tf.Tensor] | None = dataclasses.field(default=None, compare=False)
    axis: Literal["time", "masks"] | None = None
    labels: Labels | None = dataclasses.field(default=None, compare=False)

    @property
    def stored(self) -> Feature:
        """The feature as files store it."""
        if self.decode is None:
            return self
        return Feature(self.shape[:-1], "string", self.description)


FeatureSpec = Mapping[str, Feature]
"""The schema of the examples that an objective makes and its model reads."""


def numeric_features(spec: FeatureSpec) -> FeatureSpec:
    """The features that a model reads; strings, which slice metrics, never reach an accelerator."""
    return {name: feature for name, feature in spec.items() if feature.dtype != "string"}


Example = Mapping[str, np.ndarray]
"""One example: an array for each feature of the spec (strings: object arrays of bytes)."""


Examples = Mapping[str, np.ndarray]
"""Several examples: an array `[examples, *shape]` for each feature of the spec."""


@dataclasses.dataclass(frozen=True)
class TokenizedDocument:
    """A document as example generation reads it: all its tokens, without special tokens.

    Attributes:
        tokens: int32 `[tokens]`, or `[tokens, …]` where a token is a row of numbers.
        lengths: int64 `[pieces]`, tokens of each piece that `Objective.split` made, in order;
            pieces without a token are left out.
        begins: bool `[tokens]`, tokens that begin a word, if `Objective.segmenter` made words.
    """

    id: str
    source: str
    lang: str
    tokens: np.ndarray
    lengths: np.ndarray
    begins: np.ndarray | None = None

    @classmethod
    def of(cls, id: str, source: str, lang: str, pieces: Sequence[np.ndarray]) -> TokenizedDocument:
        """A document of separate pieces."""
        tokens = np.concatenate(pieces) if pieces else np.zeros(0, np.int32)
        return cls(id, source, lang, tokens, np.array([len(piece) for piece in pieces], np.int64))

    @property
    def pieces(self) -> list[np.ndarray]:
        """The tokens of each piece."""
        return np.split(self.tokens, np.cumsum(self.lengths)[:-1]) if len(self.lengths) else []


@dataclasses.dataclass(frozen=True)
class RenderedToken:
    """A token of an example as a reader sees it.

    Attributes:
        text: the token, with the space before it, if any.
        label: the text to predict at this position; None if nothing is predicted there, or if it is
            the next token of the example.
        part: two neighboring segments, or documents, have different parts.
    """

    text: str
    label: str | None = None
    part: Literal["first", "second", "special"] = "first"


@dataclasses.dataclass(frozen=True)
class Loss:
    """One term of the training loss: Σ numerator / Σ denominator over the whole batch, weighted."""

    numerator: str
    denominator: str
    weight: float = 1.0


class Objective(Protocol):
    """What is learned: examples, model and losses, metrics, and signatures.

    A class that inherits from it gets the methods that have a default. The methods are in the order
    in which a run calls them: making examples, learning, measuring, serving. A `tokenizer` is one
    of the family's.

    Attributes:
        config: the objective's settings; its metrics are `config.metrics()`.
    """

    config: ObjectiveConfig

    @property
    def streams(self) -> int | None:
        """The number of streams that a file's examples are windows of; None by default.

        With streams, examples come in rounds, one window of each stream, and each window continues
        the stream's previous window: training reads a file in order. None: examples are
        independent of each other, and training shuffles them.
        """
        return None

    def feature_spec(self) -> FeatureSpec:
        """The schema of the examples."""

    def split(self, text: str, lang: str) -> list[str]:
        """The pieces of a document that are tokenized separately, such as sentences.

        By default the whole text.
        """
        return [text]

    def segmenter(self, lang: str) -> Callable[[str], Sequence[str]] | None:
        """The function that cuts a piece into words, if the tokens do not show them.

        None by default.
        """
        return None

    def make_examples(
        self,
        documents: Sequence[TokenizedDocument],
        rng: np.random.Generator,
        tally: collections.Counter[str],
        *,
        held_out: bool = False,
    ) -> Iterator[Examples]:
        """Examples of one group of documents, in blocks; a pure function of its arguments.

        Args:
            documents: one group, sorted by id.
            rng: the only source of randomness.
            tally: receives the number of dropped, cut or changed documents and examples, by reason
                (law "Nothing is lost silently").
            held_out: whether the examples are for evaluation, which uses each document once.
        """

    def render_example(self, example: Example, tokenizer: Any) -> Sequence[Sequence[RenderedToken]]:
        """The real tokens of an example as text: a row for each direction in which it is read."""

    def count(self, examples: Examples) -> Mapping[str, np.ndarray]:
        """The keys that `fill_baselines` and `initialize` need the frequencies of.

        Returns:
            For each table, the keys that occur in training examples, each as often as it occurs:
            int64, none below 0. No table by default.
        """
        return {}

    def prepare(self, features: Mapping[str, tf.Tensor], rows: int) -> Mapping[str, tf.Tensor]:
        """Changes a training batch on the host, while examples are read; by default nothing.

        Args:
            features: as files store them, `[batch, *shape]`.
            rows: how many adjacent rows are computed at once; divides the batch.

        Returns:
            Tensors `[batch, …]`; `padding_mask` and the features that `denominators` reads must not
            change.
        """
        return features

    def build_model(self, backbone: Any) -> keras.Model:
        """The backbone with its heads: features `{name: [batch, *shape]}` → sums `{name: [batch]}`.

        The model keeps the backbone as `model.backbone`, and as `model.baselines` the `Baseline`s
        (`models.baselines`) that its sums are computed with. Its outputs are float32 and hold every
        numerator and denominator that the losses and metrics name; in training those of the losses
        are enough.

        Args:
            backbone: a `models.backbone.Backbone`, of the family that the objective is for.
        """

    def initialize(self, model: keras.Model, counts: Mapping[str, Counts]) -> None:
        """Sets new weights to values that the frequencies suggest; by default none.

        Args:
            counts: the totals of `count` over all training examples, by table.
        """
        return

    def losses(self) -> Sequence[Loss]:
        """The terms of the training loss."""

    def denominators(self, features: Mapping[str, tf.Tensor]) -> Mapping[str, tf.Tensor]:
        """Each loss's denominator per example `[batch]`, float32, without running the model."""

    def multiply_adds(self, model: keras.Model, time: int) -> float:
        """Multiply-adds of matrix products in a forward pass over an example of `time` positions.

        A lower bound: work that depends on the example's content is left out.
        """

    def logits_per_example(self) -> int:
        """Logits of all predictions of an evaluated example: most of what evaluation allocates."""

    def fill_baselines(self, model: keras.Model, counts: Mapping[str, Counts]) -> None:
        """Fills the tables of `model.baselines`, which evaluation reads; by default none.

        Args:
            counts: the totals of `count` over all training examples, by table.
        """
        return

    def signatures(self, model: keras.Model, tokenizer: Any) -> Mapping[str, Callable]:
        """Serving functions on raw strings by name, each a `tf.function` with input signature.

        `serving_default` and `hidden_states` are always among them; see `models.text_vectors`.
        """

    def warmup_requests(self) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """Requests by signature (argument → list of values), sent when a server loads the model."""
