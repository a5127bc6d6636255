"""BERT's serving functions: raw strings in, dense padded tensors out, batch dimension first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from models.text_vectors import ReadTexts, vector_requests, vector_signatures
from models.tokenizers.tokenizer import Tokenizer

if TYPE_CHECKING:
    from models.bert.pretraining import BertPretraining

FILL_MASK_CHOICES = 5
"""Words that `fill_mask` gives for each [MASK], best first."""


def make_signatures(
    model: BertPretraining, tokenizer: Tokenizer, max_length: int
) -> Mapping[str, Callable]:
    """`serving_default`, `hidden_states`, `fill_mask` and, of a model of pairs, `next_sentence`.

    Texts of any length may share a batch; an empty one is `[CLS] [SEP]`. What does not fit
    `max_length` tokens, special ones included, is cut at the end (for a pair: at the end of the
    longer side). Outputs are as long as the batch's longest text.

    Args:
        max_length: positions that training has seen.
    """
    special = tokenizer.special_ids
    start, end, padding = special["start"], special["end"], special["padding"]

    def encode(ids: tf.RaggedTensor, segments: tf.RaggedTensor) -> dict[str, tf.Tensor]:
        features = {
            "token_ids": ids.to_tensor(padding),
            "segment_ids": segments.to_tensor(),
            "padding_mask": tf.ones_like(ids).to_tensor(),
        }
        # For an empty batch a text of padding, which callers cut off again: the pooler needs a
        # first position, and Keras's take_along_axis a row.
        empty = tf.cast(tf.equal(ids.nrows(), 0), tf.int32)
        room = [[0, empty], [0, empty]]
        features = {name: tf.pad(value, room) for name, value in features.items()}
        return features | model.backbone(features, training=False)

    def framed(ids: tf.RaggedTensor, first: int, last: int) -> tf.RaggedTensor:
        """The batch cut to what fits, with `first` before and `last` after each row."""
        ids = ids[:, : max_length - 2]
        edge = tf.ones([ids.nrows(), 1], ids.dtype)
        return tf.concat([edge * first, ids, edge * last], axis=1)

    def read(texts: tf.Tensor) -> ReadTexts:
        """Pooled is tanh of a dense layer over [CLS]."""
        ids, starts, limits = tokenizer.tokenize_with_offsets(texts)
        ids = framed(ids, start, end)
        encoded = encode(ids, tf.zeros_like(ids))
        batch = tf.size(texts)
        return ReadTexts(
            tokens=tokenizer.tokens(ids).to_tensor(""),
            starts=framed(starts, 0, 0).to_tensor(),
            limits=framed(limits, 0, 0).to_tensor(),
            padding_mask=encoded["padding_mask"][:batch],
            pooled=encoded["pooled"][:batch],
            hidden_states=encoded["hidden_states"][:batch],
        )

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "texts")])
    def fill_mask(texts: tf.Tensor) -> dict[str, tf.Tensor]:
        """The likeliest words for each [MASK] of each text.

        Returns:
            words string and probabilities float32 `[batch, masks, 5]`, best first, where `masks`
            is the batch's highest number of them; rows beyond a text's own masks hold "" and 0.
            mask_count int32 `[batch]`, each text's own that were read, cut_mask_count int32
            `[batch]`, those after them that were cut off, and token_limit int32 `[batch]`, the
            tokens that are read of a text at most, [CLS] and [SEP] included.
        """
        whole = tokenizer.tokenize_masked(texts)
        in_text = tf.reduce_sum(tf.cast(tf.equal(whole, special["mask"]), tf.int32), axis=1)
        ids = framed(whole, start, end)
        encoded = encode(ids, tf.zeros_like(ids))
        masked = tf.equal(encoded["token_ids"], special["mask"])
        count = tf.reduce_sum(tf.cast(masked, tf.int32), axis=1)
        # A stable sort on "not masked" brings the masked positions to the front, in order.
        first = tf.argsort(tf.cast(~masked, tf.int32), axis=1, stable=True)
        positions = first[:, : tf.reduce_max(count)]
        logits = model.masked_lm_head(encoded["sequence_output"], positions)
        probabilities = tf.nn.softmax(logits, axis=-1)
        best = tf.math.top_k(probabilities, k=FILL_MASK_CHOICES)
        real = tf.sequence_mask(count, tf.shape(positions)[1])[:, :, tf.newaxis]
        batch = tf.size(texts)
        read_count = count[:batch]
        return {
            "words": tf.where(real, tokenizer.tokens(best.indices), "")[:batch],
            "probabilities": tf.where(real, best.values, 0.0)[:batch],
            "mask_count": read_count,
            "cut_mask_count": in_text - read_count,
            "token_limit": tf.fill([batch], max_length),
        }

    signatures = {**vector_signatures(read), "fill_mask": fill_mask}
    head = model.next_sentence_head
    if head is None:
        return signatures

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, "first"),
            tf.TensorSpec([None], tf.string, "second"),
        ]
    )
    def next_sentence(first: tf.Tensor, second: tf.Tensor) -> dict[str, tf.Tensor]:
        """Whether the second text follows the first.

        Returns:
            probability float32 `[batch]`.
        """
        a, b = tokenizer.tokenize(first), tokenizer.tokenize(second)
        a, b = _longest_first(a, b, max_length - 3)
        edge = tf.ones([a.nrows(), 1], a.dtype)
        ids = tf.concat([edge * start, a, edge * end, b, edge * end], axis=1)
        segments = tf.concat([edge * 0, tf.zeros_like(a), edge * 0, tf.ones_like(b), edge], axis=1)
        logits = head(encode(ids, segments)["pooled"])
        probability = tf.nn.softmax(logits, axis=-1)[:, 0]
        return {"probability": probability[: tf.size(first)]}

    return {**signatures, "next_sentence": next_sentence}


def _longest_first(
    a: tf.RaggedTensor, b: tf.RaggedTensor, max_tokens: int
) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
    """Cuts tokens from the end of the longer side until both fit, row by row."""
    a_length, b_length = a.row_lengths(), b.row_lengths()
    half = tf.constant((max_tokens + 1) // 2, a_length.dtype)
    a_left = tf.minimum(a_length, tf.maximum(half, max_tokens - b_length))
    b_left = tf.minimum(b_length, max_tokens - a_left)
    return _first_tokens(a, a_left), _first_tokens(b, b_left)


def _first_tokens(ids: tf.RaggedTensor, lengths: tf.Tensor) -> tf.RaggedTensor:
    position = tf.ragged.range(ids.row_lengths())
    return tf.ragged.boolean_mask(ids, position < tf.expand_dims(lengths, axis=1))


def warmup_requests(*, pairs: bool = True) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """Requests that a server answers before it takes others; no text spells a special token but
    [MASK].

    Args:
        pairs: whether there is a `next_sentence`.
    """
    requests: dict[str, Sequence[Mapping[str, Any]]] = {
        **vector_requests(),
        "fill_mask": [
            {"texts": ["The people of this [MASK] want peace.", "No word is hidden here."]},
            {"texts": ["The [MASK] will vote on the [MASK] next week."]},
        ],
    }
    if pairs:
        requests["next_sentence"] = [
            {
                "first": ["The harvest was poor this year.", "The harvest was poor this year."],
                "second": ["Bread will cost more in winter.", "Our ships sail in the morning."],
            }
        ]
    return requests
