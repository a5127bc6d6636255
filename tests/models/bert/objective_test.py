"""Tests of BERT's objective: examples, losses and denominators."""

import collections
import dataclasses
import itertools

import jieba
import numpy as np
import pytest
import tensorflow as tf

from models.bert.backbone import build_backbone
from models.bert.metrics import metrics
from models.bert.objective import BertObjective
from models.bert.pretraining import BertPretraining
from models.counts import Counts
from models.examples import check, unstack
from models.objective import Loss
from models.tokenizers.wordpiece import WordPieceTokenizer
from tests.testdata.little_bert import CONFIG, documents, tokenizer


@pytest.fixture(scope="module")
def words() -> WordPieceTokenizer:
    return tokenizer()


@pytest.fixture(scope="module")
def objective(words: WordPieceTokenizer) -> BertObjective:
    return BertObjective(CONFIG.objective, words)


@pytest.fixture(scope="module")
def model(words: WordPieceTokenizer, objective: BertObjective) -> BertPretraining:
    return objective.build_model(build_backbone(CONFIG.backbone, words))


@pytest.mark.parametrize(("masked", "short"), itertools.product([0.01, 0.2], [0.0, 1.0]))
def test_examples_are_made_with_the_smallest_allowed_values(
    words, masked: float, short: float
) -> None:
    objective = BertObjective(
        dataclasses.replace(
            CONFIG.objective,
            sequence_length=5,
            max_predictions_per_seq=1,
            dupe_factor=1,
            mask_prob=masked,
            short_seq_prob=short,
        ),
        words,
    )
    rng, tally = np.random.default_rng(0), collections.Counter()
    made = list(objective.make_examples(documents(3), rng, tally))
    assert made
    for example in itertools.chain.from_iterable(map(unstack, made)):
        check(example, objective.feature_spec())
        assert example["padding_mask"].sum() == 5
        assert example["mask_weights"].sum() == 1


def test_a_document_is_split_into_sentences_of_its_language(objective) -> None:
    assert objective.split("It rose. Mr. Li；fell.", "en") == ["It rose.", "Mr. Li；fell."]
    assert objective.split("河涨了；船沉了。", "zh") == ["河涨了；", "船沉了。"]


def test_chinese_is_cut_into_words_if_words_are_masked_whole(objective, words) -> None:
    assert objective.segmenter("zh") is None
    whole = BertObjective(dataclasses.replace(CONFIG.objective, whole_word_mask=True), words)
    assert whole.segmenter("zh-TW")("他在河岸上。") == jieba.lcut("他在河岸上。")
    assert whole.segmenter("en") is None
    by_character = dataclasses.replace(CONFIG.objective, whole_word_mask=True, segmenter="")
    assert BertObjective(by_character, words).segmenter("zh") is None


def test_examples_contain_only_ids_of_the_vocabulary_and_no_random_special_token(
    objective,
) -> None:
    rng, tally = np.random.default_rng(0), collections.Counter()
    (made,) = objective.make_examples(documents(9), rng, tally)
    ids = made["token_ids"]
    assert set(np.unique(ids)) == {0, 2, 3, 4, *range(5, 30)}


def test_held_out_examples_use_each_document_once_and_eval_mask_prob(words) -> None:
    config = dataclasses.replace(
        CONFIG.objective,
        dupe_factor=3,
        mask_prob=0.4,
        eval_mask_prob=0.2,
        max_predictions_per_seq=12,
    )

    def made(config, **options):
        blocks = BertObjective(config, words).make_examples(
            documents(9), np.random.default_rng(0), collections.Counter(), **options
        )
        return [example for block in blocks for example in unstack(block)]

    once = made(dataclasses.replace(config, dupe_factor=1, mask_prob=0.2))
    held_out = made(config, held_out=True)
    np.testing.assert_equal(held_out, once)
    for examples, share in ((held_out, 0.2), (made(config), 0.4)):
        for example in examples:
            expected = max(1, round(example["padding_mask"].sum() * share))
            assert example["mask_weights"].sum() == expected
    assert len(made(config)) > 2 * len(held_out)


def test_both_losses_have_the_same_weight(objective) -> None:
    assert objective.losses() == (
        Loss("masked_lm_nll_sum", "masked_lm_token_count", 1.0),
        Loss("next_sentence_nll_sum", "next_sentence_count", 1.0),
    )


