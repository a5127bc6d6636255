"""GPT's pretraining model: the decoder, its tied head, and sums per example."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from models.baselines import BigramBaseline, UnigramBaseline
from models.gpt.backbone import GptDecoder


class _LabelScores(keras.layers.Layer):
    """Negative log-likelihood of labels, and 1 where the most probable token is the label.

    Logits `[batch · time, vocabulary]` and labels `[batch, time]` → two float32 `[batch, time]`.
    """

    def call(
        self, logits: keras.KerasTensor, labels: keras.KerasTensor
    ) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        ops = keras.ops
        flat = ops.reshape(labels, (-1,))
        nll = _nll(logits, flat)
        best = ops.cast(ops.argmax(logits, axis=-1), flat.dtype)
        correct = ops.cast(ops.equal(best, flat), "float32")
        return ops.reshape(nll, ops.shape(labels)), ops.reshape(correct, ops.shape(labels))

    def compute_output_shape(
        self, logits_shape: tuple[int | None, ...], labels_shape: tuple[int | None, ...]
    ) -> tuple[tuple[int | None, ...], tuple[int | None, ...]]:
        """Labels' shape, twice."""
        return labels_shape, labels_shape


@tf.custom_gradient
def _nll(logits: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, Any]:
    """Negative log-likelihood `[rows]` of labels `[rows]` by logits `[rows, vocabulary]`.

    Logits take most of a step's memory, and TensorFlow's own cross entropy passes over them more
    often than this function.
    """
    highest = tf.reduce_max(logits, axis=-1, keepdims=True)
    weights = tf.exp(logits - highest)
    total = tf.reduce_sum(weights, axis=-1, keepdims=True)
    places = tf.stack([tf.range(tf.size(labels)), labels], axis=1)
    nll = tf.squeeze(highest + tf.math.log(total), axis=-1) - tf.gather_nd(logits, places)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, None]:
        expected = weights * (upstream[:, tf.newaxis] / total)
        return tf.tensor_scatter_nd_sub(expected, places, upstream), None

    return nll, gradient


class GptPretraining(keras.Model):
    """The next token at every position (Radford et al., 2018, section 3.1).

    Inputs: the int32 features of `GptObjective.feature_spec`, `[batch, *shape]`, of any length.
    Outputs: sums per example, float32 `[batch]`, by the names that losses and metrics use.

    Attributes:
        backbone: the decoder.
        unigram, bigram: the baselines.
        baselines: both.
    """

    def __init__(self, backbone: GptDecoder, bigram_pairs: int) -> None:
        ops = keras.ops
        vocabulary_size = backbone.decoder.vocabulary_size
        unigram = UnigramBaseline(vocabulary_size)
        bigram = BigramBaseline(vocabulary_size, bigram_pairs)

        def feature(name: str, length: int | None) -> keras.KerasTensor:
            return keras.Input((length,), dtype="int32", name=name)

        tokens = {
            name: feature(name, None) for name in ("token_ids", "padding_mask", "position_ids")
        }
        labels = feature("label_ids", None)
        counts = {name: feature(name, 1) for name in ("byte_count", "word_count")}

        weights = ops.cast(tokens["padding_mask"], "float32")
        # As one matrix: for a product of a 3-D and a 2-D tensor, TensorFlow computes the gradient
        # of the second once for each row of the batch.
        states = backbone(tokens)["sequence_output"]
        logits = backbone.logits(ops.reshape(states, (-1, states.shape[-1])))
        # A layer casts its inputs to its own precision, so this layer has float32.
        nll, correct = _LabelScores(name="label_scores", dtype="float32")(logits, labels)
        unigram_nll, unigram_correct = unigram(labels)
        by_token = {
            "nll_sum": nll,
            "correct_count": correct,
            "token_count": ops.ones_like(weights),
            "unigram_nll_sum": unigram_nll,
            "unigram_correct_count": unigram_correct,
            "bigram_nll_sum": bigram(tokens["token_ids"], labels),
        }
        outputs = {name: ops.sum(value * weights, axis=-1) for name, value in by_token.items()}
        for name in ("nll", "unigram_nll", "bigram_nll"):
            outputs[f"{name}_bits_sum"] = outputs[f"{name}_sum"] / math.log(2)
        for name, count in counts.items():
            outputs[name] = ops.cast(ops.squeeze(count, axis=-1), "float32")
        super().__init__(
            inputs=tokens | {"label_ids": labels} | counts,
            outputs=outputs,
            name="gpt_pretraining",
        )
        self.backbone = backbone
        self.unigram = unigram
        self.bigram = bigram
        self.baselines = (unigram, bigram)

    def __call__(
        self, features: Mapping[str, keras.KerasTensor], **options: Any
    ) -> dict[str, keras.KerasTensor]:
        """Sums of a batch; other features, such as `source`, are ignored."""
        return super().__call__({name: features[name] for name in self.input}, **options)
