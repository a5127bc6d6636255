"""How texts become BERT's inputs: [CLS] A [SEP], or [CLS] A [SEP] B [SEP]."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from models.framing import Framed, Text, cut, join

SINGLE_SPECIAL_TOKENS = 2
"""Special tokens of a row with one text."""
PAIR_SPECIAL_TOKENS = 3
"""Special tokens of a row with two texts."""


def frame(
    first: tf.RaggedTensor,
    second: tf.RaggedTensor | None = None,
    *,
    special_ids: Mapping[str, int],
    max_length: int | None = None,
    time: int | None = None,
) -> Framed:
    """See `models.framing.Frame`.

    Returns:
        Features int32 `[batch, time]`: `token_ids`, `segment_ids` (1 for B and the [SEP] after it)
        and `padding_mask` (1 for a real token).
    """
    start, end = special_ids["start"], special_ids["end"]
    if max_length is not None:
        special = SINGLE_SPECIAL_TOKENS if second is None else PAIR_SPECIAL_TOKENS
        first, second = cut(first, second, max_length - special)
    texts = [Text([start], first, [end])]
    if second is not None:
        texts.append(Text([], second, [end]))
    joined = join(texts, special_ids["padding"], time)
    return joined.framed(
        {
            "token_ids": joined.ids,
            "segment_ids": joined.segments,
            "padding_mask": joined.padding_mask,
        }
    )
