"""A minimal family whose metrics can be computed by hand.

A text's tokens are its words, and a word's id is its index in the vocabulary. For an example, the
model returns `nll_sum`, the sum of its ids' weights, `token_count`, the number of ids that are not
0, and `correct_count`, the number of ids that are 1.
"""

import pathlib

import keras
import numpy as np
import tensorflow as tf

from models.metric import Metric
from models.objective import Feature, Loss

LENGTH = 4
WORDS = ("", "the", "river", "bank")


class WordTokenizer(tf.Module):
    """Words of a fixed list, by white space; unknown words are 0."""

    def __init__(self, words=WORDS):
        super().__init__()
        self.words = words
        self.table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(list(words), tf.range(len(words))), 0
        )

    @property
    def vocabulary(self):
        return self.words

    def tokenize(self, texts):
        words = tf.strings.split(texts)
        return words.with_values(self.table.lookup(words.values))

    def save(self, folder: pathlib.Path):
        (folder / "words.txt").write_text("\n".join(self.words))


class LetterObjective:
    """Sums over an embedding table of width 1."""

    def __init__(self, lower_bound=None, max_regression=None, end="worse"):
        self.lower_bound = lower_bound
        self.max_regression = max_regression
        self.end = end

    def feature_spec(self):
        return {
            "token_ids": Feature((LENGTH,), "int64", "ids, 0 for padding"),
            "source": Feature((1,), "string", "slice key"),
            "length": Feature((1,), "string", "slice key"),
        }

    def example(self, ids, source=b"a", length=b"001-004"):
        return {
            "token_ids": np.array(ids, np.int64),
            "source": np.array([source], object),
            "length": np.array([length], object),
        }

    def build_model(self, weights=(0.0, 0.5, 1.0, 2.0)):
        ids = keras.Input((LENGTH,), dtype="int32", name="token_ids")
        table = keras.layers.Embedding(len(weights), 1, name="table")
        nll = keras.ops.squeeze(table(ids), -1)
        real = keras.ops.cast(keras.ops.greater(ids, 0), "float32")
        model = keras.Model(
            {"token_ids": ids},
            {
                "nll_sum": keras.ops.sum(nll * real, -1),
                "token_count": keras.ops.sum(real, -1),
                "correct_count": keras.ops.sum(
                    keras.ops.cast(keras.ops.equal(ids, 1), "float32"), -1
                ),
            },
        )
        table.set_weights([np.array(weights, np.float32)[:, None]])
        model.baselines = ()
        return model

    def logits_per_example(self):
        return 4 * 4  # four tokens, four words

    def losses(self):
        return [Loss("nll_sum", "token_count")]

    @property
    def config(self):
        """The objective is its own settings."""
        return self

    def metrics(self):
        return [
            Metric("loss", "nll_sum", "token_count", higher_is_better=False),
            Metric(
                "perplexity",
                "nll_sum",
                "token_count",
                exponentiate=True,
                higher_is_better=False,
                max_regression=self.max_regression,
                end=self.end,
            ),
            Metric(
                "accuracy",
                "correct_count",
                "token_count",
                lower_bound=self.lower_bound,
                end=self.end,
            ),
        ]

    def signatures(self, model, tokenizer):
        table = model.get_layer("table")

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "texts")])
        def embed(texts):
            ids = tokenizer.tokenize(texts).to_tensor()
            return {"vectors": table(ids), "token_ids": ids}

        return {"serving_default": embed, "embed": embed}

    def warmup_requests(self):
        return {"embed": [{"texts": ["the river bank", "the bank"]}]}