def test_denominators_count_masked_words_and_pairs(objective) -> None:
    weights = tf.constant([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]])
    counts = objective.denominators({"mask_weights": weights})
    assert {name: (value.dtype, value.numpy().tolist()) for name, value in counts.items()} == {
        "masked_lm_token_count": (tf.float32, [2.0, 0.0, 4.0]),
        "next_sentence_count": (tf.float32, [1.0, 1.0, 1.0]),
    }


def counted(objective, examples) -> dict[str, Counts]:
    keys = objective.count({name: np.array(value) for name, value in examples.items()})
    return {name: Counts(*np.unique(k, return_counts=True)) for name, k in keys.items()}


def test_baselines_are_the_frequencies_of_masked_words_and_the_more_frequent_label(
    objective, model
) -> None:
    examples = {
        "mask_ids": [[7, 7, 9, 0], [8, 7, 0, 0], [9, 7, 7, 29], [0, 0, 0, 0]],
        "mask_weights": [[1, 1, 1, 0], [1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]],
        "next_sentence_label": [[1], [0], [1], [1]],
    }
    before = [weight.numpy() for weight in model.variables]
    objective.fill_baselines(model, counted(objective, examples))
    assert model.majority(tf.constant([1, 0])).numpy().tolist() == [1.0, 0.0]
    counts = np.ones(30)  # one of each, then what is masked
    counts[[7, 8, 9, 29]] += [5, 1, 2, 1]
    table = model.unigram.table("log_probabilities")
    np.testing.assert_allclose(table, np.log(counts / 39.0), rtol=1e-6)
    nll, correct = model.unigram(tf.constant([7, 9, 0]))
    np.testing.assert_allclose(nll, -np.log(np.array([6, 3, 1]) / 39), rtol=1e-6)
    assert correct.numpy().tolist() == [1.0, 0.0, 0.0]
    np.testing.assert_equal([weight.numpy() for weight in model.variables], before)


def test_filling_a_baseline_again_replaces_its_values(objective, model) -> None:
    examples = {"mask_ids": [[7, 7]], "mask_weights": [[1, 1]], "next_sentence_label": [[0]]}
    for _ in range(2):
        objective.fill_baselines(model, counted(objective, examples))
    table = model.unigram.table("log_probabilities").numpy()
    np.testing.assert_allclose(table[7], np.log(3 / 32), rtol=1e-6)
    assert float(model.majority.table("label")) == 0.0


def test_metrics_are_those_of_the_configuration(objective) -> None:
    assert objective.config.metrics() == metrics(CONFIG.objective)


def test_serving_cuts_texts_to_the_length_of_training(words, objective, model) -> None:
    fill_mask = objective.signatures(model, words)["fill_mask"]
    counts = fill_mask(tf.constant(["[MASK] " * 99, "[MASK] " * 22, "the"]))["mask_count"]
    assert counts.numpy().tolist() == [22, 22, 0]


def test_without_a_second_segment_only_words_are_predicted(words) -> None:
    config = dataclasses.replace(CONFIG.objective, second_segment="none")
    objective = BertObjective(config, words)
    model = objective.build_model(build_backbone(CONFIG.backbone, words))
    rng, tally = np.random.default_rng(0), collections.Counter()
    examples = next(iter(objective.make_examples(documents(6), rng, tally)))
    batch = {
        name: examples[name]
        for name, feature in objective.feature_spec().items()
        if feature.dtype != "string"
    }
    assert "next_sentence_label" not in batch
    objective.fill_baselines(model, counted(objective, batch))
    sums = model(batch)
    needed = {
        name
        for ratio in (*objective.config.metrics(), *objective.losses())
        for name in (ratio.numerator, ratio.denominator)
    }
    assert needed <= sums.keys()
    assert not any("next_sentence" in name for name in sums)
    assert [loss.numerator for loss in objective.losses()] == ["masked_lm_nll_sum"]
    assert objective.denominators(batch).keys() == {"masked_lm_token_count"}
    assert "next_sentence" not in objective.signatures(model, words)
    assert objective.warmup_requests().keys() == objective.signatures(model, words).keys()
