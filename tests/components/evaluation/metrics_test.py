"""TFX's own Evaluator on a model with known metrics: values, intervals, verdict, messages."""

import dataclasses
import json
import math
import pathlib

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from google.protobuf import json_format
from tfx.components.evaluator import executor
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.types import standard_artifacts

from components.config import EvaluationConfig
from components.evaluation.metrics import Verdict, eval_config
from components.evaluation.resampling_units import UNIT, UNIT_FEATURE
from components.evaluation.results import read_evaluation
from components.serving import export as exporter
from models.examples import serialize
from models.metric import Metric
from tests.testdata.letter_objective import LetterObjective, WordTokenizer

# ids (losses 0.5, 1, 2 for ids 1, 2, 3), source, length; each block of documents holds all three
_EXAMPLES = [
    ([1, 2, 3, 0], b"news", b"001-002"),
    ([1, 0, 0, 0], b"news", b"003-004"),
    ([3, 3, 0, 0], b"books", b"003-004"),
]
_BLOCKS = 6
# Sums of a block: nll 3.5 + 0.5 + 4 = 8, tokens 3 + 1 + 2 = 6, correct 1 + 1 + 0 = 2


def _model(
    folder: pathlib.Path, objective: LetterObjective | None = None, **model
) -> standard_artifacts.Model:
    objective = objective or LetterObjective()
    exporter.export(
        objective.build_model(**model),
        objective,
        WordTokenizer(),
        folder / "Format-Serving",
        config_json="{}",
        provenance={},
    )
    artifact = standard_artifacts.Model()
    artifact.uri = str(folder)
    return artifact


class _OlderObjective(LetterObjective):
    """An objective of an older release, whose `evaluate` has no output `correct_count`."""

    def metrics(self):
        return super().metrics()[:2]


