"""The protocol that one builder, one trainer, one evaluator and one exporter serve (law 2).

A family is data plus an objective; a task is an objective over any family's `hidden_states`.
"""

from __future__ import annotations

import collections
import dataclasses
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from models.counts import Counts
    from models.processor import DeviceKind
    from models.tokenizers.tokenizer import Tokenizer


@dataclasses.dataclass(frozen=True)
class Labels:
    """The classes that a feature's values number from 0 on.

    Attributes:
        names: what each value means.
        remedy: what to do about examples in which one of them hardly occurs, so that a model is
            right without learning anything.
    """

    names: tuple[str, ...]
    remedy: str


@dataclasses.dataclass(frozen=True)
class Feature:
    """One feature of a training example, of fixed shape, so that batches are static.

    Attributes:
        shape, dtype: as the model reads it.
        decode: for a feature that is stored as strings `shape[:-1]`, in examples and their files:
            what makes the model's numbers of them, in graph.
        axis: the name of the first axis where its length is free for the model, so that one that
            was trained on short examples is evaluated on longer ones. "time" is `padding_mask`'s;
            it may be cut where only padding is cut off.
        labels: the classes that it numbers, where it is what a model is to tell.
    """

    shape: tuple[int, ...]
    dtype: Literal["int64", "float32", "string"]
    description: str
    decode: Callable[[tf.Tensor], tf.Tensor] | None = dataclasses.field(default=None, compare=False)
    axis: Literal["time", "masks"] | None = None
    labels: Labels | None = dataclasses.field(default=None, compare=False)

    @property
    def stored(self) -> Feature:
        """The feature as examples hold it."""
        if self.decode is None:
            return self
        return Feature(self.shape[:-1], "string", self.description)


FeatureSpec = Mapping[str, Feature]
"""The schema of the examples an objective makes and its model reads."""


def numeric_features(spec: FeatureSpec) -> FeatureSpec:
    """The features a model reads; strings (slice keys) never reach an accelerator."""
    return {name: feature for name, feature in spec.items() if feature.dtype != "string"}


Example = Mapping[str, np.ndarray]
"""One example: an array per feature of the spec (string features: object arrays of bytes)."""


Examples = Mapping[str, np.ndarray]
"""Several examples: an array `[examples, *shape]` per feature of the spec."""


@dataclasses.dataclass(frozen=True)
class TokenizedDocument:
    """A document as example generation sees it: its pieces end to end, without special tokens.

    Attributes:
        tokens: int32 `[tokens]`, or `[tokens, …]` where a token is several numbers.
        lengths: int64 `[pieces]`, tokens of each piece that `Objective.split` cut, in order; pieces
            that gave no token are left out.
        begins: bool `[tokens]`, those that begin a word, if `Objective.segmenter` cut words.
    """

    id: str
    source: str
    lang: str
    tokens: np.ndarray
    lengths: np.ndarray
    begins: np.ndarray | None = None

    @classmethod
    def of(cls, id: str, source: str, lang: str, pieces: Sequence[np.ndarray]) -> TokenizedDocument:
        """A document of pieces apart."""
        tokens = np.concatenate(pieces) if pieces else np.zeros(0, np.int32)
        return cls(id, source, lang, tokens, np.array([len(piece) for piece in pieces], np.int64))

    @property
    def pieces(self) -> list[np.ndarray]:
        """The tokens of each piece."""
        return np.split(self.tokens, np.cumsum(self.lengths)[:-1]) if len(self.lengths) else []


