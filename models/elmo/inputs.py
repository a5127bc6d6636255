"""How texts become ELMo's inputs: <S> and </S> around each text, as rows of characters.

Training windows (`models/elmo/examples.py`) are cut out of a stream of sentences in NumPy: each
direction reads its own sequence, without the marker that it only predicts, and a window begins and
ends inside of sentences. The forward sequence of one sentence is what `frame` gives for it, without
the </S> at its end; tests/models/elmo/inputs_test.py checks that.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from models.framing import Framed, Text, cut, join
from models.tokenizers.character import SENTENCE_END, SENTENCE_START, WORD_LENGTH


def frame(
    first: tf.RaggedTensor,
    second: tf.RaggedTensor | None = None,
    *,
    special_ids: Mapping[str, int] | None = None,
    max_length: int | None = None,
    time: int | None = None,
) -> Framed:
    """See `models.framing.Frame`.

    Args:
        special_ids: not used: the markers are rows of characters, the same for every vocabulary.

    Returns:
        Features int32: `character_ids` `[batch, time, 50]`, 0 for padding, and `padding_mask`
        `[batch, time]`, 1 for a real word.
    """
    del special_ids
    if max_length is not None:
        first, second = cut(first, second, max_length - (2 if second is None else 4))
    texts = [
        Text([SENTENCE_START], rows, [SENTENCE_END]) for rows in (first, second) if rows is not None
    ]
    joined = join(texts, np.zeros(WORD_LENGTH, np.int32), time)
    return joined.framed({"character_ids": joined.ids, "padding_mask": joined.padding_mask})
