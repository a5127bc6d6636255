"""How texts become GPT's inputs: an end-of-text token before each text.

Training windows (`models/gpt/examples.py`) are cut out of a stream of documents in NumPy, because
they begin and end inside of documents. A window that begins with a document has the features that
`frame` gives for that document; tests/models/gpt/inputs_test.py checks it.
"""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from models.framing import Framed, Text, cut, join


def frame(
    first: tf.RaggedTensor,
    second: tf.RaggedTensor | None = None,
    *,
    special_ids: Mapping[str, int],
    max_length: int | None = None,
    time: int | None = None,
) -> Framed:
    """See `models.framing.Frame`; the features are those of `row_features`."""
    end_of_text = special_ids["end_of_text"]
    if max_length is not None:
        first, second = cut(first, second, max_length - (1 if second is None else 2))
    texts = [Text([end_of_text], ids, []) for ids in (first, second) if ids is not None]
    joined = join(texts, end_of_text, time)
    return joined.framed(_features(joined.ids, joined.padding_mask))


def after_end_of_text(ids: tf.RaggedTensor, special_ids: Mapping[str, int]) -> tf.RaggedTensor:
    """Token ids `[batch, (tokens)]` with the end-of-text token before each row."""
    token = tf.cast(special_ids["end_of_text"], ids.dtype)
    return tf.concat([tf.fill([ids.nrows(), 1], token), ids], axis=1)


def row_features(ids: tf.RaggedTensor, special_ids: Mapping[str, int]) -> Mapping[str, tf.Tensor]:
    """The decoder's inputs for rows of token ids `[batch, (time)]`, special tokens included.

    Returns:
        Int32 `[batch, time]`: `token_ids`, `padding_mask` (1 for a real token) and `position_ids`
        (from 0 in each row; 0 for padding).
    """
    padding_mask = tf.ones_like(ids).to_tensor()
    return _features(ids.to_tensor(special_ids["end_of_text"]), padding_mask)


def _features(token_ids: tf.Tensor, padding_mask: tf.Tensor) -> dict[str, tf.Tensor]:
    return {
        "token_ids": token_ids,
        "padding_mask": padding_mask,
        "position_ids": (tf.cumsum(padding_mask, axis=1) - 1) * padding_mask,
    }
