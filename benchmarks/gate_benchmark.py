"""How often the evaluation gate errs by chance, and how small a regression it detects.

    python -m benchmarks.gate_benchmark --models MODEL MODEL --examples EXAMPLES [--save SUMS.npz]
    python -m benchmarks.gate_benchmark --sums SUMS.npz
    python -m benchmarks.gate_benchmark

The two MODELs are folders of exported models (`…/Format-Serving` or a pushed version) that were
trained on the same data with different seeds; EXAMPLES is a folder of ExampleBuilder's. Without
them, the sums of two equally good models are simulated: 8 units of a few thousand tokens, as in the
demo's first span.

Real sums are resampled. A comparison draws as many units as the text has, with replacement, and
assigns the two models' sums of each unit to candidate and baseline at random. So neither is truly
better. `components.evaluation.judgement` then judges the candidate, unchanged and made worse. "By
value" compares only the two numbers, without intervals.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
from collections.abc import Mapping

import numpy as np

from components.config import EvaluationConfig
from components.evaluation.judgement import judge
from components.evaluation.resampling_units import UNIT, sums_to_resample, unit_number
from models.metric import Metric

_MAX_UNITS = 1_024
_POWER = 0.9  # share of worse models that should be refused

Sums = Mapping[str, np.ndarray]
_SYNTHETIC = Metric("loss", "nll_sum", "token_count", higher_is_better=False, max_regression=0.05)


def main() -> None:
    """Prints the rates of the metrics."""
    options = _arguments()
    if options.models:
        metrics, pair, documents = _evaluated(options.models, options.examples)
        if options.save:
            _save(options.save, metrics, pair, documents)
    elif options.sums:
        metrics, pair, documents = _load(options.sums)
    else:
        metrics, pair, documents = [_SYNTHETIC], _simulated(np.random.default_rng(0), 8), True
    settings = EvaluationConfig(confidence=options.confidence, resamples=options.resamples)
    kind = "blocks of documents" if documents else "parts of too few documents"
    units = len(next(iter(pair[0].values())))
    print(f"{units} units ({kind}), {options.comparisons} comparisons,", end=" ")
    print(f"nominal {(1 - settings.confidence) / 2:.1%} at each end")
    for metric in metrics:
        if metric.name == options.metric:
            # A metric without a bound is refused only if it is shown to be worse.
            unbounded = dataclasses.replace(metric, max_regression=0.0, end="better")
            chosen = unbounded if metric.max_regression is None else metric
            _measure(chosen, pair, settings, options.comparisons, options.worse)
        elif options.metric is None and metric.max_regression is not None:
            _measure(metric, pair, settings, options.comparisons, options.worse)


def _measure(
    metric: Metric, pair: tuple[Sums, Sums], settings: EvaluationConfig, times: int, share: float
) -> None:
    """Prints the rates of a metric whose regression against the last blessed model is bounded."""
    judgement = judge([metric], *pair, settings)
    value, change = judgement.metrics[metric.name], judgement.changes[metric.name]
    print(f"\n{metric.name}: {value}; difference of the two models: {change}")
    print(f"maximum regression {metric.max_regression:.4g}, judged by the {metric.end} end")
    _print_rates_of_equals(metric, pair, settings, times)
    _print_power(metric, pair, settings, times, share)


def _print_rates_of_equals(
    metric: Metric, pair: tuple[Sums, Sums], settings: EvaluationConfig, times: int
) -> None:
    """Prints how often equally good models are refused or blessed by chance."""
    units = len(next(iter(pair[0].values())))
    strict = dataclasses.replace(metric, max_regression=0.0, end="worse")
    lenient = dataclasses.replace(metric, max_regression=0.0, end="better")
    allowed = metric.max_regression or 0.0
    by_value = _rates(metric, pair, settings, times, units, value_alone=True)
    rows = [
        (
            "equal, shown to be worse: refused by chance",
            _rates(lenient, pair, settings, times, units),
        ),
        (
            "equal, shown to be better: blessed by chance",
            1 - _rates(strict, pair, settings, times, units),
        ),
        ("equal, refused by value", by_value),
        ("equal, refused as configured", _rates(metric, pair, settings, times, units)),
        (
            "worse by exactly the maximum regression, blessed",
            1 - _rates(metric, pair, settings, times, units, worse=allowed),
        ),
    ]
    for name, rate in rows:
        print(f"  {name:55s} {rate:6.1%}")


def _print_power(
    metric: Metric, pair: tuple[Sums, Sums], settings: EvaluationConfig, times: int, share: float
) -> None:
    """Prints how often a model that is worse by `share` is refused, by number of units."""
    lenient = dataclasses.replace(metric, max_regression=0.0, end="better")
    size = len(next(iter(pair[0].values())))
    while True:
        refused = _rates(metric, pair, settings, times, size, share=share)
        print(
            f"  worse by {share:.0%}, refused as configured, {size:5d} units{'':8s} {refused:6.1%}"
        )
        if refused >= _POWER or size * 2 > _MAX_UNITS:
            break
        size *= 2
    size = 8
    while size <= _MAX_UNITS:
        refused = _rates(lenient, pair, settings, times, size, share=share)
        if refused >= _POWER:
            print(f"  worse by {share:.0%}, shown to be worse in {refused:.1%} at {size} units")
            return
        size *= 2
    print(f"  worse by {share:.0%}, shown to be worse in {refused:.1%} at {size // 2} units")


def _rates(
    metric: Metric,
    pair: tuple[Sums, Sums],
    settings: EvaluationConfig,
    times: int,
    units: int,
    *,
    share: float = 0.0,
    worse: float = 0.0,
    value_alone: bool = False,
) -> float:
    """The share of comparisons in which the candidate is refused.

    Args:
        metric: the metric with its bound.
        pair: the sums of the two models.
        settings: confidence and resamples.
        times: number of comparisons.
        units: number of units to draw.
        share: how much worse the candidate is made, relative to its metric.
        worse: how much worse the candidate is made, in the unit of the metric.
        value_alone: whether to judge by the value instead of the interval.
    """
    rng = np.random.default_rng((units, times))
    sign = -1.0 if metric.higher_is_better else 1.0
    refused = 0
    for _ in range(times):
        drawn = rng.integers(0, len(pair[0][metric.numerator]), units)
        swapped = rng.random(units) < 0.5
        models = []
        for first, second in (pair, pair[::-1]):
            models.append(
                {
                    name: np.where(swapped, second[name][drawn], first[name][drawn])
                    for name in (metric.numerator, metric.denominator)
                }
            )
        candidate, served = models
        if share or worse:
            numerator = candidate[metric.numerator] * (1 + sign * share)
            numerator = numerator + sign * worse * candidate[metric.denominator]
            candidate = {**candidate, metric.numerator: numerator}
        judgement = judge([metric], candidate, served, settings)
        if value_alone:
            refused += sign * judgement.changes[metric.name].value > 0
        else:
            refused += not judgement.blessed
    return refused / times


def _simulated(rng: np.random.Generator, units: int) -> tuple[Sums, Sums]:
    """Random sums of two equally good models."""
    tokens = np.round(rng.lognormal(8, 0.8, units))
    text = rng.normal(4.0, 0.3, units) * tokens
    first, second = (
        {
            "nll_sum": text
            + rng.normal(0, 0.02, units) * tokens
            + rng.normal(0, 1, units) * np.sqrt(tokens),
            "token_count": tokens,
        }
        for _ in range(2)
    )
    return first, second


def _evaluated(
    models: tuple[pathlib.Path, pathlib.Path], examples: pathlib.Path
) -> tuple[list[Metric], tuple[Sums, Sums], bool]:
    """The metrics of two exported models, and their sums by unit on the split "test"."""
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  registers the tokenizer's ops

    from models.registry import FAMILIES
    from models.settings import from_json

    model = json.loads((models[0] / "assets.extra/config.json").read_text())["model"]
    family = FAMILIES[model["family"]]
    metrics = list(from_json(family.config, json.dumps(model)).objective.metrics())
    files = sorted(map(str, (examples / "Split-test").iterdir()))
    sums: list[dict[int, np.ndarray]] = [{}, {}]
    names: list[str] = []
    for of_model, folder in zip(sums, models, strict=True):
        evaluate = tf.saved_model.load(str(folder)).signatures["evaluate"]
        for batch in tf.data.TFRecordDataset(files, "GZIP").batch(256):
            outputs = {name: each.numpy() for name, each in evaluate(examples=batch).items()}
            names = sorted(outputs)
            rows = np.stack([outputs[name] for name in names], axis=1).astype(np.float64)
            spec = {UNIT: tf.io.FixedLenFeature([], tf.string)}
            for unit, row in zip(tf.io.parse_example(batch, spec)[UNIT].numpy(), rows, strict=True):
                number = unit_number(unit)
                of_model[number] = of_model[number] + row if number in of_model else row
    (first, documents), (second, _) = map(sums_to_resample, sums)
    return metrics, (_named(names, first), _named(names, second)), documents


def _named(names: list[str], units: np.ndarray) -> Sums:
    return dict(zip(names, units.T, strict=True))


def _save(
    path: pathlib.Path, metrics: list[Metric], pair: tuple[Sums, Sums], documents: bool
) -> None:
    description = {
        "metrics": [dataclasses.asdict(each) for each in metrics],
        "documents": documents,
    }
    columns = {f"{index}/{name}": each for index in (0, 1) for name, each in pair[index].items()}
    np.savez_compressed(path, description=json.dumps(description), **columns)


def _load(path: pathlib.Path) -> tuple[list[Metric], tuple[Sums, Sums], bool]:
    with np.load(path) as file:
        description = json.loads(str(file["description"]))
        first, second = (
            {name[2:]: file[name] for name in file.files if name.startswith(f"{index}/")}
            for index in (0, 1)
        )
    metrics = [Metric(**each) for each in description["metrics"]]
    return metrics, (first, second), description["documents"]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--models", nargs=2, type=pathlib.Path, help="folders of two exported models"
    )
    parser.add_argument("--examples", type=pathlib.Path, help="ExampleBuilder's folder")
    parser.add_argument("--save", type=pathlib.Path, help="file to save the sums to")
    parser.add_argument("--sums", type=pathlib.Path, help="file of saved sums")
    parser.add_argument("--metric", help="name of the metric; default: all with a bound")
    parser.add_argument("--comparisons", type=int, default=1_000)
    parser.add_argument(
        "--worse", type=float, default=0.02, help="how much worse a model is made, relatively"
    )
    parser.add_argument("--confidence", type=float, default=0.95)
    parser.add_argument("--resamples", type=int, default=2_000)
    options = parser.parse_args()
    if options.models and not options.examples:
        parser.error("--models needs --examples")
    return options


if __name__ == "__main__":
    main()
