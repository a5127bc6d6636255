"""Tests of decoding with cached keys and values."""

import dataclasses
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.gpt.backbone import GptDecoder, build_backbone
from models.gpt.cached_decoder import CachedDecoder
from tests.testdata.little_gpt import CONFIG, tokenizer

ROWS = [[5, 6, 7, 8, 9, 10, 11], [20, 21, 22, 23, 24, 25, 26], [31, 32, 33, 34, 35, 36, 37]]


@pytest.fixture(scope="module")
def decoder() -> GptDecoder:
    return build()


def build(**fields: Any) -> GptDecoder:
    """A model with large weights, so that different inputs have different outputs."""
    keras.utils.set_random_seed(0)
    made = build_backbone(dataclasses.replace(CONFIG.backbone, **fields), tokenizer())
    rng = np.random.default_rng(0)
    for weight in made.trainable_variables:
        weight.assign(weight + rng.normal(scale=0.3, size=weight.shape))
    return made


def whole(decoder: GptDecoder, ids: list[int]) -> np.ndarray:
    """Logits `[time, vocabulary]` of a row, read at once and without a cache."""
    row = np.array([ids], np.int32)
    states = decoder(
        {
            "token_ids": row,
            "padding_mask": np.ones_like(row),
            "position_ids": np.arange(len(ids), dtype=np.int32)[None],
        },
        training=False,
    )["sequence_output"]
    return np.asarray(decoder.logits(states))[0]


@pytest.mark.parametrize("lengths", [[1, 1, 1], [3, 1, 5], [6, 6, 6]])
def test_logits_equal_those_without_a_cache(decoder, lengths) -> None:
    expected = np.stack([whole(decoder, row) for row in ROWS])
    rows = np.array(ROWS, np.int32)
    prompts = np.where(
        np.arange(max(lengths)) < np.array(lengths)[:, None], rows[:, : max(lengths)], 99
    )
    cached = CachedDecoder(decoder, tf.constant(9))  # longer than is needed
    logits, cache = cached.prefill(tf.constant(prompts, tf.int32), tf.constant(lengths))
    for row, length in enumerate(lengths):
        np.testing.assert_allclose(logits[row], expected[row, length - 1], atol=1e-4)
    for more in range(7 - max(lengths)):
        positions = np.array(lengths, np.int32) + more
        logits, cache = cached.step(
            tf.constant(rows[np.arange(3), positions]), tf.constant(positions), cache
        )
        np.testing.assert_allclose(logits, expected[np.arange(3), positions], atol=1e-4)


@pytest.mark.parametrize(
    "fields", [{"activation": "gelu"}, {"layer_norm_epsilon": 0.5}, {"vocabulary_rows": 320}]
)
def test_the_decoders_settings_apply(fields: dict[str, Any]) -> None:
    decoder = build(**fields)
    expected = whole(decoder, ROWS[0])
    cached = CachedDecoder(decoder, tf.constant(7))
    logits, cache = cached.prefill(tf.constant([ROWS[0][:6]]), tf.constant([6]))
    np.testing.assert_allclose(logits[0], expected[5], atol=1e-4)
    logits, _ = cached.step(tf.constant([ROWS[0][6]]), tf.constant([6]), cache)
    np.testing.assert_allclose(logits[0], expected[6], atol=1e-4)


def test_logits_in_bfloat16_are_float32_and_close_to_those_in_float32(decoder) -> None:
    expected = whole(decoder, ROWS[0])
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        rounded = build()
    finally:
        keras.mixed_precision.set_global_policy(before)
    cached = CachedDecoder(rounded, tf.constant(7))
    logits, cache = cached.prefill(tf.constant([ROWS[0][:4]]), tf.constant([4]))
    assert (logits.dtype, cache[0].dtype) == (tf.float32, tf.bfloat16)
    for place in range(4, 7):
        logits, cache = cached.step(tf.constant([ROWS[0][place]]), tf.constant([place]), cache)
    same = np.corrcoef(logits[0], whole(rounded, ROWS[0])[-1])[0, 1]
    assert same > 0.999
    assert np.corrcoef(logits[0], expected[-1])[0, 1] > 0.99
