"""BERT's signatures: raw strings in, dense padded tensors out, batch dimension first."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from models.bert.inputs import frame
from models.text_vectors import run_backbone, vector_requests, vector_signatures
from models.tokenizers.tokenizer import Tokenizer

if TYPE_CHECKING:
    import keras

    from models.bert.pretraining import BertPretraining

FILL_MASK_CHOICES = 5
"""Words that `fill_mask` gives for each [MASK], best first."""


def make_signatures(
    model: BertPretraining, tokenizer: Tokenizer, max_length: int
) -> Mapping[str, Callable]:
    """`serving_default`, `hidden_states`, `fill_mask` and, for a model of pairs, `next_sentence`.

    Texts of any length may share a batch; an empty text is `[CLS] [SEP]`. Tokens beyond
    `max_length`, special tokens included, are cut off at the end of the text (for a pair, at the
    end of the longer text). Outputs are as long as the batch's longest text.

    Args:
        max_length: positions that training has seen.
    """
    framed = functools.partial(frame, special_ids=tokenizer.special_ids, max_length=max_length)
    signatures = {
        **vector_signatures(model.backbone, tokenizer, framed),
        "fill_mask": _fill_mask(model, tokenizer, max_length),
    }
    head = model.next_sentence_head
    if head is not None:
        signatures["next_sentence"] = _next_sentence(model, head, tokenizer, max_length)
    return signatures


def _fill_mask(model: BertPretraining, tokenizer: Tokenizer, max_length: int) -> Callable:
    mask_id = tokenizer.special_ids["mask"]

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "texts")])
    def fill_mask(texts: tf.Tensor) -> dict[str, tf.Tensor]:
        """The most probable words for each [MASK] of each text.

        Returns:
            words string and probabilities float32 `[batch, masks, 5]`, best first, where `masks` is
            the largest number of masks of a text; rows beyond a text's own masks hold "" and 0.
            mask_count int32 `[batch]`, the masks that were read, cut_mask_count int32 `[batch]`,
            the masks after them that were cut off, and token_limit int32 `[batch]`, the largest
            number of tokens that are read from a text, [CLS] and [SEP] included.
        """
        ids = tokenizer.tokenize_masked(texts)
        in_text = tf.reduce_sum(tf.cast(tf.equal(ids, mask_id), tf.int32), axis=1)
        framed = frame(ids, special_ids=tokenizer.special_ids, max_length=max_length)
        masked = tf.equal(framed.ids, mask_id)
        count = tf.reduce_sum(tf.cast(masked, tf.int32), axis=1)
        # A stable sort on "not masked" moves the masked positions to the front, in order.
        order = tf.argsort(tf.cast(~masked, tf.int32), axis=1, stable=True)
        positions = order[:, : tf.reduce_max(count)]
        sequence = run_backbone(model.backbone, framed.features)["sequence_output"]
        probabilities = tf.nn.softmax(model.masked_lm_head(sequence, positions), axis=-1)
        best = tf.math.top_k(probabilities, k=FILL_MASK_CHOICES)
        real = tf.sequence_mask(count, tf.shape(positions)[1])[:, :, tf.newaxis]
        return {
            "words": tf.where(real, tokenizer.tokens(best.indices), ""),
            "probabilities": tf.where(real, best.values, 0.0),
            "mask_count": count,
            "cut_mask_count": in_text - count,
            "token_limit": tf.fill([tf.size(texts)], max_length),
        }

    return fill_mask


def _next_sentence(
    model: BertPretraining, head: keras.layers.Layer, tokenizer: Tokenizer, max_length: int
) -> Callable:
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
        framed = frame(
            tokenizer.tokenize(first),
            tokenizer.tokenize(second),
            special_ids=tokenizer.special_ids,
            max_length=max_length,
        )
        pooled = run_backbone(model.backbone, framed.features)["pooled"]
        return {"probability": tf.nn.softmax(head(pooled), axis=-1)[:, 0]}

    return next_sentence


def warmup_requests(*, pairs: bool = True) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """Requests that a server answers before it takes others.

    Args:
        pairs: whether there is a signature `next_sentence`.
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
