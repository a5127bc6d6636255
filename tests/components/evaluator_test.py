"""TFX's own Evaluator over a model whose figures are known: values, slices, thresholds, words."""

import json
import math
import pathlib

import pytest
import tensorflow as tf
from google.protobuf import json_format
from tfx.components.evaluator import executor
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.types import standard_artifacts

from components import evaluator, exporter
from models.examples import serialize
from models.objective import Metric
from tests.testdata.letter_objective import LetterObjective, WordTokenizer

# ids (weights 0.5, 1, 2 for ids 1, 2, 3), source, length
_EXAMPLES = [
    ([1, 2, 3, 0], b"news", b"001-002"),
    ([1, 0, 0, 0], b"news", b"003-004"),
    ([3, 3, 0, 0], b"books", b"003-004"),
]
# sums over all: nll 3.5 + 0.5 + 4 = 8, tokens 3 + 1 + 2 = 6, correct 1 + 1 + 0 = 2


def _model(folder: pathlib.Path, **model) -> standard_artifacts.Model:
    objective = LetterObjective()
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


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Examples, a model, and a worse one, whose weights make the loss 2/6 higher."""
    folder = tmp_path_factory.mktemp("inputs")
    examples = standard_artifacts.Examples()
    examples.uri = str(folder / "examples")
    examples.split_names = '["train", "eval"]'
    (folder / "examples/Split-eval").mkdir(parents=True)
    objective = LetterObjective()
    with tf.io.TFRecordWriter(
        str(folder / "examples/Split-eval/examples-00000-of-00001.tfrecord.gz"), "GZIP"
    ) as file:
        for ids, source, length in _EXAMPLES:
            example = objective.example(ids, source, length)
            file.write(serialize(example, objective.feature_spec()))
    return {
        "examples": examples,
        "good": _model(folder / "good"),
        "worse": _model(folder / "worse", weights=(0.0, 1.5, 1.0, 2.0)),
    }


def _evaluate(inputs, folder, metrics, model, baseline=None):
    """Runs TFX's Evaluator; returns what we read back and TFX's own blessing."""
    blessing = standard_artifacts.ModelBlessing()
    blessing.uri = str(folder / "blessing")
    evaluation = standard_artifacts.ModelEvaluation()
    evaluation.uri = str(folder / "evaluation")
    given = {"examples": [inputs["examples"]], "model": [inputs[model]]}
    if baseline:
        given["baseline_model"] = [inputs[baseline]]
    context = BaseBeamExecutor.Context(
        beam_pipeline_args=["--runner=DirectRunner"], tmp_dir=str(folder), unique_id="1"
    )
    executor.Executor(context).Do(
        given,
        {"evaluation": [evaluation], "blessing": [blessing]},
        {
            "eval_config": json_format.MessageToJson(
                evaluator.eval_config(metrics), preserving_proto_field_name=True
            ),
            "example_splits": json.dumps(["eval"]),
        },
    )
    return (
        evaluator.read_evaluation(evaluation.uri),
        blessing.get_int_custom_property("blessed") == 1,
    )


def test_figures_are_ratios_of_sums_over_each_slice(inputs, tmp_path):
    metrics = LetterObjective(lower_bound=0.3).metrics()
    found, blessed = _evaluate(inputs, tmp_path, metrics, "good")
    assert blessed
    assert found.blessed
    assert found.failures == ()
    assert [figures.name for figures in found.slices] == [
        "overall",
        "length=001-002",
        "length=003-004",
        "source=books",
        "source=news",
    ]
    assert found.overall.examples == 3
    assert found.overall.baseline is None
    assert found.overall.candidate == pytest.approx(
        {"loss": 8 / 6, "perplexity": math.exp(8 / 6), "accuracy": 2 / 6}, rel=1e-12
    )
    news = found.slices[-1]
    assert news.examples == 2
    assert news.candidate == pytest.approx(
        {"loss": 4 / 4, "perplexity": math.e, "accuracy": 2 / 4}, rel=1e-12
    )


def test_a_worse_model_is_not_blessed_and_says_why(inputs, tmp_path):
    metrics = LetterObjective(lower_bound=0.5, max_regression=0.1).metrics()
    found, blessed = _evaluate(inputs, tmp_path, metrics, "worse", baseline="good")
    assert not blessed
    assert not found.blessed
    assert found.overall.candidate["loss"] == pytest.approx(10 / 6, rel=1e-12)
    assert found.overall.baseline["loss"] == pytest.approx(8 / 6, rel=1e-12)
    assert sorted(map(str, found.failures)) == [
        "accuracy is 0.3333, below its lower bound 0.5",
        "perplexity is 5.294, the last blessed model's 3.794: 1.501 worse, at most 0.1 is allowed",
    ]


def test_a_better_model_passes_its_change_threshold(inputs, tmp_path):
    metrics = LetterObjective(max_regression=0.0).metrics()
    found, blessed = _evaluate(inputs, tmp_path, metrics, "good", baseline="worse")
    assert blessed
    assert found.blessed
    assert found.failures == ()


def test_a_figure_over_nothing_meets_no_bound(inputs, tmp_path):
    never = Metric("accuracy_over_zero", "correct_count", "padding", lower_bound=0.0)
    combiner = (
        evaluator.Ratio("correct_count", "padding", "accuracy_over_zero").computations()[0].combiner
    )
    (value,) = combiner.extract_output(combiner.create_accumulator()).values()
    assert math.isnan(value)
    config = evaluator.eval_config([never])
    (threshold,) = config.metrics_specs[0].metrics[1].per_slice_thresholds
    assert threshold.threshold.value_threshold.HasField("lower_bound")
    assert not value >= threshold.threshold.value_threshold.lower_bound.value


@pytest.mark.parametrize(("ratio", "expected"), [(2.0, math.exp(2.0)), (1e4, math.inf)])
def test_perplexity_saturates_instead_of_overflowing(ratio, expected):
    combiner = evaluator.ExpRatio("nll_sum", "token_count", "perplexity").computations()[0].combiner
    assert list(combiner.extract_output((ratio * 3, 3.0)).values()) == [expected]


def test_without_a_bound_there_is_nothing_to_bless_by():
    with pytest.raises(ValueError, match="no metric has a bound"):
        evaluator.eval_config(LetterObjective().metrics())


def test_bounds_look_at_the_whole_split_and_regressions_have_a_direction():
    config = evaluator.eval_config(
        [
            Metric("up", "a", "b", lower_bound=0.1, upper_bound=0.9, max_regression=0.02),
            Metric("down", "a", "b", higher_is_better=False, max_regression=0.02),
        ]
    )
    _, up, down = config.metrics_specs[0].metrics
    assert [len(slice_.feature_keys) for slice_ in up.per_slice_thresholds[0].slicing_specs] == [0]
    bounds = up.per_slice_thresholds[0].threshold
    assert (
        bounds.value_threshold.lower_bound.value,
        bounds.value_threshold.upper_bound.value,
        bounds.change_threshold.absolute.value,
    ) == (0.1, 0.9, -0.02)
    assert down.per_slice_thresholds[0].threshold.change_threshold.absolute.value == 0.02
