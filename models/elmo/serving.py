"""ELMo's serving functions: raw strings in, dense padded tensors out, batch dimension first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from models.elmo.pretraining import ElmoPretraining
from models.text_vectors import ReadTexts, vector_requests, vector_signatures
from models.tokenizers.character import SENTENCE_END, SENTENCE_START
from models.tokenizers.tokenizer import Tokenizer


def make_signatures(model: ElmoPretraining, tokenizer: Tokenizer) -> Mapping[str, Callable]:
    """`serving_default` and `hidden_states`.

    Texts of any length may share a batch. Each is read as one sentence between <S> and </S>, as in
    training, so an empty one is these two alone.
    """

    def framed(rows: tf.RaggedTensor, first: Any, last: Any) -> tf.RaggedTensor:
        """The batch with `first` before and `last` after each row."""
        edges = (
            tf.repeat(tf.constant(edge, rows.dtype)[tf.newaxis, tf.newaxis], rows.nrows(), axis=0)
            for edge in (first, last)
        )
        before, after = (tf.RaggedTensor.from_tensor(edge, ragged_rank=1) for edge in edges)
        return tf.concat([before, rows, after], axis=1)

    def read(texts: tf.Tensor) -> ReadTexts:
        """Pooled is the last layer's forward half after the last word and its backward half before
        the first."""
        rows, starts, limits = tokenizer.tokenize_with_offsets(texts)
        rows = framed(rows, SENTENCE_START, SENTENCE_END)
        mask = tf.sequence_mask(rows.row_lengths(), dtype=tf.int32)
        outputs = model.backbone(
            {"character_ids": rows.to_tensor(), "padding_mask": mask}, training=False
        )
        states = outputs["sequence_output"]
        last = tf.cast(rows.row_lengths(), tf.int32) - 1
        half = states.shape[-1] // 2
        pooled = [
            tf.gather(states[:, :, :half], last, batch_dims=1),
            # Not states[:, 0]: a batch of no text has no first word.
            tf.gather(states[:, :, half:], tf.zeros_like(last), batch_dims=1),
        ]
        return ReadTexts(
            tokens=tokenizer.tokens(rows).to_tensor(""),
            starts=framed(starts, 0, 0).to_tensor(),
            limits=framed(limits, 0, 0).to_tensor(),
            padding_mask=outputs["padding_mask"],
            pooled=tf.concat(pooled, axis=-1),
            hidden_states=outputs["hidden_states"],
        )

    return vector_signatures(read)


def warmup_requests() -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """Requests that a server answers before it takes others."""
    return vector_requests()
