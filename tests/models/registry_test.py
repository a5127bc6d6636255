import dataclasses
import itertools
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from models.examples import Serializer, check, parse
from models.objective import Example, Family, Objective, numeric_features
from models.registry import FAMILIES
from tests.testdata.little_families import LITTLE, build_model, counted, make_examples

Batch = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Newcomer:
    """All that a family has to bring."""

    family: Family
    config: Any
    tokenizer: Any
    objective: Objective
    model: Any
    signatures: Mapping[str, Any]
    examples: list[Example]
    batch: Batch


def numpy(tensors: Mapping[str, tf.Tensor]) -> Batch:
    return {name: np.asarray(value) for name, value in tensors.items()}


@pytest.fixture(scope="module", params=FAMILIES)
def given(request: pytest.FixtureRequest) -> Newcomer:
    family, little = FAMILIES[request.param], LITTLE[request.param]
    config, tokenizer = little.CONFIG, little.tokenizer()
    objective = family.build_objective(config.objective, tokenizer)
    examples = make_examples(little, objective, tokenizer)
    spec = objective.feature_spec()
    by_length = sorted(examples, key=lambda example: example["padding_mask"].sum())
    serialized = Serializer(spec).serialize(by_length[:4] + by_length[-4:])
    batch = parse(tf.constant(serialized), numeric_features(spec))
    model = build_model(family, config, tokenizer, seed=0)
    rng = np.random.default_rng(0)
    for weight in model.trainable_variables:  # so large that no two inputs are answered alike
        weight.assign(weight + rng.normal(scale=0.3, size=weight.shape))
    return Newcomer(
        family,
        config,
        tokenizer,
        objective,
        model,
        objective.signatures(model, tokenizer),
        examples,
        numpy(batch),
    )


def read_by_backbone(given: Newcomer) -> Batch:
    """The features that the backbone reads, `[batch, time, …]`."""
    return {name: given.batch[name] for name in given.model.backbone.input}


def layers(given: Newcomer, features: Batch) -> np.ndarray:
    return np.asarray(given.model.backbone(features, training=False)["hidden_states"])


def test_every_family_has_a_little_one_to_be_tested_by() -> None:
    assert LITTLE.keys() == FAMILIES.keys()


def test_a_row_holds_what_belongs_together(given: Newcomer) -> None:
    family = given.family
    assert FAMILIES[family.name] is family
    assert family.config().family == family.name
    assert isinstance(given.config, family.config)
    assert isinstance(given.tokenizer, family.tokenizer)
    assert isinstance(given.config.tokenizer, family.tokenizer.config_class)
    assert family.metrics(given.config.objective) == given.objective.metrics()


def test_a_learned_tokenizer_is_read_from_what_it_saved(
    given: Newcomer, tmp_path: pathlib.Path
) -> None:
    texts = tf.constant([LITTLE[given.family.name].text(number) for number in range(3)])
    splitter = given.family.tokenizer.word_splitter(given.config.tokenizer)
    words, counts = (tensor.numpy().tolist() for tensor in splitter.count(texts))
    learned = given.family.learn(
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


def test_the_spec_is_what_the_examples_have(given: Newcomer) -> None:
    spec = given.objective.feature_spec()
    assert len(given.examples) >= 8
    for example in given.examples:
        check(example, spec)


def test_the_spec_has_what_training_and_evaluation_read_of_every_family(given: Newcomer) -> None:
    spec = given.objective.feature_spec()
    assert [spec[name].dtype for name in ("source", "length", "padding_mask")] == (
        ["string", "string", "int64"]
    )
    assert spec["source"].shape == spec["length"].shape == (1,)
    assert len(spec["padding_mask"].shape) == 1


def test_an_example_is_spelled_in_words_of_its_text(given: Newcomer) -> None:
    texts = " ".join(LITTLE[given.family.name].text(number) for number in range(6)).lower()
    for row in range(len(given.batch["padding_mask"])):
        example = {name: column[row] for name, column in given.batch.items()}
        rows = given.objective.spell(example, given.tokenizer)
        real = int(example["padding_mask"].sum())
        assert {len(row) for row in rows} == {real}
        for position in itertools.chain.from_iterable(rows):
            if position.part != "special" and position.text.strip() not in ("[MASK]", "[UNK]"):
                assert position.text.strip().lower() in texts


def test_the_same_chance_makes_the_same_examples(given: Newcomer) -> None:
    again = make_examples(LITTLE[given.family.name], given.objective, given.tokenizer)
    serializer = Serializer(given.objective.feature_spec())
    assert serializer.serialize(again) == serializer.serialize(given.examples)


def test_a_backbone_gives_every_layer_and_the_mask(given: Newcomer) -> None:
    features = read_by_backbone(given)
    out = given.model.backbone(features, training=False)
    batch, time = features["padding_mask"].shape
    assert out["hidden_states"].shape[:3] == (batch, given.config.backbone.num_layers + 1, time)
    assert out["hidden_states"].shape.rank == 4
    assert np.isfinite(out["hidden_states"]).all()
    assert np.array_equal(out["padding_mask"], features["padding_mask"])


def test_a_backbone_tells_its_layers_variables_apart(given: Newcomer) -> None:
    layers = given.model.backbone.layer_variables
    assert len(layers) == given.config.backbone.num_layers + 1
    assert all(layers)
    told = [variable.path for layer in layers for variable in layer]
    assert len(set(told)) == len(told)
    assert set(told) < {variable.path for variable in given.model.trainable_variables}


def test_index_0_knows_the_token_and_not_its_context(given: Newcomer) -> None:
    features = read_by_backbone(given)
    place = int(features["padding_mask"].sum(axis=1).min()) // 2
    mixed = {name: value.copy() for name, value in features.items()}
    for value in mixed.values():
        value[:, place] = value[0, place]  # one token among the contexts of all
    before, after = layers(given, features)[:, :, place], layers(given, mixed)[:, :, place]
    np.testing.assert_allclose(after[:, 0], np.broadcast_to(after[0, 0], after[:, 0].shape))
    assert np.ptp(before[:, 0], axis=0).max() > 1e-2  # other tokens, other vectors
    assert np.ptp(after[:, -1], axis=0).max() > 1e-2  # and later layers know the context


def with_junk(features: Batch) -> Batch:
    """The features with the first position's values where there is padding."""
    padding = features["padding_mask"] == 0
    junk = {name: value.copy() for name, value in features.items()}
    for name in junk.keys() - {"padding_mask"}:
        rows, columns = np.nonzero(padding)
        assert junk[name].shape[1] == padding.shape[1]
        junk[name][rows, columns] = junk[name][rows, 0]
    return junk


def test_padding_changes_no_real_position(given: Newcomer) -> None:
    features = read_by_backbone(given)
    lengths = features["padding_mask"].sum(axis=1)
    assert lengths.min() < features["padding_mask"].shape[1]
    padded, junk = layers(given, features), layers(given, with_junk(features))
    for row, length in enumerate(lengths):
        short = {name: value[row : row + 1, :length] for name, value in features.items()}
        alone = layers(given, short)[0]
        np.testing.assert_allclose(padded[row, :, :length], alone, atol=1e-5)
        np.testing.assert_allclose(junk[row, :, :length], alone, atol=1e-5)


def test_padding_changes_no_sum(given: Newcomer) -> None:
    junk = given.batch | with_junk(read_by_backbone(given))
    assert any(not np.array_equal(junk[name], given.batch[name]) for name in junk)
    expected = numpy(given.model(given.batch, training=False))
    for name, value in numpy(given.model(junk, training=False)).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-4, atol=1e-5, err_msg=name)


