"""How often luck blesses and refuses, and how small a loss the gate sees: by resampling real sums.

    python -m benchmarks.gate_benchmark --models MODEL MODEL --examples EXAMPLES [--save SUMS.npz]
    python -m benchmarks.gate_benchmark --sums SUMS.npz
    python -m benchmarks.gate_benchmark

MODEL is an exported model's folder (`…/Format-Serving` or a pushed version), two of the same data
with other seeds; EXAMPLES is a folder of ExampleBuilder's. Without either, sums are drawn of two
models that are alike: 8 units of a few thousand tokens, as in the demo's first span.

A comparison draws as many units as the text has, with replacement, and in each unit a coin says
which of the two models is the candidate's: neither is better in truth, however they differ. The
candidate is then judged by `components.evaluation.judgement`, as it is and made worse. "By value"
is what comparing the two numbers alone would come to.
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

_MOST_UNITS = 1_024
_POWER = 0.9  # share of models made worse that are to be refused

Sums = Mapping[str, np.ndarray]
_SYNTHETIC = Metric("loss", "nll_sum", "token_count", higher_is_better=False, max_regression=0.05)


def main() -> None:
    """Prints the tables."""
    options = _arguments()
    if options.models:
        metrics, pair, documents = _evaluated(options.models, options.examples)
        if options.save:
            _save(options.save, metrics, pair, documents)
    elif options.sums:
        metrics, pair, documents = _load(options.sums)
    else:
        metrics, pair, documents = [_SYNTHETIC], _drawn(np.random.default_rng(0), 8), True
    settings = EvaluationConfig(confidence=options.confidence, resamples=options.resamples)
    kind = "blocks of documents" if documents else "parts of too few documents"
    units = len(next(iter(pair[0].values())))
    print(f"{units} units ({kind}), {options.comparisons} comparisons,", end=" ")
    print(f"nominal {(1 - settings.confidence) / 2:.1%} at either end")
    for metric in metrics:
        if metric.name == options.metric:
            # Without a bound: none to be worse, and refused only if that is shown.
            free = dataclasses.replace(metric, max_regression=0.0, end="better")
            chosen = free if metric.max_regression is None else metric
            _measure(chosen, pair, settings, options.comparisons, options.worse)
        elif options.metric is None and metric.max_regression is not None:
            _measure(metric, pair, settings, options.comparisons, options.worse)


def _measure(
    metric: Metric, pair: tuple[Sums, Sums], settings: EvaluationConfig, times: int, share: float
) -> None:
    """The rates of one metric that has a bound against the last blessed model."""
    found = judge([metric], *pair, settings)
    value, change = found.metrics[metric.name], found.changes[metric.name]
    print(f"\n{metric.name}: {value}, less the other model's {change}")
    print(f"largest regression allowed {metric.max_regression:.4g}, by the {metric.end} end")
    units = len(next(iter(pair[0].values())))
    strict = dataclasses.replace(metric, max_regression=0.0, end="worse")
    lenient = dataclasses.replace(metric, max_regression=0.0, end="better")
    most = metric.max_regression or 0.0
    by_value = _rates(metric, pair, settings, times, units, value_alone=True)
    rows = [
        (
            "equal, shown to be worse: refused by luck",
            _rates(lenient, pair, settings, times, units),
        ),
        (
            "equal, shown to be better: blessed by luck",
            1 - _rates(strict, pair, settings, times, units),
        ),
        ("equal, refused by value", by_value),
        ("equal, refused as configured", _rates(metric, pair, settings, times, units)),
        (
            "worse by just what is allowed, blessed",
            1 - _rates(metric, pair, settings, times, units, worse=most),
        ),
    ]
    for name, rate in rows:
        print(f"  {name:55s} {rate:6.1%}")
    size = units
    while True:
        refused = _rates(metric, pair, settings, times, size, share=share)
        print(
            f"  worse by {share:.0%}, refused as configured, {size:5d} units{'':8s} {refused:6.1%}"
        )
        if refused >= _POWER or size * 2 > _MOST_UNITS:
            break
        size *= 2
    size = 8
    while size <= _MOST_UNITS:
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
        metric: with the bound.
        pair: the two models' sums.
        settings: confidence and resamples.
        times: comparisons.
        units: of the text that is drawn.
        share: how much worse the candidate is made, as a share of its metric.
        worse: how much worse the candidate is made, in the unit of its metric.
        value_alone: judge by the value, not the interval.
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
            made = candidate[metric.numerator] * (1 + sign * share)
            made = made + sign * worse * candidate[metric.denominator]
            candidate = {**candidate, metric.numerator: made}
        found = judge([metric], candidate, served, settings)
        if value_alone:
            refused += sign * found.changes[metric.name].value > 0
        else:
            refused += not found.blessed
    return refused / times


def _drawn(rng: np.random.Generator, units: int) -> tuple[Sums, Sums]:
    """Sums of two models that are alike."""
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
    """Two exported models' sums by unit, on the held-out examples of a folder."""
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
    told = {"metrics": [dataclasses.asdict(each) for each in metrics], "documents": documents}
    columns = {f"{place}/{name}": each for place in (0, 1) for name, each in pair[place].items()}
    np.savez_compressed(path, told=json.dumps(told), **columns)


def _load(path: pathlib.Path) -> tuple[list[Metric], tuple[Sums, Sums], bool]:
    with np.load(path) as file:
        told = json.loads(str(file["told"]))
        first, second = (
            {name[2:]: file[name] for name in file.files if name.startswith(f"{place}/")}
            for place in (0, 1)
        )
    return [Metric(**each) for each in told["metrics"]], (first, second), told["documents"]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs=2, type=pathlib.Path, help="two exported models")
    parser.add_argument("--examples", type=pathlib.Path, help="ExampleBuilder's folder")
    parser.add_argument("--save", type=pathlib.Path, help="where to keep the sums")
    parser.add_argument("--sums", type=pathlib.Path, help="sums that were kept")
    parser.add_argument("--metric", help="one, with or without a bound; else those with one")
    parser.add_argument("--comparisons", type=int, default=1_000)
    parser.add_argument(
        "--worse", type=float, default=0.02, help="share that a model is made worse"
    )
    parser.add_argument("--confidence", type=float, default=0.95)
    parser.add_argument("--resamples", type=int, default=2_000)
    options = parser.parse_args()
    if options.models and not options.examples:
        parser.error("--models needs --examples")
    return options


if __name__ == "__main__":
    main()
