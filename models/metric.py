"""A metric: a ratio of sums over all examples, and the bounds that decide about a blessing."""

from __future__ import annotations

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class Metric:
    """Σ numerator / Σ denominator over all examples (law "Additive numbers"); with bounds, a gate.

    A bound is compared with one end of the metric's confidence interval on the evaluation text,
    which `end` chooses.

    Attributes:
        name: as it is reported.
        numerator, denominator: names of outputs of the signature `evaluate`.
        exponentiate: the metric is exp of the ratio, as a perplexity is.
        higher_is_better: the direction.
        lower_bound, upper_bound: a model outside of the bounds is not blessed.
        max_regression: how much worse than the last blessed model's the metric may be, absolute,
            before `exponentiate`.
        baseline: name of the metric to show next to it.
        end: with "worse", a model must be shown to be within the bounds; with "better", it is
            refused only if it is shown to be outside of them.
    """

    name: str
    numerator: str
    denominator: str
    exponentiate: bool = False
    higher_is_better: bool = True
    lower_bound: float | None = None
    upper_bound: float | None = None
    max_regression: float | None = None
    baseline: str | None = None
    end: Literal["worse", "better"] = "worse"