def test_what_is_cut_to_a_shorter_time_has_the_same_sums(given: Newcomer) -> None:
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


def test_all_that_is_divided_is_a_sum_for_each_example(given: Newcomer) -> None:
    sums = given.model(given.batch, training=False)
    ratios = [*given.objective.losses(), *given.objective.metrics()]
    assert given.objective.losses()
    for ratio in ratios:
        for name in (ratio.numerator, ratio.denominator):
            assert sums[name].shape == (8,)
            assert sums[name].dtype == tf.float32
            assert np.isfinite(sums[name]).all()


def test_denominators_known_beforehand_are_the_models(given: Newcomer) -> None:
    sums = numpy(given.model(given.batch, training=False))
    denominators = numpy(given.objective.denominators(given.batch))
    assert denominators.keys() == {loss.denominator for loss in given.objective.losses()}
    for name, value in denominators.items():
        assert value.dtype == np.float32
        assert np.array_equal(value, sums[name])
        assert value.sum() > 0


def test_an_examples_sums_are_its_own_whatever_shares_the_batch(given: Newcomer) -> None:
    together = numpy(given.model(given.batch, training=False))
    order = [5, 2, 7]
    for rows in (order, [3], [0, *range(8)]):
        part = {name: value[rows] for name, value in given.batch.items()}
        for name, value in numpy(given.model(part, training=False)).items():
            np.testing.assert_allclose(
                value, together[name][rows], rtol=1e-4, atol=1e-5, err_msg=name
            )


def test_gradients_of_every_loss_are_finite_and_reach_every_weight(given: Newcomer) -> None:
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


def test_at_least_one_figure_gates_the_blessing(given: Newcomer) -> None:
    figures = given.objective.metrics()
    bounds = {
        bound
        for figure in figures
        for bound in (figure.lower_bound, figure.upper_bound, figure.max_regression)
    }
    assert bounds != {None}
    names = [figure.name for figure in figures]
    assert len(set(names)) == len(names)
    assert {figure.baseline for figure in figures} <= {None, *names}


def test_frequencies_fill_the_baselines_and_start_one_weight_at_most(given: Newcomer) -> None:
    model = build_model(given.family, given.config, given.tokenizer, seed=0)
    counts = counted(given.objective, given.examples)
    weights, sums = [weight.numpy() for weight in model.variables], numpy(model(given.batch))
    given.objective.set_baseline(model, counts)
    np.testing.assert_equal([weight.numpy() for weight in model.variables], weights)
    filled = numpy(model(given.batch))
    changed = {name for name in sums if not np.array_equal(sums[name], filled[name])}
    assert any("unigram" in name for name in changed)
    assert all("gram" in name or "majority" in name for name in changed)
    given.objective.start(model, counts)
    for before, weight in zip(weights, model.variables, strict=True):
        assert np.array_equal(before, weight) or not before.any()  # a bias that was zero


def test_saved_weights_come_back_without_the_baseline(
    given: Newcomer, tmp_path: pathlib.Path
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


def test_signatures_take_raw_strings_and_batch_all(given: Newcomer) -> None:
    assert {"serving_default", "hidden_states"} <= given.signatures.keys()
    for signature in given.signatures.values():
        text, *others = signature.input_signature
        assert text.dtype == tf.string
        assert all(spec.shape[0] is None for spec in (text, *others))


def test_requests_that_warm_up_are_answered_batch_first(given: Newcomer) -> None:
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


def test_a_texts_vectors_are_its_own_whatever_shares_the_batch(given: Newcomer) -> None:
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
