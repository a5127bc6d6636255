"""ELMo's pretraining model: the encoder, the shared softmax, and sums per example."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import tensorflow as tf

from models.baselines import BigramBaseline, UnigramBaseline
from models.elmo import distinct
from models.elmo.backbone import ElmoEncoder
from models.elmo.config import ElmoObjectiveConfig
from models.elmo.examples import read_ids
from models.elmo.lstm import DIRECTIONS, State
from models.elmo.softmax import WordSoftmax


class ElmoPretraining(keras.Model):
    """The next and the previous word, with one token layer and one softmax (Peters et al., 2018).

    Inputs: the int32 features of `ElmoObjective.feature_spec`, `[batch, *shape]`, in training also
    in the form that `models.elmo.distinct.prepare` makes.
    Outputs: sums per example, float32 `[batch]`, by the names that losses and metrics use; in
    training only those of the losses.

    In training each window continues its stream from the state after the stream's previous window.
    The states are among `variables`, so that training checkpoints hold them, but they are not saved
    or exported with the model: another training may have other streams. In evaluation every window
    starts from the zero state, so that its sums do not depend on other windows.

    Attributes:
        backbone: the encoder.
        softmax: over the words of the vocabulary.
        unigram: the baseline of both directions.
        forward_bigram, backward_bigram: the baselines of each direction.
        baselines: all of these.
    """

    def __init__(
        self, backbone: ElmoEncoder, config: ElmoObjectiveConfig, vocabulary_size: int
    ) -> None:
        super().__init__(name="elmo_pretraining")
        shape = backbone.config
        self.backbone = backbone
        self.softmax = WordSoftmax(vocabulary_size, shape.projection_size, config.num_sampled)
        self.unigram = UnigramBaseline(vocabulary_size)
        self.forward_bigram = BigramBaseline(vocabulary_size, config.bigram_pairs, "forward_bigram")
        self.backward_bigram = BigramBaseline(
            vocabulary_size, config.bigram_pairs, "backward_bigram"
        )
        self.baselines = (self.unigram, self.forward_bigram, self.backward_bigram)
        self._streams = _Streams(
            config.num_streams,
            shape.num_layers,
            {"cells": shape.units, "outputs": shape.projection_size},
        )
        self.built = True

    @property
    def variables(self) -> list[keras.Variable]:
        """All variables that training changes: the model's and the states of the streams."""
        return [*super().variables, *self._streams.variables]

    def call(
        self, features: Mapping[str, tf.Tensor], training: bool | None = None
    ) -> dict[str, tf.Tensor]:
        """Sums of a batch; other features, such as `source`, are ignored."""
        mask = features["padding_mask"]
        # Both directions at once: they share most words.
        if (words := distinct.prepared(features)) is None:
            both = tf.stack([features["character_ids"], features["backward_character_ids"]])
            tokens = tf.unstack(self.backbone.token_layer(both))
        else:
            tokens = tf.unstack(self.backbone.token_layer(*words))
        labels = features["next_ids"], features["previous_ids"]
        if training:
            stream = tf.squeeze(features["stream"], axis=-1)
            continues = tf.cast(tf.squeeze(features["continues"], axis=-1), tf.float32)
            states = self._streams.read(stream, continues)
        else:
            states = (self.backbone.zero_state(tf.shape(mask)[0]),) * 2
        (forward, backward), states = self.backbone.run_both(tokens, mask, states, training)
        if training:
            self._streams.write(stream, states)
        weights = tf.cast(mask, tf.float32)
        sums = {"token_count": tf.reduce_sum(weights, axis=-1)}
        if training:  # both directions at once: one sample serves them
            flat = tf.reshape(tf.stack([forward[-1], backward[-1]]), [-1, forward[-1].shape[-1]])
            nlls = self.softmax.sampled_nll(flat, tf.reshape(tf.stack(labels), [-1]))
            nlls = tf.reshape(nlls, [2, *tf.unstack(tf.shape(mask))])
            for direction, nll in zip(DIRECTIONS, tf.unstack(nlls), strict=True):
                sums[f"{direction}_nll_sum"] = _sum(nll, weights)
            return sums
        for direction, hidden, label in zip(
            DIRECTIONS, (forward[-1], backward[-1]), labels, strict=True
        ):
            logits = self.softmax(hidden)
            # TensorFlow's own cross entropy also computes a gradient, which is not needed here.
            nll = tf.reduce_logsumexp(logits, axis=-1) - tf.gather(logits, label, batch_dims=2)
            correct = tf.argmax(logits, axis=-1, output_type=tf.int32) == label
            sums[f"{direction}_correct_count"] = _sum(tf.cast(correct, tf.float32), weights)
            sums[f"{direction}_nll_sum"] = _sum(nll, weights)
        return self._evaluated(features, sums, weights)

    def _evaluated(
        self,
        features: Mapping[str, tf.Tensor],
        sums: dict[str, tf.Tensor],
        weights: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """Adds the sums of the baselines, and those of both directions together."""
        forward, backward = read_ids(features)
        for direction, read, label, bigram in (
            ("forward", forward, "next_ids", self.forward_bigram),
            ("backward", backward, "previous_ids", self.backward_bigram),
        ):
            sums[f"{direction}_bigram_nll_sum"] = _sum(bigram(read, features[label]), weights)
            nll, correct = self.unigram(features[label])
            sums[f"{direction}_unigram_nll_sum"] = _sum(nll, weights)
            sums[f"{direction}_unigram_correct_count"] = _sum(correct, weights)
        for name in (
            "nll_sum", "correct_count", "bigram_nll_sum", "unigram_nll_sum", "unigram_correct_count"
        ):  # fmt: skip
            sums[name] = sums[f"forward_{name}"] + sums[f"backward_{name}"]
        sums["prediction_count"] = 2.0 * sums["token_count"]
        return sums


class _Streams:
    """The LSTM state of each stream between two windows, in both directions.

    It is not a layer, because TensorFlow saves the variables of a layer with the model.

    Args:
        streams: number of streams.
        layers: LSTM layers of each direction.
        widths: the width of each part of a `State`, by its name.
    """

    def __init__(self, streams: int, layers: int, widths: Mapping[str, int]) -> None:
        self._parts = {
            (direction, part): keras.Variable(
                tf.zeros([streams, layers, width]),
                trainable=False,
                autocast=False,
                name=f"streams_{direction}_{part}",
            )
            for direction in DIRECTIONS
            for part, width in widths.items()
        }

    @property
    def variables(self) -> list[keras.Variable]:
        """Float32 `[streams, layers, width]` each, always in the same order."""
        return [*self._parts.values()]

    def read(self, stream: tf.Tensor, continues: tf.Tensor) -> tuple[State, State]:
        """Each direction's state of streams `[batch]`, zero where `continues` `[batch]` is 0."""
        kept = continues[:, tf.newaxis, tf.newaxis]

        def part(direction: str, name: str) -> tf.Tensor:
            carried = tf.gather(self._parts[direction, name].value, stream) * kept
            return tf.transpose(carried, [1, 0, 2])

        forward, backward = (
            State(*(part(direction, name) for name in State._fields)) for direction in DIRECTIONS
        )
        return forward, backward

    def write(self, stream: tf.Tensor, states: tuple[State, State]) -> None:
        """Stores states for the next windows of the streams `[batch]`."""
        for direction, state in zip(DIRECTIONS, states, strict=True):
            for name, value in state._asdict().items():
                variable = self._parts[direction, name]
                new = tf.transpose(value, [1, 0, 2])
                variable.assign(tf.tensor_scatter_nd_update(variable.value, stream[:, None], new))


def _sum(values: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(values * weights, axis=-1)
