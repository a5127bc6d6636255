"""The softmax over words that both directions of ELMo share, full or sampled."""

from __future__ import annotations

import math

import keras
import tensorflow as tf


class WordSoftmax(keras.layers.Layer):
    """Logits of words: h · kernel[w] + bias[w].

    Args:
        words: number of words; sampling requires that they are sorted by frequency.
        width: width of the hidden vectors.
        num_sampled: words that `sampled_nll` draws; 0 or the number of words: it uses all words.

    Attributes:
        kernel: `[words, width]`.
        bias: `[words]`.

    Logits are float32, whatever the precision of the other layers: rounded to bfloat16, a logit of
    10 would have an error of up to 0.03, and so would the loss. TensorFlow has no bfloat16 product
    with a float32 result on a CPU; on a TPU every float32 product is computed that way.
    """

    def __init__(self, words: int, width: int, num_sampled: int, name: str = "softmax") -> None:
        super().__init__(name=name, dtype="float32")
        self._words = words
        self._num_sampled = num_sampled if 0 < num_sampled < words else 0
        # With autocast, `sampled_nll` would get the weights in the precision of the calling model.
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
        # As one matrix: for a product of a 3-D and a 2-D tensor, TensorFlow computes the gradient
        # of the second once for each row of the batch.
        flat = tf.reshape(hidden, [-1, hidden.shape[-1]])
        logits = tf.matmul(flat, self.kernel, transpose_b=True) + self.bias
        return tf.reshape(logits, tf.concat([tf.shape(hidden)[:-1], [self._words]], axis=0))

    def sampled_nll(self, hidden: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Negative log-likelihood, estimated in training from a sample of the other words.

        Jean et al., 2015, "On Using Very Large Target Vocabulary for Neural Machine Translation":
        all labels share one sample of distinct words, and the logarithm of a word's probability to
        be in the sample is subtracted from its logit. A label that is in the sample counts once.

        Args:
            hidden: `[n, width]`.
            labels: int32 `[n]`.

        Returns:
            float32 `[n]`.
        """
        if not self._num_sampled:
            return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, self(hidden))
        hidden = tf.cast(hidden, tf.float32)
        drawn, end = self.draw()
        others = tf.matmul(hidden, tf.gather(self.kernel.value, drawn), transpose_b=True)
        others += self._offsets(drawn, end)
        others = tf.where(drawn == labels[:, tf.newaxis], others.dtype.min, others)
        true_logits = tf.reduce_sum(hidden * tf.gather(self.kernel.value, labels), axis=1)
        true_logits += self._offsets(labels, end)
        total = tf.reduce_logsumexp(tf.concat([true_logits[:, tf.newaxis], others], axis=1), axis=1)
        return total - true_logits

    def draw(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Draws words without replacement, with operations that XLA has on every device.

        The distribution is that of `tf.random.log_uniform_candidate_sampler`, in continuous time:
        word w arrives at a random, exponentially distributed time, at the rate
        log((w + 2) / (w + 1)) / log(words + 1), which decreases with a word's rank as frequencies
        do. The first words to arrive are the sample.

        Returns:
            Words int32 `[num_sampled]` in the order of arrival, and the time at which the next word
            arrived. Until a time e a word arrives with the probability 1 - exp(-e · rate); see
            `chances`.
        """
        uniform = keras.random.uniform((self._words,), dtype="float32", seed=self.seed_generator)
        arrivals = -tf.math.log1p(-uniform) / self._rates(tf.range(self._words))
        first, words = tf.math.top_k(-arrivals, self._num_sampled + 1)
        return words[:-1], -first[-1]

    def chances(self, words: tf.Tensor, end: tf.Tensor) -> tf.Tensor:
        """Probabilities of words `[n]` to have arrived before the time `end` that `draw`
        returns."""
        return -tf.math.expm1(-end * self._rates(words))

    def _rates(self, words: tf.Tensor) -> tf.Tensor:
        rank = tf.cast(words, tf.float32)
        return tf.math.log1p(1.0 / (rank + 1.0)) / math.log(self._words + 1.0)

    def _offsets(self, words: tf.Tensor, end: tf.Tensor) -> tf.Tensor:
        """The bias of words, minus the logarithm of their probability to be drawn."""
        return tf.gather(self.bias.value, words) - tf.math.log(self.chances(words, end))