@dataclasses.dataclass(frozen=True)
class RenderedToken:
    """A position of an example as a reader sees it.

    Attributes:
        text: what stands there, with the space before it, if any.
        label: what is to be predicted there; None if nothing is, or if it stands next anyway.
        part: neighbouring segments, or documents, are of different parts.
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


@dataclasses.dataclass(frozen=True)
class Metric:
    """A figure made of sums (law 6): Σ numerator / Σ denominator over all examples.

    `numerator` and `denominator` name outputs of the `evaluate` signature. With `exponentiate` the
    figure is exp of the ratio: perplexity. Bounds gate the blessing; `max_regression` bounds the
    loss against the last blessed model, absolute. Bounds hold for one end of the interval that the
    metric has on the evaluation text: with `end` "worse" a model has to be shown to meet them,
    with "better" it is refused only if it is shown to miss them. `baseline` names the Metric to
    read beside it.
    """

    name: str
    numerator: str
    denominator: str
    exponentiate: bool = False
    higher_is_better: bool = True
    lower_bound: float | None = None
    upper_bound: float | None = None
    max_regression: float | None = None
    baseline: str | None = None
    end: Literal["worse", "better"] = "worse"


class Objective(Protocol):
    """What is learned: examples, heads, losses, figures and signatures."""

    @property
    def streams(self) -> int | None:
        """How many streams a file's examples are windows of; None where each is for itself.

        Where there are streams, examples come in rounds, a window of each stream in turn, and each
        goes on where the stream's last one ended: training reads a file in its order.
        """

    def feature_spec(self) -> FeatureSpec:
        """The example schema."""

    def split(self, text: str, lang: str) -> list[str]:
        """The pieces of a document that are tokenized apart: sentences, or the whole text."""

    def segmenter(self, lang: str) -> Callable[[str], Sequence[str]] | None:
        """What cuts a piece into words, if that is wanted and its tokens show none; else None."""

    def make_examples(
        self,
        documents: Sequence[TokenizedDocument],
        rng: np.random.Generator,
        tally: collections.Counter[str],
        *,
        held_out: bool = False,
    ) -> Iterator[Examples]:
        """Examples of one group of documents, some at a time, a pure function of its arguments.

        Args:
            documents: one group, sorted by id.
            rng: the only source of chance.
            tally: what was dropped, cut or forced, counted by reason (law 8).
            held_out: whether the examples are for evaluation, which uses each document once.
        """

    def prepare(self, features: Mapping[str, tf.Tensor], rows: int) -> Mapping[str, tf.Tensor]:
        """What the model reads of a batch in training, made on the host while examples are read.

        Args:
            features: as examples hold them, `[batch, *shape]`.
            rows: rows that are computed at once, next to each other; they divide the batch.

        Returns:
            Tensors `[batch, …]`, with the features that `denominators` reads and `padding_mask`
            as they were.
        """

    def render_example(
        self, example: Example, tokenizer: Tokenizer
    ) -> Sequence[Sequence[RenderedToken]]:
        """An example in words, without padding: a row for each direction that it is read in."""

    def build_model(self, backbone: keras.Model) -> keras.Model:
        """Backbone plus heads: features `{name: [batch, *shape]}` → sums `{name: [batch]}`.

        The model keeps the backbone as `model.backbone`, and as `model.baselines` the `Baseline`s
        (`models.baselines`) that its sums are made with. Its outputs hold every numerator and
        denominator that `losses` and `metrics` name, float32; in training those of `losses` will
        do.
        """

    def losses(self) -> Sequence[Loss]:
        """The terms of the training loss."""

    def denominators(self, features: Mapping[str, tf.Tensor]) -> Mapping[str, tf.Tensor]:
        """Each loss's denominator per example `[batch]`, float32, known before the model runs."""

    def multiply_adds(self, model: keras.Model, time: int) -> float:
        """What an example of `time` positions costs forwards, in products of matrices alone.

        At the least: what depends on the example otherwise is left out.
        """

    def logits_per_example(self) -> int:
        """Logits that an example of the spec has when it is evaluated, over all its predictions.

        They are most of what evaluation keeps in memory.
        """

    def count(self, examples: Examples) -> Mapping[str, np.ndarray]:
        """What the baselines and `start` count in training examples.

        Returns:
            By table the keys that occur, each as often as it does: int64, none below 0.
        """

    def start(self, model: keras.Model, counts: Mapping[str, Counts]) -> None:
        """Gives weights that were never trained the values that the frequencies suggest, if any.

        Args:
            counts: what `count` found in all training examples, by table.
        """

    def set_baseline(self, model: keras.Model, counts: Mapping[str, Counts]) -> None:
        """Fills the tables of `model.baselines` from what `count` found in all training examples.

        They are for evaluation: training needs none of them.
        """

    def metrics(self) -> Sequence[Metric]:
        """Figures and their thresholds."""

    def signatures(self, model: keras.Model, tokenizer: Tokenizer) -> Mapping[str, Callable]:
        """Serving functions on raw strings by name, each a `tf.function` with input signature.

        `serving_default` and `hidden_states` are always among them; see `models.text_vectors`.
        """

    def warmup_requests(self) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """Requests by signature: argument → list of values; sent when a server loads the model."""


@dataclasses.dataclass(frozen=True)
class Family:
    """A row of the registry.

    Attributes:
        config: the family's configuration, with `backbone`, `objective` and `tokenizer`.
        tokenizer: the class that loads a saved tokenizer.
        learn: (word counts, tokenizer configuration) → tokenizer.
        import_vocabulary: (vocabulary file, tokenizer configuration) → tokenizer.
        build_backbone: (backbone configuration, tokenizer) → the backbone (law 3).
        build_objective: (objective configuration, tokenizer) → the objective.
        metrics: objective configuration → the objective's figures, needed before a tokenizer is;
            the first is the loss that models are compared by.
        xla_pays_on: where a training step is faster when XLA compiles it; decision 0026 has the
            measurements.
    """

    name: str
    config: type
    tokenizer: type[Tokenizer]
    learn: Callable[[Mapping[str, int], Any], Tokenizer]
    import_vocabulary: Callable[[Any, Any], Tokenizer]
    build_backbone: Callable[[Any, Tokenizer], keras.Model]
    build_objective: Callable[[Any, Tokenizer], Objective]
    metrics: Callable[[Any], Sequence[Metric]]
    xla_pays_on: frozenset[DeviceKind] = frozenset()

    @property
    def objective_config(self) -> Any:
        """The class of the objective's configuration."""
        return typing.get_type_hints(self.config)["objective"]
