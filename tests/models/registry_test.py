"""Every row of the registry: what a family brings fits together, and its sums are its own."""

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
def given(request: pytest.FixtureRequest) -> LittleModel:
    return little_model(request.param)


def numpy(tensors: Mapping[str, tf.Tensor]) -> Batch:
    return {name: np.asarray(value) for name, value in tensors.items()}


def test_every_family_has_a_little_one_to_be_tested_by() -> None:
    assert LITTLE.keys() == FAMILIES.keys()


def test_a_row_holds_what_belongs_together(given: LittleModel) -> None:
    family = given.family
    assert FAMILIES[family.name] is family
    assert family.config().family == family.name
    assert isinstance(given.config, family.config)
    assert isinstance(given.tokenizer, family.tokenizer)
    assert isinstance(given.config.tokenizer, family.tokenizer.config_class)
    assert given.objective.config == given.config.objective


def test_a_learned_tokenizer_is_read_from_what_it_saved(
    given: LittleModel, tmp_path: pathlib.Path
) -> None:
    texts = tf.constant([LITTLE[given.family.name].text(number) for number in range(3)])
    splitter = given.family.tokenizer.word_splitter(given.config.tokenizer)
    words, counts = (tensor.numpy().tolist() for tensor in splitter.count(texts))
    learned = given.family.tokenizer.learn(
        {word.decode(): count for word, count in zip(words, counts, strict=True)},
        given.config.tokenizer,
    )
    learned.save(tmp_path)
    loaded = given.family.tokenizer.load(tmp_path)
    assert list(loaded.vocabulary) == list(learned.vocabulary)
    assert loaded.special_ids == learned.special_ids
    ids = learned.tokenize(texts)
    assert ids.dtype == tf.int32
    assert loaded.tokenize(texts).to_list() == ids.to_list()
    never = {number for role, number in learned.special_ids.items() if role != "unknown"}
    if ids.flat_values.shape.rank == 1:  # else the vocabulary is not what texts become ids of
        assert not never & {*ids.flat_values.numpy().tolist()}


def test_the_spec_is_what_the_examples_have(given: LittleModel) -> None:
    spec = given.objective.feature_spec()
    assert len(given.examples) >= 8
    for example in given.examples:
        check(example, spec)


def test_the_spec_has_what_training_and_evaluation_read_of_every_family(given: LittleModel) -> None:
    spec = given.objective.feature_spec()
    assert [spec[name].dtype for name in ("source", "length", "padding_mask")] == (
        ["string", "string", "int64"]
    )
    assert spec["source"].shape == spec["length"].shape == (1,)
    assert len(spec["padding_mask"].shape) == 1


def test_an_example_is_spelled_in_words_of_its_text(given: LittleModel) -> None:
    texts = " ".join(LITTLE[given.family.name].text(number) for number in range(6)).lower()
    for row in range(len(given.batch["padding_mask"])):
        example = {name: column[row] for name, column in given.batch.items()}
        rows = given.objective.render_example(example, given.tokenizer)
        real = int(example["padding_mask"].sum())
        assert {len(row) for row in rows} == {real}
        for position in itertools.chain.from_iterable(rows):
            if position.part != "special" and position.text.strip() not in ("[MASK]", "[UNK]"):
                assert position.text.strip().lower() in texts


def test_the_same_chance_makes_the_same_examples(given: LittleModel) -> None:
    again = make_examples(LITTLE[given.family.name], given.objective, given.tokenizer)
    serializer = Serializer(given.objective.feature_spec())
    assert serializer.serialize(again) == serializer.serialize(given.examples)


def test_padding_changes_no_sum(given: LittleModel) -> None:
    junk = given.batch | with_junk(given)
    assert any(not np.array_equal(junk[name], given.batch[name]) for name in junk)
    expected = numpy(given.model(given.batch, training=False))
    for name, value in numpy(given.model(junk, training=False)).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-4, atol=1e-5, err_msg=name)


def test_what_is_cut_to_a_shorter_time_has_the_same_sums(given: LittleModel) -> None:
    spec = given.objective.feature_spec()
    along_time = {name for name, feature in spec.items() if feature.axis == "time"}
    lengths = given.batch["padding_mask"].sum(axis=1)
    time = int(lengths.min())
    batch = {name: value[lengths == time] for name, value in given.batch.items()}
    assert {spec[name].shape[:1] for name in along_time} <= {spec["padding_mask"].shape}
    if along_time:
        assert "padding_mask" in along_time
        assert time < batch["padding_mask"].shape[1]
    cut = {n: v[:, :time] if n in along_time else v for n, v in batch.items()}
    whole = numpy(given.model(batch, training=False))
    for name, value in numpy(given.model(cut, training=False)).items():
        np.testing.assert_allclose(value, whole[name], rtol=1e-4, atol=1e-4, err_msg=name)