def _examples(folder: pathlib.Path, ids_of_block) -> standard_artifacts.Examples:
    """Examples of `_BLOCKS` blocks; `ids_of_block(block)` lists those of a block."""
    examples = standard_artifacts.Examples()
    examples.uri = str(folder)
    examples.split_names = '["train", "test"]'
    (folder / "Split-test").mkdir(parents=True)
    objective = LetterObjective()
    spec = {**objective.feature_spec(), UNIT: UNIT_FEATURE}
    with tf.io.TFRecordWriter(
        str(folder / "Split-test/examples-00000-of-00001.tfrecord.gz"), "GZIP"
    ) as file:
        for block in range(_BLOCKS):
            for part, (ids, source, length) in enumerate(ids_of_block(block)):
                unit = np.array([b"00000-%05d-%02d" % (block, part)], object)
                example = {**objective.example(ids, source, length), UNIT: unit}
                file.write(serialize(example, spec))
    return examples


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Sets of examples, and models: in "worse" and "older" the loss is 2/6 higher."""
    folder = tmp_path_factory.mktemp("inputs")
    return {
        "alike": _examples(folder / "alike", lambda block: _EXAMPLES),
        # Blocks differ: the more 3s a block has, the larger its loss.
        "unlike": _examples(
            folder / "unlike",
            lambda block: (
                [([1, 2, 3, 0], b"news", b"001-002")]
                + [([3, 3, 3, 3], b"books", b"003-004")] * block
            ),
        ),
        "many": _examples(
            folder / "many",
            lambda block: [([1, 2, 3, 0], b"s%02d" % source, b"001-002") for source in range(100)],
        ),
        "good": _model(folder / "good"),
        "worse": _model(folder / "worse", weights=(0.0, 1.5, 1.0, 2.0)),
        "older": _model(folder / "older", _OlderObjective(), weights=(0.0, 1.5, 1.0, 2.0)),
        "broken": _model(folder / "broken", weights=(0.0, math.nan, 1.0, 2.0)),
    }


def _evaluate(inputs, folder, metrics, model, baseline=None, examples="alike"):
    """Runs TFX's Evaluator; returns the evaluation as read back, and TFX's own blessing."""
    blessing = standard_artifacts.ModelBlessing()
    blessing.uri = str(folder / "blessing")
    evaluation = standard_artifacts.ModelEvaluation()
    evaluation.uri = str(folder / "evaluation")
    artifacts = {"examples": [inputs[examples]], "model": [inputs[model]]}
    if baseline:
        artifacts["baseline_model"] = [inputs[baseline]]
    context = BaseBeamExecutor.Context(
        beam_pipeline_args=["--runner=DirectRunner"], tmp_dir=str(folder), unique_id="1"
    )
    executor.Executor(context).Do(
        artifacts,
        {"evaluation": [evaluation], "blessing": [blessing]},
        {
            "eval_config": json_format.MessageToJson(
                eval_config(metrics), preserving_proto_field_name=True
            ),
            "example_splits": json.dumps(["test"]),
        },
    )
    return (
        read_evaluation(evaluation.uri),
        blessing.get_int_custom_property("blessed") == 1,
    )


def test_metrics_are_ratios_of_sums_over_each_slice(inputs, tmp_path):
    metrics = LetterObjective(lower_bound=0.3).metrics()
    found, blessed = _evaluate(inputs, tmp_path, metrics, "good")
    assert blessed
    assert found.blessed
    assert found.reasons == ()
    assert [each.name for each in found.slices] == [
        "overall",
        "length=001-002",
        "length=003-004",
        "source=books",
        "source=news",
    ]
    assert found.overall.examples == 3 * _BLOCKS
    assert found.overall.baseline is None
    assert found.overall.candidate == pytest.approx(
        {"loss": 8 / 6, "perplexity": math.exp(8 / 6), "accuracy": 2 / 6}, rel=1e-12
    )
    news = found.slices[-1]
    assert news.examples == 2 * _BLOCKS
    assert news.candidate == pytest.approx(
        {"loss": 4 / 4, "perplexity": math.e, "accuracy": 2 / 4}, rel=1e-12
    )


def test_each_of_a_hundred_sources_has_metrics(inputs, tmp_path):
    found, _ = _evaluate(inputs, tmp_path, LetterObjective().metrics(), "good", examples="many")
    sources = [each for each in found.slices if each.name.startswith("source=")]
    assert len(sources) == 100
    assert {each.examples for each in sources} == {_BLOCKS}


def test_blocks_of_documents_are_resampled(inputs, tmp_path):
    metrics = LetterObjective(lower_bound=0.0).metrics()
    found, blessed = _evaluate(inputs, tmp_path, metrics, "good", examples="unlike")
    assert blessed
    judgement = found.judgement
    assert (judgement.units, judgement.documents) == (_BLOCKS, True)
    # Over all blocks: nll 6 · 3.5 + 15 · 8, tokens 6 · 3 + 15 · 4.
    loss = judgement.metrics["loss"]
    assert loss.value == pytest.approx(141 / 78, rel=1e-12)
    assert 3.5 / 3 <= loss.low < loss.value < loss.high <= 43.5 / 23  # the losses of single blocks
    perplexity = judgement.metrics["perplexity"]
    assert (perplexity.low, perplexity.high) == pytest.approx(
        (math.exp(loss.low), math.exp(loss.high))
    )


def test_a_value_above_its_bound_is_not_blessed_if_noise_explains_it(inputs, tmp_path):
    """Accuracy is 6/78 = 0.077, and 0.06 in some resamples: 0.07 is not shown to be exceeded."""
    metrics = LetterObjective(lower_bound=0.07).metrics()
    found, blessed = _evaluate(inputs, tmp_path, metrics, "good", examples="unlike")
    assert found.overall.candidate["accuracy"] > 0.07
    assert not blessed
    (reason,) = found.reasons
    assert reason.startswith("accuracy is 0.07692 [0.0")
    assert "the lower end must be at least 0.07 (the value meets the bound, but" in reason
    lenient = LetterObjective(lower_bound=0.08, end="better").metrics()
    found, blessed = _evaluate(inputs, tmp_path / "lenient", lenient, "good", examples="unlike")
    assert found.overall.candidate["accuracy"] < 0.08
    assert blessed


def test_a_worse_model_is_not_blessed_and_says_why(inputs, tmp_path):
    metrics = LetterObjective(lower_bound=0.5, max_regression=0.1).metrics()
    found, blessed = _evaluate(inputs, tmp_path, metrics, "worse", baseline="good")
    assert not blessed
    assert not found.blessed
    assert found.overall.candidate["loss"] == pytest.approx(10 / 6, rel=1e-12)
    assert found.overall.baseline["loss"] == pytest.approx(8 / 6, rel=1e-12)
    assert found.reasons == [
        "perplexity is 5.294, and 3.794 for the last blessed model: worse by 1.501 [1.501, 1.501];"
        " the upper end must be at most 0.1",
        "accuracy is 0.3333 [0.3333, 0.3333]; the lower end must be at least 0.5",
    ]


def test_a_better_model_passes_its_change_bound(inputs, tmp_path):
    metrics = LetterObjective(max_regression=0.0).metrics()
    found, blessed = _evaluate(inputs, tmp_path, metrics, "good", baseline="worse")
    assert blessed
    assert found.reasons == ()
    change = found.judgement.changes["loss"]
    assert (change.value, change.low, change.high) == pytest.approx((-2 / 6,) * 3, rel=1e-9)


def test_a_metric_that_the_last_blessed_model_lacks_is_not_compared(inputs, tmp_path):
    metrics = [
        *LetterObjective(max_regression=0.0).metrics()[:2],
        Metric("accuracy", "correct_count", "token_count", max_regression=0.02),
    ]
    found, blessed = _evaluate(inputs, tmp_path, metrics, "good", baseline="older")
    assert blessed
    assert found.overall.baseline.keys() == {"loss", "perplexity"}
    assert found.overall.candidate["accuracy"] == pytest.approx(2 / 6)
    assert found.judgement.changes.keys() == {"loss", "perplexity"}
    assert found.judgement.notes == [
        "the last blessed model does not have accuracy: its max_regression, 0.02, was not checked"
    ]


def test_a_model_whose_sums_are_not_finite_is_not_blessed(inputs, tmp_path):
    found, blessed = _evaluate(inputs, tmp_path, LetterObjective().metrics(), "broken")
    assert not blessed
    assert found.reasons == [
        "loss is nan: the model's sums are not finite",
        "perplexity is nan: the model's sums are not finite",
    ]


def _verdict(*metrics, **settings):
    config = EvaluationConfig(**settings)
    as_fields = [dataclasses.asdict(metric) for metric in metrics]
    (computation,) = Verdict(as_fields, dataclasses.asdict(config)).computations()
    return computation.combiner


def _element(unit, **outputs):
    return {
        tfma.PREDICTIONS_KEY: {name: np.array([value]) for name, value in outputs.items()},
        tfma.FEATURES_KEY: {UNIT: np.array([unit], object)},
    }


def _by_name(output):
    return {key.name: value for key, value in output.items()}


@pytest.mark.parametrize(("ratio", "expected"), [(2.0, math.exp(2.0)), (1e4, math.inf)])
def test_perplexity_saturates_instead_of_overflowing(ratio, expected):
    combiner = _verdict(Metric("perplexity", "nll_sum", "token_count", exponentiate=True))
    sums = combiner.create_accumulator()
    for block in range(5):
        element = _element(b"00000-%05d-00" % block, nll_sum=ratio * 3, token_count=3.0)
        sums = combiner.add_input(sums, element)
    values = _by_name(combiner.extract_output(sums))
    assert values["perplexity"] == pytest.approx(expected)
    assert values["verdict"] == 1.0


def test_sums_merge_in_any_order_and_are_those_of_the_units():
    combiner = _verdict(Metric("accuracy", "right", "count", lower_bound=0.0))
    elements = [
        _element(b"00000-%05d-%02d" % divmod(place, 2), right=float(place % 3), count=3.0)
        for place in range(12)
    ]
    parts = [combiner.create_accumulator() for _ in range(3)]
    for place, element in enumerate(elements):
        parts[place % 3] = combiner.add_input(parts[place % 3], element)
    one = combiner.extract_output(combiner.merge_accumulators(parts))
    two = combiner.extract_output(combiner.merge_accumulators(parts[::-1]))
    assert one == two
    assert _by_name(one)["accuracy"] == pytest.approx(12 / 36)
    assert json.loads(_by_name(one)["judgement"])["units"] == 6


def test_the_number_of_units_in_memory_is_bounded():
    combiner = _verdict(Metric("accuracy", "right", "count"))
    sums = combiner.create_accumulator()
    for block in range(40_000):
        name = b"00000-%05d-%02d" % (block, block % 16)
        sums = combiner.add_input(sums, _element(name, right=1.0, count=1.0))
    assert len(sums) <= 1_024 * 16
    assert json.loads(_by_name(combiner.extract_output(sums))["judgement"])["units"] <= 1_024


def test_the_verdict_is_the_only_bound_and_applies_to_the_whole_split():
    config = eval_config([Metric("up", "a", "b", lower_bound=0.1, max_regression=0.02)])
    count, verdict = config.metrics_specs[0].metrics
    assert count.class_name == "ExampleCount"
    assert not count.per_slice_thresholds
    (threshold,) = verdict.per_slice_thresholds
    assert [len(slice_.feature_keys) for slice_ in threshold.slicing_specs] == [0]
    assert threshold.threshold.value_threshold.lower_bound.value == 1.0
