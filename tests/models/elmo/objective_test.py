"""Tests of ELMo's objective."""

import collections

import numpy as np
import tensorflow as tf

from models.elmo.objective import ElmoObjective
from models.objective import TokenizedDocument
from tests.testdata.little_elmo import CONFIG, tokenizer


def test_a_text_is_split_into_sentences() -> None:
    objective = ElmoObjective(CONFIG.objective, tokenizer())
    assert objective.split("The wind fell. Rain rose.", "en") == ["The wind fell.", "Rain rose."]
    assert objective.split("风停了。下雨了。", "zh") == ["风停了。", "下雨了。"]


def test_the_loss_is_the_mean_of_both_directions() -> None:
    losses = ElmoObjective(CONFIG.objective, tokenizer()).losses()
    assert [(loss.numerator, loss.denominator, loss.weight) for loss in losses] == [
        ("forward_nll_sum", "token_count", 0.5),
        ("backward_nll_sum", "token_count", 0.5),
    ]


def test_held_out_examples_have_one_stream_and_no_empty_window() -> None:
    objective = ElmoObjective(CONFIG.objective, tokenizer())
    words_of = tokenizer()
    words = words_of.tokenize(tf.constant(["The wind fell."]))[0].numpy()
    document = TokenizedDocument.of("a", "b", "en", [words])
    made, tallies = {}, {}
    for held_out in (False, True):
        tallies[held_out] = collections.Counter()
        rng = np.random.default_rng(0)
        (examples,) = objective.make_examples([document], rng, tallies[held_out], held_out=held_out)
        made[held_out] = examples["padding_mask"].sum(axis=1).tolist()
    assert tallies[True]["empty_windows"] == 0 < tallies[False]["empty_windows"]
    assert 0 not in made[True]
    assert sum(made[True]) == sum(made[False])  # the same words
