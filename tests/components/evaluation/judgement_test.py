"""Tests of the rule for blessing a model: the deciding end of an interval, and chance."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

from components.config import EvaluationConfig
from components.evaluation.judgement import Judgement, from_json, judge, to_json
from models.metric import Metric

SETTINGS = EvaluationConfig(resamples=1_000)
LOSS = Metric("loss", "nll", "tokens", higher_is_better=False, max_regression=0.05)
ACCURACY = Metric("accuracy", "right", "tokens")
OVER = Metric("accuracy_over_unigram", "right", "unigram_right", lower_bound=1.5)

Sums = dict[str, np.ndarray]


def models(rng: np.random.Generator, units: int) -> tuple[Sums, Sums]:
    """Sums of two models that differ only in their seed, so neither is better.

    Each document affects each model on its own (standard deviation 0.03 nats per token), and so
    does each token.
    """
    tokens = np.round(rng.lognormal(0, 0.8, units) * 2_000) + 1
    text = rng.normal(4.0, 0.3, units) * tokens  # equally hard for both models
    found = []
    for _ in range(2):
        effect = rng.normal(0, 0.03, units) * tokens + rng.normal(0, 1.0, units) * np.sqrt(tokens)
        found.append({"nll": text + effect, "tokens": tokens})
    return found[0], found[1]


def worse(sums: Sums, factor: float = 1.0, nats: float = 0.0) -> Sums:
    return {**sums, "nll": sums["nll"] * factor + nats * sums["tokens"]}


def refused(
    metric: Metric, units: int, comparisons: int, seed: int, factor: float = 1.0, nats: float = 0.0
) -> float:
    """Share of comparisons in which a candidate that was made worse is not blessed."""
    rng = np.random.default_rng(seed)
    found = 0
    for _ in range(comparisons):
        candidate, served = models(rng, units)
        found += not judge([metric], worse(candidate, factor, nats), served, SETTINGS).blessed
    return found / comparisons


def test_chance_decides_at_the_nominal_rate() -> None:
    """At a bound, where point estimates alone would bless one half and reject the other."""
    lenient = dataclasses.replace(LOSS, max_regression=0.0, end="better")
    strict = dataclasses.replace(LOSS, max_regression=0.0, end="worse")
    assert refused(lenient, 30, 400, seed=1) == pytest.approx(0.025, abs=0.02)
    assert 1 - refused(strict, 30, 400, seed=2) == pytest.approx(0.025, abs=0.02)
    # The candidate is worse by exactly the allowed amount.
    assert 1 - refused(LOSS, 30, 400, seed=3, nats=0.05) == pytest.approx(0.025, abs=0.02)


def test_equal_models_are_blessed_and_one_worse_by_2_percent_is_not() -> None:
    assert refused(LOSS, 30, 200, seed=4) <= 0.02
    assert refused(LOSS, 30, 200, seed=5, factor=1.02) >= 0.9
    assert refused(LOSS, 8, 200, seed=6, factor=1.02) >= 0.9


def judged(metric: Metric, units: int = 30, **sums: float) -> Judgement:
    """A judgement of units that differ only by a little noise in the numerator."""
    noise = 1 + 0.1 * np.cos(np.arange(units))
    columns = {name: np.full(units, value) for name, value in sums.items()}
    columns[metric.numerator] = columns[metric.numerator] * noise
    return judge([metric], columns, None, SETTINGS)


def test_the_point_estimate_decides_nothing() -> None:
    shown = judged(OVER, right=2.0, unigram_right=1.0)
    assert shown.blessed
    found = shown.metrics["accuracy_over_unigram"]
    assert found.low < found.value < found.high
    between = (found.low + found.value) / 2
    strict = judged(dataclasses.replace(OVER, lower_bound=between), right=2.0, unigram_right=1.0)
    (reason,) = strict.reasons
    assert reason.startswith(f"accuracy_over_unigram is {found}; the lower end must be at least ")
    assert "the text is too short to be sure: it has 30 units, and about" in reason
    above = (found.high + found.value) / 2
    lenient = dataclasses.replace(OVER, lower_bound=above, end="better")
    assert judged(lenient, right=2.0, unigram_right=1.0).blessed
    missed = dataclasses.replace(OVER, lower_bound=3.0, end="better")
    (reason,) = judged(missed, right=2.0, unigram_right=1.0).reasons
    assert reason.endswith("; the upper end must be at least 3")


def test_an_upper_bound_has_its_worse_end_above() -> None:
    metric = Metric("over", "nll", "bigram", higher_is_better=False, upper_bound=0.91)
    found = judged(metric, nll=0.9, bigram=1.0)
    (reason,) = found.reasons
    assert "; the upper end must be at most 0.91 (the value meets the bound" in reason
    assert judged(dataclasses.replace(metric, end="better"), nll=0.92, bigram=1.0).blessed


def test_a_regression_is_judged_in_the_direction_of_its_metric() -> None:
    tokens = np.full(20, 100.0)
    noise = np.cos(np.arange(20))
    metric = dataclasses.replace(ACCURACY, max_regression=0.02)
    before = {"right": 30.0 + noise, "tokens": tokens}
    better = judge([metric], {"right": 40.0 + noise, "tokens": tokens}, before, SETTINGS)
    assert better.blessed
    assert better.changes["accuracy"].low > 0.09
    lower = judge([metric], {"right": 25.0 + noise, "tokens": tokens}, before, SETTINGS)
    (reason,) = lower.reasons
    assert reason == (
        "accuracy is 0.2506, and 0.3006 for the last blessed model: worse by 0.05 [0.05, 0.05];"
        " the upper end must be at most 0.02"
    )


def test_the_reason_says_if_the_text_is_too_short() -> None:
    candidate, served = models(np.random.default_rng(0), 3)
    found = judge([LOSS], candidate, served, SETTINGS, documents=False)
    (reason,) = found.reasons
    assert "[-inf, inf]; the upper end" in reason
    assert reason.endswith("(an interval needs at least 5 units of text; this text has 3)")
    assert found.resampling_note() == (
        "No confidence intervals: the text has 3 units to resample, and intervals need 5."
    )


def test_a_lower_bound_of_0_holds_for_any_amount_of_text() -> None:
    """Even if the baseline is never right, and the model is never right either."""
    free = dataclasses.replace(OVER, lower_bound=0.0)
    for units in (1, 3, 30):
        assert judged(free, units, right=0.0, unigram_right=0.0).blessed
        assert judged(free, units, right=2.0, unigram_right=0.0).blessed
        assert judged(free, units, right=2.0, unigram_right=1.0).blessed


def test_a_model_that_is_right_beats_a_baseline_that_never_is() -> None:
    found = judged(OVER, right=2.0, unigram_right=0.0)
    assert found.blessed
    assert found.notes == [
        "accuracy_over_unigram cannot be computed: unigram_right is 0 on this text, so any right"
        " meets the bound 1.5"
    ]
    neither = judged(OVER, right=0.0, unigram_right=0.0)
    assert neither.reasons == [
        "accuracy_over_unigram cannot be computed: unigram_right is 0 on this text, and so is right"
    ]
    once = {"right": np.eye(30)[0], "unigram_right": np.zeros(30)}
    (reason,) = judge([OVER], once, None, SETTINGS).reasons
    assert reason.endswith("per unit, is not shown to be above 0")


def test_a_text_without_tokens_cannot_show_that_a_model_is_no_worse() -> None:
    nothing = {"nll": np.zeros(30), "tokens": np.zeros(30)}
    found = judge([LOSS], nothing, nothing, SETTINGS)
    assert found.reasons == [
        "loss cannot be compared with the last blessed model: tokens is 0 on this text"
    ]
    over = dataclasses.replace(OVER, lower_bound=None, max_regression=0.1)
    sums = {"right": np.ones(30), "unigram_right": np.zeros(30)}
    found = judge([over], sums, sums, SETTINGS)
    assert found.blessed
    assert len(found.notes) == 1


def test_an_upper_bound_does_not_hold_if_only_the_denominator_is_0() -> None:
    metric = Metric("over", "nll", "bigram", higher_is_better=False, upper_bound=1.0)
    (reason,) = judged(metric, nll=1.0, bigram=0.0).reasons
    assert reason == "over cannot be computed: bigram is 0 on this text, but nll is not"


def test_a_model_with_nan_sums_is_not_blessed() -> None:
    free = dataclasses.replace(LOSS, max_regression=None)
    (reason,) = judged(free, nll=math.nan, tokens=1.0).reasons
    assert reason == "loss is nan: the model's sums are not finite"


def test_metrics_that_the_last_blessed_model_lacks_are_not_compared() -> None:
    candidate, served = models(np.random.default_rng(0), 30)
    accuracy = dataclasses.replace(ACCURACY, max_regression=0.0)
    with_accuracy = {**candidate, "right": candidate["tokens"] * 0.25}
    found = judge([LOSS, accuracy], with_accuracy, served, SETTINGS)
    assert found.blessed
    assert found.changes.keys() == {"loss"}
    assert found.served is not None
    assert found.served.keys() == {"loss"}
    assert len(found.notes) == 1
    nothing = judge([LOSS], candidate, {}, SETTINGS)
    assert nothing.blessed
    assert len(nothing.notes) == 1


def test_a_last_blessed_model_with_nan_is_not_compared() -> None:
    candidate, served = models(np.random.default_rng(0), 30)
    found = judge([LOSS], candidate, worse(served, math.nan), SETTINGS)
    assert found.blessed
    assert found.notes == [
        "loss of the last blessed model is nan on this text: its max_regression, 0.05, was not"
        " checked"
    ]


def test_the_same_sums_give_the_same_judgement_and_json_keeps_it() -> None:
    candidate, served = models(np.random.default_rng(0), 12)
    found = judge([LOSS, ACCURACY], {**candidate, "right": candidate["tokens"]}, served, SETTINGS)
    again = judge([LOSS, ACCURACY], {**candidate, "right": candidate["tokens"]}, served, SETTINGS)
    assert found == again
    assert from_json(json.loads(json.dumps(to_json(found)))) == found
    assert found.resampling_note().startswith(
        "Brackets: 95% confidence intervals, by resampling 12 blocks of documents. Changes are"
    )
