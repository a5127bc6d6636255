"""The softmax over words that both directions of ELMo share, whole or of a sample."""

from __future__ import annotations

import math

import keras
import tensorflow as tf


class WordSoftmax(keras.layers.Layer):
    """Logits of words: h · kernel[w] + bias[w].

    Args:
        words: number of words, the most frequent ones first, which sampling counts on.
        width: of what is given.
        candidates: words that `sampled_nll` draws; 0, or as many as there are words: all.

    Attributes:
        kernel: `[words, width]`.
        bias: `[words]`.

    Logits are float32, whatever the layers below compute in: rounded to bfloat16 one of 10 is off
    by up to 0.03, and so is the loss. TensorFlow has no product of bfloat16 with a float32 result
    on a processor; a TPU makes one of a product in float32 by itself.
    """

    def __init__(self, words: int, width: int, candidates: int, name: str = "softmax") -> None:
        super().__init__(name=name, dtype="float32")
        self._words = words
        self._candidates = candidates if 0 < candidates < words else 0
        # Autocast would give `sampled_nll` the weights in the type of the model that calls it.
        self.kernel = self.add_weight(
            shape=(words, width),
            initializer=keras.initializers.RandomNormal(stddev=width**-0.5),
            name="kernel",
            autocast=False,
        )
        self.bias = self.add_weight(
            shape=(words,), initializer="zeros", name="bias", autocast=False
        )
        self.seed_generator = keras.random.SeedGenerator()
        self.built = True

    def call(self, hidden: tf.Tensor) -> tf.Tensor:
        """Logits float32 `[…, words]` of `[…, width]`."""
        # As one matrix: of a product of three dimensions and two, TensorFlow computes the gradient
        # of the second once for each row of a batch.
        flat = tf.reshape(hidden, [-1, hidden.shape[-1]])
        logits = tf.matmul(flat, self.kernel, transpose_b=True) + self.bias
        return tf.reshape(logits, tf.concat([tf.shape(hidden)[:-1], [self._words]], axis=0))

    def sampled_nll(self, hidden: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Negative log-likelihood as training estimates it, of a sample of other words.

        Jean et al., 2015, "On Using Very Large Target Vocabulary for Neural Machine Translation":
        one sample of distinct words serves all labels, and the logarithm of a word's chance to be
        in the sample is subtracted from its logit. A label that is in the sample too counts once.

        Args:
            hidden: `[n, width]`.
            labels: int32 `[n]`.

        Returns:
            float32 `[n]`.
        """
        if not self._candidates:
            return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, self(hidden))
        hidden = tf.cast(hidden, tf.float32)
        drawn, end = self.draw()
        others = tf.matmul(hidden, tf.gather(self.kernel.value, drawn), transpose_b=True)
        others += self._offsets(drawn, end)
        others = tf.where(drawn == labels[:, tf.newaxis], others.dtype.min, others)
        wanted = tf.reduce_sum(hidden * tf.gather(self.kernel.value, labels), axis=1)
        wanted += self._offsets(labels, end)
        total = tf.reduce_logsumexp(tf.concat([wanted[:, tf.newaxis], others], axis=1), axis=1)
        return total - wanted

    def draw(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Draws candidates without replacement, by operations that XLA has on every device.

        Words are drawn as `tf.random.log_uniform_candidate_sampler` draws them, but in continuous
        time: word w arrives at a random, exponentially distributed time, at the rate
        log((w + 2) / (w + 1)) / log(words + 1), which falls with a word's rank as frequencies do.
        The first words to arrive are the candidates.

        Returns:
            Candidates int32 `[candidates]`, the first to arrive first, and when the first word
            arrived that is no candidate. Up to an end e a word has arrived with the probability
            1 - exp(-e · rate): see `chances`.
        """
        uniform = keras.random.uniform((self._words,), dtype="float32", seed=self.seed_generator)
        arrivals = -tf.math.log1p(-uniform) / self._rates(tf.range(self._words))
        first, words = tf.math.top_k(-arrivals, self._candidates + 1)
        return words[:-1], -first[-1]

    def chances(self, words: tf.Tensor, end: tf.Tensor) -> tf.Tensor:
        """Probabilities of words `[n]` to have arrived before an end, as `draw` returns it."""
        return -tf.math.expm1(-end * self._rates(words))

    def _rates(self, words: tf.Tensor) -> tf.Tensor:
        rank = tf.cast(words, tf.float32)
        return tf.math.log1p(1.0 / (rank + 1.0)) / math.log(self._words + 1.0)

    def _offsets(self, words: tf.Tensor, end: tf.Tensor) -> tf.Tensor:
        """What is added to the words' products: bias, less the log of the chance of being drawn."""
        return tf.gather(self.bias.value, words) - tf.math.log(self.chances(words, end))
