"""Tests that every family of the registry obeys the protocol."""

import itertools
import pathlib
from collections.abc import Mapping

import numpy as np
import pytest
import tensorflow as tf

from models.examples import Serializer, check
from models.registry import FAMILIES
from tests.testdata.little_families import (
    LITTLE,
    Batch,
    LittleModel,
    build_model,
    counted,
    little_model,
    make_examples,
    with_junk,
)


@pytest.fixture(scope="module", params=FAMILIES)
def little(request: pytest.FixtureRequest) -> LittleModel:
    return little_model(request.param)


def numpy(tensors: Mapping[str, tf.Tensor]) -> Batch:
    return {name: np.asarray(value) for name, value in tensors.items()}


def test_every_family_has_a_little_model_for_tests() -> None:
    assert LITTLE.keys() == FAMILIES.keys()


def test_the_parts_of_a_family_belong_together(little: LittleModel) -> None:
    family = little.family
    assert FAMILIES[family.name] is family
    assert family.config().family == family.name
    assert isinstance(little.config, family.config)
    assert isinstance(little.tokenizer, family.tokenizer)
    assert isinstance(little.config.tokenizer, family.tokenizer.config_class)
    assert little.objective.config == little.config.objective


def test_a_learned_tokenizer_is_loaded_from_its_files(
    little: LittleModel, tmp_path: pathlib.Path
) -> None:
    texts = tf.constant([LITTLE[little.family.name].text(number) for number in range(3)])
    splitter = little.family.tokenizer.word_splitter(little.config.tokenizer)
    words, counts = (tensor.numpy().tolist() for tensor in splitter.count(texts))
    learned = little.family.tokenizer.learn(
        {word.decode(): count for word, count in zip(words, counts, strict=True)},
        little.config.tokenizer,
    )
    learned.save(tmp_path)
    loaded = little.family.tokenizer.load(tmp_path)
    assert list(loaded.vocabulary) == list(learned.vocabulary)
    assert loaded.special_ids == learned.special_ids
    ids = learned.tokenize(texts)
    assert ids.dtype == tf.int32
    assert loaded.tokenize(texts).to_list() == ids.to_list()
    never = {number for role, number in learned.special_ids.items() if role != "unknown"}
    if ids.flat_values.shape.rank == 1:  # else the vocabulary is not what texts become ids of
        assert not never & {*ids.flat_values.numpy().tolist()}


def test_examples_fit_the_feature_spec(little: LittleModel) -> None:
    spec = little.objective.feature_spec()
    assert len(little.examples) >= 8
    for example in little.examples:
        check(example, spec)


def test_the_spec_has_the_features_that_training_and_evaluation_need(little: LittleModel) -> None:
    spec = little.objective.feature_spec()
    assert [spec[name].dtype for name in ("source", "length", "padding_mask")] == (
        ["string", "string", "int64"]
    )
    assert spec["source"].shape == spec["length"].shape == (1,)
    assert len(spec["padding_mask"].shape) == 1


def test_an_example_is_rendered_in_words_of_its_text(little: LittleModel) -> None:
    texts = " ".join(LITTLE[little.family.name].text(number) for number in range(6)).lower()
    for row in range(len(little.batch["padding_mask"])):
        example = {name: column[row] for name, column in little.batch.items()}
        rows = little.objective.render_example(example, little.tokenizer)
        real = int(example["padding_mask"].sum())
        assert {len(row) for row in rows} == {real}
        for position in itertools.chain.from_iterable(rows):
            if position.part != "special" and position.text.strip() not in ("[MASK]", "[UNK]"):
                assert position.text.strip().lower() in texts


def test_the_same_seed_makes_the_same_examples(little: LittleModel) -> None:
    again = make_examples(LITTLE[little.family.name], little.objective, little.tokenizer)
    serializer = Serializer(little.objective.feature_spec())
    assert serializer.serialize(again) == serializer.serialize(little.examples)


def test_padding_does_not_change_sums(little: LittleModel) -> None:
    junk = little.batch | with_junk(little)
    assert any(not np.array_equal(junk[name], little.batch[name]) for name in junk)
    expected = numpy(little.model(little.batch, training=False))
    for name, value in numpy(little.model(junk, training=False)).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-4, atol=1e-5, err_msg=name)


def test_cutting_padding_does_not_change_sums(little: LittleModel) -> None:
    spec = little.objective.feature_spec()
    along_time = {name for name, feature in spec.items() if feature.axis == "time"}
    lengths = little.batch["padding_mask"].sum(axis=1)
    time = int(lengths.min())
    batch = {name: value[lengths == time] for name, value in little.batch.items()}
    assert {spec[name].shape[:1] for name in along_time} <= {spec["padding_mask"].shape}
    if along_time:
        assert "padding_mask" in along_time
        assert time < batch["padding_mask"].shape[1]
    cut = {n: v[:, :time] if n in along_time else v for n, v in batch.items()}
    whole = numpy(little.model(batch, training=False))
    for name, value in numpy(little.model(cut, training=False)).items():
        np.testing.assert_allclose(value, whole[name], rtol=1e-4, atol=1e-4, err_msg=name)


def test_every_numerator_and_denominator_is_a_sum_per_example(little: LittleModel) -> None:
    sums = little.model(little.batch, training=False)
    ratios = [*little.objective.losses(), *little.config.objective.metrics()]
    assert little.objective.losses()
    for ratio in ratios:
        for name in (ratio.numerator, ratio.denominator):
            assert sums[name].shape == (8,)
            assert sums[name].dtype == tf.float32
            assert np.isfinite(sums[name]).all()


