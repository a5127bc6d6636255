"""Tests of BERT's configuration and its bounds."""

from __future__ import annotations

from typing import Any

import pytest

from models.bert.config import SIZES, BertBackboneConfig, BertConfig, BertObjectiveConfig
from models.errors import ConfigError
from models.settings import from_json


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"hidden_size": 33, "num_heads": 2}, "hidden_size"),
        ({"num_layers": 0}, "num_layers"),
        ({"num_heads": -12}, "num_heads"),
        ({"intermediate_size": 0}, "intermediate_size"),
        ({"dropout": 1.0}, "dropout"),
        ({"initializer_range": 0.0}, "initializer_range"),
        ({"max_length": 0}, "max_length"),
        ({"activation": "relu"}, "activation"),
        ({"layer_norm_epsilon": 0.0}, "layer_norm_epsilon"),
        ({"num_segments": 0}, "num_segments"),
        ({"vocabulary_rows": -1}, "vocabulary_rows"),
    ],
)
def test_an_impossible_encoder_is_refused(fields: dict[str, Any], where: str) -> None:
    with pytest.raises(ConfigError) as refused:
        BertBackboneConfig(**fields)
    assert refused.value.where == f"model.backbone.{where}"


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"sequence_length": 4, "max_predictions_per_seq": 1}, "sequence_length"),
        (
            {"sequence_length": 2, "max_predictions_per_seq": 1, "second_segment": "none"},
            "sequence_length",
        ),
        ({"sequence_length": 24, "max_predictions_per_seq": 22}, "max_predictions_per_seq"),
        ({"sequence_length": 512}, "max_predictions_per_seq"),  # 20 of them are 4 %, not 15 %
        ({"max_predictions_per_seq": 0}, "max_predictions_per_seq"),
        ({"mask_prob": 0.0}, "mask_prob"),
        ({"mask_prob": 1.5}, "mask_prob"),
        ({"max_ngram": 0}, "max_ngram"),
        ({"max_ngram": 21}, "max_ngram"),
        ({"short_seq_prob": -0.1}, "short_seq_prob"),
        ({"dupe_factor": 0}, "dupe_factor"),
        ({"segmenter": ""}, "segmenter"),  # without whole words
        ({"segmenter": "os:system", "whole_word_mask": True}, "segmenter"),
        (
            {"second_segment": "none", "min_next_sentence_accuracy": 0.6},
            "min_next_sentence_accuracy",
        ),
        ({"min_masked_lm_accuracy": 1.1}, "min_masked_lm_accuracy"),
        ({"max_regression": -1.0}, "max_regression"),
    ],
)
def test_impossible_settings_of_examples_are_refused(fields: dict[str, Any], where: str) -> None:
    with pytest.raises(ConfigError) as refused:
        BertObjectiveConfig(**fields)
    assert refused.value.where == f"model.objective.{where}"


def test_the_smallest_allowed_values_are_accepted() -> None:
    BertObjectiveConfig(sequence_length=5, max_predictions_per_seq=1)
    BertObjectiveConfig(sequence_length=3, max_predictions_per_seq=1, second_segment="none")
    BertObjectiveConfig(sequence_length=512, max_predictions_per_seq=77)
    assert BertObjectiveConfig(segmenter="", whole_word_mask=True).segmenter == ""


def test_the_segmenters_name_in_earlier_releases_is_replaced() -> None:
    old = '{"segmenter": "jieba:lcut", "whole_word_mask": true}'
    assert from_json(BertObjectiveConfig, old) == BertObjectiveConfig(whole_word_mask=True)
    assert BertObjectiveConfig(segmenter="jieba:lcut").segmenter == "jieba"


def test_examples_longer_than_the_encoder_are_refused() -> None:
    with pytest.raises(ConfigError, match="tokens do not fit an encoder with 32") as refused:
        BertConfig(backbone=BertBackboneConfig(max_length=32))
    assert refused.value.where == "model.objective.sequence_length"


def test_pairs_need_two_segments_and_packed_sentences_need_one() -> None:
    one = BertBackboneConfig(num_segments=1)
    with pytest.raises(ConfigError, match="two segments") as refused:
        BertConfig(backbone=one)
    assert refused.value.where == "model.backbone.num_segments"
    packed = BertObjectiveConfig(second_segment="none")
    assert BertConfig(backbone=one, objective=packed).backbone.num_segments == 1


@pytest.mark.parametrize("size", SIZES)
def test_heads_divide_the_hidden_size_of_every_published_size(size: str) -> None:
    assert SIZES[size].hidden_size % SIZES[size].num_heads == 0
