"""Tests of computing each distinct word of a batch once."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.elmo.backbone import build_backbone
from models.elmo.distinct import find, prepare, prepared
from models.elmo.objective import ElmoObjective
from tests.testdata.little_elmo import CONFIG, tokenizer

PADDING, START, END = 261, 259, 260
WORDS = tokenizer()


def word(letters: bytes) -> list[int]:
    spelled = [START, *(byte + 1 for byte in letters), END]
    return spelled + [PADDING] * (50 - len(spelled))


def test_find_gives_each_word_once_in_the_order_of_the_text():
    bank, of, masked = word(b"bank"), word(b"of"), [0] * 50
    found = find(tf.constant([of, bank, masked, of, bank]))
    assert found.characters.numpy().tolist() == [of, bank, masked]
    assert found.places.numpy().tolist() == [0, 1, 2, 0, 1]
    assert found.sizes.numpy().tolist() == [3, 6]


def test_find_of_padding_alone_has_no_letters():
    assert find(tf.constant([[0] * 50, [PADDING] * 50])).sizes.numpy().tolist() == [2, 0]


def features(rows: int, time: int = 3) -> dict[str, tf.Tensor]:
    rng = np.random.default_rng(0)
    known = np.array([word(b"a"), word(b"bank"), word(b"credit"), [0] * 50], np.int32)

    def ids() -> tf.Tensor:
        return tf.constant(known[rng.integers(0, 4, (rows, time))])

    return {
        "character_ids": ids(),
        "backward_character_ids": ids(),
        "padding_mask": tf.ones([rows, time], tf.int32),
    }


@pytest.mark.parametrize("rows", [1, 2, 6])
def test_each_part_of_a_batch_has_its_own_distinct_words(rows):
    """A part is cut from the batch as the training step cuts it."""
    given = features(6)
    made = prepare(given, rows)
    assert "character_ids" not in made
    assert made["padding_mask"] is given["padding_mask"]
    for begin in range(0, 6, rows):
        part = {name: value[begin : begin + rows] for name, value in made.items()}
        words = prepared(part)
        count, longest = words.sizes.numpy()
        every = words.characters.numpy()
        assert len({tuple(row) for row in every[:count]}) == count <= 4
        assert not every[count:].any()
        both = every[words.places.numpy()]
        for found, name in zip(both, ("character_ids", "backward_character_ids"), strict=True):
            np.testing.assert_array_equal(found, given[name][begin : begin + rows])
        letters = every[:count] * (every[:count] != PADDING)
        assert longest == max(np.flatnonzero(letters.any(0)) + 1, default=0)


def test_shapes_are_known_when_the_step_is_compiled():
    dataset = tf.data.Dataset.from_tensors(features(6)).map(lambda batch: prepare(batch, 2))
    shapes = {name: spec.shape.as_list() for name, spec in dataset.element_spec.items()}
    assert shapes == {
        "padding_mask": [6, 3],
        "distinct_words": [6, 6, 50],
        "word_places": [6, 2, 3],
        "word_sizes": [6, 2],
    }


def test_features_as_examples_hold_them_are_not_prepared():
    assert prepared(features(2)) is None


def program(jit_compile: bool):
    """Sums, gradients and the kinds of operation of a step of training, from prepared words."""
    keras.utils.set_random_seed(0)
    objective = ElmoObjective(CONFIG.objective, WORDS)
    model = objective.build_model(build_backbone(CONFIG.backbone, WORDS))
    time = CONFIG.objective.unroll_steps
    given = {
        **features(2, time),
        "next_ids": tf.zeros([2, time], tf.int32),
        "previous_ids": tf.ones([2, time], tf.int32),
        "stream": tf.constant([[0], [1]]),
        "continues": tf.zeros([2, 1], tf.int32),
    }

    @tf.function(jit_compile=jit_compile, autograph=False)
    def step(batch):
        with tf.GradientTape() as tape:
            sums = model(batch, training=True)
            loss = tf.reduce_sum(sums["forward_nll_sum"] + sums["backward_nll_sum"])
        return loss, tape.gradient(loss, model.backbone.token_layer.projection.kernel.value)

    seeds = [v for v in model.non_trainable_variables if v.name == "seed_generator_state"]
    first = [np.asarray(seed) for seed in seeds]

    def run(batch):
        for seed, value in zip(seeds, first, strict=True):
            seed.assign(value)
        kinds = {op.type for op in step.get_concrete_function(batch).graph.get_operations()}
        return [np.asarray(value) for value in step(batch)], kinds

    return run(given), run(prepare(given, 2))


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.e2e)])
def test_the_step_looks_for_no_words_and_computes_the_same(jit_compile):
    (plain, kinds), (found, fewer) = program(jit_compile)
    assert ("UniqueV2" in kinds) == (not jit_compile)
    assert "UniqueV2" not in fewer
    for a, b in zip(plain, found, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-6)