def test_denominators_equal_those_of_the_model(little: LittleModel) -> None:
    sums = numpy(little.model(little.batch, training=False))
    denominators = numpy(little.objective.denominators(little.batch))
    assert denominators.keys() == {loss.denominator for loss in little.objective.losses()}
    for name, value in denominators.items():
        assert value.dtype == np.float32
        assert np.array_equal(value, sums[name])
        assert value.sum() > 0


def test_the_sums_of_an_example_do_not_depend_on_its_batch(little: LittleModel) -> None:
    together = numpy(little.model(little.batch, training=False))
    order = [5, 2, 7]
    for rows in (order, [3], [0, *range(8)]):
        part = {name: value[rows] for name, value in little.batch.items()}
        for name, value in numpy(little.model(part, training=False)).items():
            np.testing.assert_allclose(
                value, together[name][rows], rtol=1e-4, atol=1e-5, err_msg=name
            )


def test_gradients_of_every_loss_are_finite_and_reach_every_weight(little: LittleModel) -> None:
    weights = [weight.value for weight in little.model.trainable_variables]
    reached = np.zeros(len(weights), bool)
    for loss in little.objective.losses():
        with tf.GradientTape() as tape:
            sums = little.model(little.batch, training=True)
            value = tf.reduce_sum(sums[loss.numerator]) / tf.reduce_sum(sums[loss.denominator])
        found = {
            place: tf.convert_to_tensor(gradient).numpy()
            for place, gradient in enumerate(tape.gradient(value, weights))
            if gradient is not None
        }
        assert all(np.isfinite(gradient).all() for gradient in found.values())
        assert any(gradient.any() for gradient in found.values())
        reached[list(found)] = True
    assert reached.all()


def test_at_least_one_metric_has_a_bound(little: LittleModel) -> None:
    metrics = little.config.objective.metrics()
    bounds = {
        bound
        for metric in metrics
        for bound in (metric.lower_bound, metric.upper_bound, metric.max_regression)
    }
    assert bounds != {None}
    names = [metric.name for metric in metrics]
    assert len(set(names)) == len(names)
    assert {metric.baseline for metric in metrics} <= {None, *names}


def test_counts_fill_the_baselines_and_initialize_only_zero_biases(little: LittleModel) -> None:
    model = build_model(little.family, little.config, little.tokenizer, seed=0)
    counts = counted(little.objective, little.examples)
    weights, sums = [weight.numpy() for weight in model.variables], numpy(model(little.batch))
    little.objective.fill_baselines(model, counts)
    np.testing.assert_equal([weight.numpy() for weight in model.variables], weights)
    filled = numpy(model(little.batch))
    changed = {name for name in sums if not np.array_equal(sums[name], filled[name])}
    assert any("unigram" in name for name in changed)
    assert all("gram" in name or "majority" in name for name in changed)
    little.objective.initialize(model, counts)
    for before, weight in zip(weights, model.variables, strict=True):
        assert np.array_equal(before, weight) or not before.any()  # a bias that was zero


def test_saved_weights_are_restored_without_the_baselines(
    little: LittleModel, tmp_path: pathlib.Path
) -> None:
    first, second = (
        build_model(little.family, little.config, little.tokenizer, seed=seed) for seed in (1, 2)
    )
    expected, other = numpy(first(little.batch)), numpy(second(little.batch))
    assert any(not np.array_equal(expected[name], other[name]) for name in expected)
    path = tf.train.Checkpoint(model=first).write(str(tmp_path / "weights"))
    saved = tf.train.load_checkpoint(path).get_variable_to_shape_map()
    assert not any("gram" in name or "majority" in name for name in saved)
    tf.train.Checkpoint(model=second).read(path).assert_existing_objects_matched()
    for name, value in numpy(second(little.batch)).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


def test_signatures_take_raw_strings_in_batches(little: LittleModel) -> None:
    assert {"serving_default", "hidden_states"} <= little.signatures.keys()
    for signature in little.signatures.values():
        text, *others = signature.input_signature
        assert text.dtype == tf.string
        assert all(spec.shape[0] is None for spec in (text, *others))


def test_warmup_requests_are_answered_with_the_batch_dimension_first(little: LittleModel) -> None:
    requests = little.objective.warmup_requests()
    assert {"serving_default", "hidden_states"} <= requests.keys() <= little.signatures.keys()
    for name, many in requests.items():
        assert many
        for request in many:
            specs = little.signatures[name].input_signature
            arguments = [tf.constant(request[spec.name], spec.dtype) for spec in specs]
            (batch,) = {len(values) for values in request.values()}
            for output, value in little.signatures[name](*arguments).items():
                assert value.shape[0] == batch, (name, output)
                if value.dtype.is_floating:
                    assert np.isfinite(value).all(), (name, output)


def test_the_vectors_of_a_text_do_not_depend_on_its_batch(little: LittleModel) -> None:
    ask = little.signatures["hidden_states"]
    texts = ["The river rose.", "", "Our ships sailed past the bank of the river and rose."]
    together = numpy(ask(tf.constant(texts), [[-1, 0]] * 3))
    for row, text in enumerate(texts):
        alone = numpy(ask(tf.constant([text]), [[-1, 0]]))
        time = together["padding_mask"][row].sum()
        assert alone["padding_mask"].shape[1] == time <= together["padding_mask"].shape[1]
        np.testing.assert_allclose(
            together["hidden_states"][row, :, :time], alone["hidden_states"][0], atol=1e-5
        )
        for name in ("tokens", "starts", "limits"):
            assert together[name][row, :time].tolist() == alone[name][0].tolist()