def test_all_that_is_divided_is_a_sum_for_each_example(given: LittleModel) -> None:
    sums = given.model(given.batch, training=False)
    ratios = [*given.objective.losses(), *given.config.objective.metrics()]
    assert given.objective.losses()
    for ratio in ratios:
        for name in (ratio.numerator, ratio.denominator):
            assert sums[name].shape == (8,)
            assert sums[name].dtype == tf.float32
            assert np.isfinite(sums[name]).all()


def test_denominators_known_beforehand_are_the_models(given: LittleModel) -> None:
    sums = numpy(given.model(given.batch, training=False))
    denominators = numpy(given.objective.denominators(given.batch))
    assert denominators.keys() == {loss.denominator for loss in given.objective.losses()}
    for name, value in denominators.items():
        assert value.dtype == np.float32
        assert np.array_equal(value, sums[name])
        assert value.sum() > 0


def test_an_examples_sums_are_its_own_whatever_shares_the_batch(given: LittleModel) -> None:
    together = numpy(given.model(given.batch, training=False))
    order = [5, 2, 7]
    for rows in (order, [3], [0, *range(8)]):
        part = {name: value[rows] for name, value in given.batch.items()}
        for name, value in numpy(given.model(part, training=False)).items():
            np.testing.assert_allclose(
                value, together[name][rows], rtol=1e-4, atol=1e-5, err_msg=name
            )


def test_gradients_of_every_loss_are_finite_and_reach_every_weight(given: LittleModel) -> None:
    weights = [weight.value for weight in given.model.trainable_variables]
    reached = np.zeros(len(weights), bool)
    for loss in given.objective.losses():
        with tf.GradientTape() as tape:
            sums = given.model(given.batch, training=True)
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


def test_at_least_one_figure_gates_the_blessing(given: LittleModel) -> None:
    figures = given.config.objective.metrics()
    bounds = {
        bound
        for figure in figures
        for bound in (figure.lower_bound, figure.upper_bound, figure.max_regression)
    }
    assert bounds != {None}
    names = [figure.name for figure in figures]
    assert len(set(names)) == len(names)
    assert {figure.baseline for figure in figures} <= {None, *names}


def test_frequencies_fill_the_baselines_and_start_one_weight_at_most(given: LittleModel) -> None:
    model = build_model(given.family, given.config, given.tokenizer, seed=0)
    counts = counted(given.objective, given.examples)
    weights, sums = [weight.numpy() for weight in model.variables], numpy(model(given.batch))
    given.objective.fill_baselines(model, counts)
    np.testing.assert_equal([weight.numpy() for weight in model.variables], weights)
    filled = numpy(model(given.batch))
    changed = {name for name in sums if not np.array_equal(sums[name], filled[name])}
    assert any("unigram" in name for name in changed)
    assert all("gram" in name or "majority" in name for name in changed)
    given.objective.initialize(model, counts)
    for before, weight in zip(weights, model.variables, strict=True):
        assert np.array_equal(before, weight) or not before.any()  # a bias that was zero


def test_saved_weights_come_back_without_the_baseline(
    given: LittleModel, tmp_path: pathlib.Path
) -> None:
    first, second = (
        build_model(given.family, given.config, given.tokenizer, seed=seed) for seed in (1, 2)
    )
    expected, other = numpy(first(given.batch)), numpy(second(given.batch))
    assert any(not np.array_equal(expected[name], other[name]) for name in expected)
    path = tf.train.Checkpoint(model=first).write(str(tmp_path / "weights"))
    saved = tf.train.load_checkpoint(path).get_variable_to_shape_map()
    assert not any("gram" in name or "majority" in name for name in saved)
    tf.train.Checkpoint(model=second).read(path).assert_existing_objects_matched()
    for name, value in numpy(second(given.batch)).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


def test_signatures_take_raw_strings_and_batch_all(given: LittleModel) -> None:
    assert {"serving_default", "hidden_states"} <= given.signatures.keys()
    for signature in given.signatures.values():
        text, *others = signature.input_signature
        assert text.dtype == tf.string
        assert all(spec.shape[0] is None for spec in (text, *others))


def test_requests_that_warm_up_are_answered_batch_first(given: LittleModel) -> None:
    requests = given.objective.warmup_requests()
    assert {"serving_default", "hidden_states"} <= requests.keys() <= given.signatures.keys()
    for name, many in requests.items():
        assert many
        for request in many:
            specs = given.signatures[name].input_signature
            arguments = [tf.constant(request[spec.name], spec.dtype) for spec in specs]
            (batch,) = {len(values) for values in request.values()}
            for output, value in given.signatures[name](*arguments).items():
                assert value.shape[0] == batch, (name, output)
                if value.dtype.is_floating:
                    assert np.isfinite(value).all(), (name, output)


def test_a_texts_vectors_are_its_own_whatever_shares_the_batch(given: LittleModel) -> None:
    ask = given.signatures["hidden_states"]
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
