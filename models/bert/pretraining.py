"""BERT's pretraining model: the encoder, its two heads, and sums per example."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import keras_hub
import numpy as np

from models.baselines import Baseline, UnigramBaseline
from models.bert.backbone import BertEncoder
from models.transformer import ACTIVATIONS


class MajorityBaseline(Baseline):
    """Predicts for every pair the more frequent label of the training pairs.

    The label is a table, which is 0 until `fill` is called.
    """

    def __init__(self) -> None:
        super().__init__("majority")
        self.add_table("label", np.float32(0))

    def call(self, labels: keras.KerasTensor) -> keras.KerasTensor:
        """Correctness (0 or 1) of labels, float32 in their shape."""
        answer = self.table("label")
        return keras.ops.cast(keras.ops.equal(keras.ops.cast(labels, "float32"), answer), "float32")

    def fill(self, counts: np.ndarray) -> None:
        """Sets the label from the occurrences of each label, `[2]`; 0 if both are equally
        frequent."""
        self.assign("label", np.float32(counts[1] > counts[0]))


class BertPretraining(keras.Model):
    """Masked words and next sentence over one encoder (Devlin et al., 2019, section 3.1).

    Inputs: the int32 and float32 features of `BertObjective.feature_spec`, `[batch, *shape]`, of
    any length and number of masks.
    Outputs: sums per example, float32 `[batch]`, by the names that losses and metrics use.

    The masked-LM head sees the masked positions only and shares the token embedding.

    Args:
        backbone: the encoder.
        pairs: whether examples have a second segment, whose label is predicted.

    Attributes:
        backbone: the encoder.
        masked_lm_head: (sequence `[batch, time, width]`, positions `[batch, masks]`) → logits
            float32 `[batch, masks, vocabulary]`.
        next_sentence_head: pooled `[batch, width]` → logits float32 `[batch, 2]`; class 0 is "B
            follows A", as in published heads. None without pairs, as is `majority`.
        unigram: the masked words' baseline.
        majority: the next sentence's baseline.
        baselines: both of these.
    """

    def __init__(self, backbone: BertEncoder, *, pairs: bool = True) -> None:
        config = backbone.config
        initializer = keras.initializers.TruncatedNormal(stddev=config.initializer_range)
        masked_lm_head = _MaskedLMHead(
            entries=backbone.vocabulary_size,
            token_embedding=backbone.token_embedding,
            intermediate_activation=ACTIVATIONS[config.activation],
            layer_norm_epsilon=config.layer_norm_epsilon,
            kernel_initializer=initializer,
            dtype="float32",  # the only type of its bias; the embedding computes in its own policy
            name="masked_lm_head",
        )
        next_sentence_head = majority = None
        unigram = UnigramBaseline(backbone.vocabulary_size)

        def feature(name: str, length: int | None, dtype: str = "int32") -> keras.KerasTensor:
            return keras.Input((length,), dtype=dtype, name=name)

        tokens = {
            name: feature(name, None) for name in ("token_ids", "segment_ids", "padding_mask")
        }
        positions = feature("mask_positions", None)
        labels = feature("mask_ids", None)
        weights = feature("mask_weights", None, "float32")
        inputs = tokens | {
            "mask_positions": positions,
            "mask_ids": labels,
            "mask_weights": weights,
        }

        encoded = backbone(tokens)
        outputs = _masked_lm_sums(
            masked_lm_head(encoded["sequence_output"], positions), labels, weights
        )
        nll, correct = unigram(labels)
        outputs["unigram_nll_sum"] = keras.ops.sum(nll * weights, axis=-1)
        outputs["unigram_correct_count"] = keras.ops.sum(correct * weights, axis=-1)
        if pairs:
            next_sentence_head = keras.layers.Dense(
                2, kernel_initializer=initializer, dtype="float32", name="next_sentence_head"
            )
            majority = MajorityBaseline()
            inputs["next_sentence_label"] = feature("next_sentence_label", 1)
            label = keras.ops.squeeze(inputs["next_sentence_label"], axis=-1)
            outputs |= _next_sentence_sums(next_sentence_head(encoded["pooled"]), label)
            outputs["next_sentence_majority_correct_count"] = majority(label)
        super().__init__(inputs=inputs, outputs=outputs, name="bert_pretraining")
        self.backbone = backbone
        self.masked_lm_head = masked_lm_head
        self.next_sentence_head = next_sentence_head
        self.unigram = unigram
        self.majority = majority
        self.baselines = (unigram,) if majority is None else (unigram, majority)

    def __call__(
        self, features: Mapping[str, keras.KerasTensor], **options: Any
    ) -> dict[str, keras.KerasTensor]:
        """Sums of a batch; other features, such as `source`, are ignored."""
        return super().__call__({name: features[name] for name in self.input}, **options)


class _MaskedLMHead(keras_hub.layers.MaskedLMHead):
    """KerasHub's head, with the positions of a batch as one row.

    For `[batch, masks, width] @ [width, vocabulary]` TensorFlow computes the gradient of the matrix
    once for each row of the batch and then adds the results, which took half of a narrow BERT's
    step.

    Args:
        entries: entries of the tokenizer. Rows of the embedding beyond them have no logits, so they
            are never predicted.
    """

    def __init__(self, entries: int, **options: Any) -> None:
        super().__init__(**options)
        self._entries = entries

    def call(
        self, inputs: keras.KerasTensor, mask_positions: keras.KerasTensor
    ) -> keras.KerasTensor:
        ops = keras.ops
        batch, time, width = ops.shape(inputs)
        rows = ops.arange(batch, dtype=mask_positions.dtype)[:, None]
        places = ops.reshape(rows * time + mask_positions, (1, -1))
        logits = super().call(ops.reshape(inputs, (1, -1, width)), places)
        logits = logits[..., : self._entries]
        return ops.reshape(logits, (batch, ops.shape(mask_positions)[1], self._entries))

    def compute_output_shape(
        self, inputs_shape: tuple[int | None, ...], mask_positions_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        """The shape of what `call` returns."""
        return *mask_positions_shape, self._entries


def _masked_lm_sums(
    logits: keras.KerasTensor, labels: keras.KerasTensor, weights: keras.KerasTensor
) -> dict[str, keras.KerasTensor]:
    nll = keras.ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    best = keras.ops.cast(keras.ops.argmax(logits, axis=-1), labels.dtype)
    correct = keras.ops.cast(keras.ops.equal(best, labels), "float32")
    return {
        "masked_lm_nll_sum": keras.ops.sum(nll * weights, axis=-1),
        "masked_lm_correct_count": keras.ops.sum(correct * weights, axis=-1),
        "masked_lm_token_count": keras.ops.sum(weights, axis=-1),
    }


def _next_sentence_sums(
    logits: keras.KerasTensor, labels: keras.KerasTensor
) -> Mapping[str, keras.KerasTensor]:
    best = keras.ops.cast(keras.ops.argmax(logits, axis=-1), labels.dtype)
    return {
        "next_sentence_nll_sum": keras.ops.sparse_categorical_crossentropy(
            labels, logits, from_logits=True
        ),
        "next_sentence_correct_count": keras.ops.cast(keras.ops.equal(best, labels), "float32"),
        "next_sentence_count": keras.ops.ones_like(labels, dtype="float32"),
    }
