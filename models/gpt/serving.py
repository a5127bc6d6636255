"""GPT's signatures: raw strings in, dense padded tensors out, batch dimension first."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from models.gpt import generation
from models.gpt.backbone import GptDecoder
from models.gpt.inputs import after_end_of_text, frame, row_features
from models.gpt.pretraining import GptPretraining
from models.text_vectors import vector_requests, vector_signatures
from models.tokenizers.tokenizer import Tokenizer

_TOKENS_AT_ONCE = 8_192  # tokens whose logits are in memory at once while texts are scored


def make_signatures(
    model: GptPretraining, tokenizer: Tokenizer, max_length: int
) -> Mapping[str, Callable]:
    """`serving_default`, `hidden_states`, `score` and `generate`.

    Texts of any length may share a batch. As in training, an end-of-text token precedes each text,
    so an empty text is that token alone.

    Args:
        max_length: positions that training has seen.
    """
    framed = functools.partial(frame, special_ids=tokenizer.special_ids, max_length=max_length)
    return {
        **vector_signatures(model.backbone, tokenizer, framed),
        "score": _score(model.backbone, tokenizer, max_length),
        "generate": _generate(model.backbone, tokenizer, max_length),
    }


def _score(backbone: GptDecoder, tokenizer: Tokenizer, max_length: int) -> Callable:
    special_ids = tokenizer.special_ids

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "texts")], autograph=False)
    def score(texts: tf.Tensor) -> dict[str, tf.Tensor]:
        """The probability of texts of any length.

        A text longer than the training windows is read in windows of that length; each begins with
        the last token of the previous window, as in evaluation.

        Returns:
            log_probabilities float32 `[batch, time]`, each token's natural logarithm (0 for
            padding), tokens string `[batch, time]`, total float32 `[batch]`, their sum, perplexity
            float32 `[batch]`, exp(-total / tokens), 1 for an empty text, and token_count int32
            `[batch]`.
        """
        ids = tokenizer.tokenize(texts)
        sizes = tf.cast(ids.row_lengths(), tf.int32)
        windows, labels = (
            _windows(values, sizes, max_length)
            for values in (after_end_of_text(ids, special_ids)[:, :-1], ids)
        )
        by_text = ids.with_flat_values(
            _log_probabilities(backbone, special_ids, windows, labels, max_length)
        )
        total = tf.reduce_sum(by_text, axis=1)
        count = tf.cast(tf.maximum(sizes, 1), tf.float32)
        return {
            "log_probabilities": by_text.to_tensor(),
            "tokens": tokenizer.tokens(ids).to_tensor(""),
            "total": total,
            "perplexity": tf.exp(-total / count),
            "token_count": sizes,
        }

    return score


def _windows(values: tf.RaggedTensor, sizes: tf.Tensor, max_length: int) -> tf.RaggedTensor:
    """Cuts rows into windows of `max_length` tokens; the last window of a row may be shorter.

    Args:
        values: `[batch, (tokens)]`.
        sizes: int32 `[batch]`, tokens of each row.
    """
    number = tf.ragged.range(-(-sizes // max_length))
    rest = tf.gather(sizes, number.value_rowids()) - number.flat_values * max_length
    return tf.RaggedTensor.from_row_lengths(
        values.flat_values, tf.minimum(rest, max_length), validate=False
    )


def _log_probabilities(
    backbone: GptDecoder,
    special_ids: Mapping[str, int],
    windows: tf.RaggedTensor,
    labels: tf.RaggedTensor,
    max_length: int,
) -> tf.Tensor:
    """Log-probabilities of labels, float32 `[tokens]`, some windows at a time.

    Args:
        windows: the tokens that are read, `[windows, (tokens)]`.
        labels: the token that follows each, in the same shape.
        max_length: tokens of a window, at most.
    """
    at_once = max(1, _TOKENS_AT_ONCE // max_length)
    parts = -(-tf.cast(windows.nrows(), tf.int32) // at_once)
    results = tf.TensorArray(tf.float32, parts, infer_shape=False, element_shape=[None])

    def compute(part: tf.Tensor, results: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
        rows = slice(part * at_once, (part + 1) * at_once)
        features = row_features(windows[rows], special_ids)
        logits = backbone.logits(backbone(features, training=False)["sequence_output"])
        nll = tf.nn.sparse_softmax_cross_entropy_with_logits(labels[rows].to_tensor(), logits)
        real = tf.RaggedTensor.from_tensor(nll, lengths=windows[rows].row_lengths())
        return part + 1, results.write(part, -real.flat_values)

    _, results = tf.while_loop(
        lambda part, _: part < parts, compute, (0, results), parallel_iterations=1
    )
    return tf.cond(parts > 0, results.concat, lambda: tf.zeros([0]))


def _generate(backbone: GptDecoder, tokenizer: Tokenizer, max_length: int) -> Callable:
    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, "prompt"),
            tf.TensorSpec([None], tf.int32, "length"),
            tf.TensorSpec([None], tf.float32, "temperature"),
            tf.TensorSpec([None], tf.int32, "top_k"),
            tf.TensorSpec([None], tf.float32, "top_p"),
            tf.TensorSpec([None], tf.int64, "seed"),
            tf.TensorSpec([None], tf.string, "stop"),
        ],
        autograph=False,
    )
    def generate(
        prompt: tf.Tensor,
        length: tf.Tensor,
        temperature: tf.Tensor,
        top_k: tf.Tensor,
        top_p: tf.Tensor,
        seed: tf.Tensor,
        stop: tf.Tensor,
    ) -> Mapping[str, tf.Tensor]:
        """Continues each prompt; see `models.gpt.generation.generate`."""
        return generation.generate(
            backbone,
            tokenizer,
            tokenizer.tokenize(prompt),
            length,
            generation.Sampling(temperature, top_k, top_p),
            seed,
            stop,
            max_length,
        )

    return generate


def warmup_requests() -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """Requests that a server answers before it takes others."""
    vectors = vector_requests()
    return {
        **vectors,
        "score": vectors["serving_default"],
        "generate": [
            {
                "prompt": ["The people of this country", ""],
                "length": [8, 4],
                "temperature": [0.0, 0.8],
                "top_k": [0, 40],
                "top_p": [1.0, 0.95],
                "seed": [0, 1],
                "stop": ["", "\n"],
            }
        ],
    }
