"""What of a BERT cannot work is refused when its configuration is made."""

from __future__ import annotations

from typing import Any

import pytest

from models.bert.config import SIZES, BertBackboneConfig, BertConfig, BertObjectiveConfig
from models.errors import ConfigError
from models.settings import from_json


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"width": 33, "heads": 2}, "width"),
        ({"layers": 0}, "layers"),
        ({"heads": -12}, "heads"),
        ({"intermediate": 0}, "intermediate"),
        ({"dropout": 1.0}, "dropout"),
        ({"initializer_range": 0.0}, "initializer_range"),
        ({"max_length": 0}, "max_length"),
        ({"activation": "relu"}, "activation"),
        ({"layer_norm_epsilon": 0.0}, "layer_norm_epsilon"),
        ({"segments": 0}, "segments"),
        ({"vocabulary_rows": -1}, "vocabulary_rows"),
    ],
)
def test_an_encoder_that_cannot_be(fields: dict[str, Any], where: str) -> None:
    with pytest.raises(ConfigError) as refused:
        BertBackboneConfig(**fields)
    assert refused.value.where == f"model.backbone.{where}"


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"sequence_length": 4, "max_predictions": 1}, "sequence_length"),
        (
            {"sequence_length": 2, "max_predictions": 1, "second_segment": "none"},
            "sequence_length",
        ),
        ({"sequence_length": 24, "max_predictions": 22}, "max_predictions"),
        ({"sequence_length": 512}, "max_predictions"),  # 20 of them are 4 %, not 15 %
        ({"max_predictions": 0}, "max_predictions"),
        ({"masked_share": 0.0}, "masked_share"),
        ({"masked_share": 1.5}, "masked_share"),
        ({"longest_ngram": 0}, "longest_ngram"),
        ({"longest_ngram": 21}, "longest_ngram"),
        ({"short_sequence_share": -0.1}, "short_sequence_share"),
        ({"dupe_factor": 0}, "dupe_factor"),
        ({"segmenter": ""}, "segmenter"),  # without whole words
        ({"segmenter": "os:system", "whole_words": True}, "segmenter"),
        (
            {"second_segment": "none", "min_next_sentence_accuracy": 0.6},
            "min_next_sentence_accuracy",
        ),
        ({"min_masked_lm_accuracy": 1.1}, "min_masked_lm_accuracy"),
        ({"max_regression": -1.0}, "max_regression"),
    ],
)
def test_examples_that_cannot_be(fields: dict[str, Any], where: str) -> None:
    with pytest.raises(ConfigError) as refused:
        BertObjectiveConfig(**fields)
    assert refused.value.where == f"model.objective.{where}"


def test_the_least_that_works() -> None:
    assert BertObjectiveConfig(sequence_length=5, max_predictions=1).max_predictions == 1
    alone = BertObjectiveConfig(sequence_length=3, max_predictions=1, second_segment="none")
    assert alone.sequence_length == 3
    assert BertObjectiveConfig(sequence_length=512, max_predictions=77).sequence_length == 512
    assert BertObjectiveConfig(segmenter="", whole_words=True).segmenter == ""


def test_an_older_releases_name_of_the_segmenter_is_todays() -> None:
    old = '{"segmenter": "jieba:lcut", "whole_words": true}'
    assert from_json(BertObjectiveConfig, old) == BertObjectiveConfig(whole_words=True)
    assert BertObjectiveConfig(segmenter="jieba:lcut").segmenter == "jieba"


def test_examples_fit_the_encoders_positions() -> None:
    with pytest.raises(ConfigError, match="tokens do not fit an encoder with 32") as refused:
        BertConfig(backbone=BertBackboneConfig(max_length=32))
    assert refused.value.where == "model.objective.sequence_length"


def test_pairs_need_two_segments_and_packed_sentences_one() -> None:
    one = BertBackboneConfig(segments=1)
    with pytest.raises(ConfigError, match="two segments") as refused:
        BertConfig(backbone=one)
    assert refused.value.where == "model.backbone.segments"
    packed = BertObjectiveConfig(second_segment="none")
    assert BertConfig(backbone=one, objective=packed).backbone.segments == 1


@pytest.mark.parametrize("size", SIZES)
def test_heads_divide_the_width(size: str) -> None:
    assert SIZES[size].width % SIZES[size].heads == 0
