"""Results of training one configuration with several seeds, and the choice of the best seed.

One training says little about a configuration: two seeds may differ by more than two configurations
do. The best seed has the lowest loss on the split "eval". The Evaluator then judges its model on
the split "test", which had no part in the choice.
"""

from __future__ import annotations

import dataclasses
import json
import math
import pathlib
import statistics
from collections.abc import Mapping, Sequence
from typing import Annotated

import pydantic

from components.storage.publish import write_whole
from models.settings import from_json

SEEDS_FILE = "seeds.json"
"""In the ModelRun artifact of a training with several seeds."""
LOSS = "loss"
"""Name of the training loss among the metrics."""

_EARLIER_NAME = pydantic.AliasChoices("metrics", "figures")  # of earlier releases


@dataclasses.dataclass(frozen=True)
class SeedRun:
    """The training with one seed.

    Attributes:
        seed: `training.seed`.
        metrics: the loss and the objective's metrics by name, on the split "eval"; empty if the
            training failed.
        failure: why the training failed.
    """

    seed: int
    metrics: Annotated[Mapping[str, float], pydantic.Field(validation_alias=_EARLIER_NAME)]
    failure: str = ""

    @property
    def loss(self) -> float:
        """The loss on the split "eval"; infinite if there is none or it is not finite."""
        loss = self.metrics.get(LOSS, math.inf)
        return loss if math.isfinite(loss) else math.inf


@dataclasses.dataclass(frozen=True)
class SeedRuns:
    """The trainings with all seeds, in the order they ran."""

    runs: tuple[SeedRun, ...]

    @property
    def best(self) -> SeedRun:
        """The training with the lowest loss, the first of several."""
        return min(self.runs, key=lambda run: (run.loss, not run.metrics))

    @property
    def spread(self) -> Mapping[str, tuple[float, float]]:
        """Mean and sample standard deviation of each metric over the seeds where it is finite.

        With one finite value the deviation is NaN, with none both are NaN.
        """
        return {
            name: _spread([run.metrics[name] for run in self.runs if name in run.metrics])
            for name in self.best.metrics
        }

    def write(self, folder: pathlib.Path | str) -> None:
        """Writes `seeds.json` into a folder."""
        text = json.dumps(dataclasses.asdict(self), indent=2)
        write_whole(str(pathlib.Path(folder) / SEEDS_FILE), [text, "\n"])

    @classmethod
    def read(cls, folder: pathlib.Path | str) -> SeedRuns:
        """Reads `seeds.json` from a folder; earlier releases wrote `figures` for `metrics`.

        Raises:
            ConfigError: a field is missing or has the wrong type; the error names it.
        """
        return from_json(cls, (pathlib.Path(folder) / SEEDS_FILE).read_bytes())


def _spread(values: Sequence[float]) -> tuple[float, float]:
    finite = [value for value in values if math.isfinite(value)]
    return (
        statistics.fmean(finite) if finite else math.nan,
        statistics.stdev(finite) if len(finite) > 1 else math.nan,
    )
