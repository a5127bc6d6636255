"""Trainings that differ in their seed alone: what each came to, and which one is exported.

One training says little of a configuration, as two seeds may differ by more than two configurations
do. The best of several is the one with the lowest loss on the split "eval". The Evaluator then
judges it on the split "test", which had no part in the choice.
"""

from __future__ import annotations

import dataclasses
import json
import math
import pathlib
import statistics
from collections.abc import Mapping, Sequence

from components.storage.publish import write_whole
from models.settings import from_json

SEEDS_FILE = "seeds.json"
"""In the ModelRun artifact, of a training with several seeds."""
LOSS = "loss"
"""The name of the training loss among the figures."""


@dataclasses.dataclass(frozen=True)
class SeedRun:
    """The training with one seed.

    Attributes:
        seed: `training.seed`.
        figures: the loss, and the objective's metrics by name, on the split "eval"; empty if the
            training failed.
        failure: why it did.
    """

    seed: int
    figures: Mapping[str, float]
    failure: str = ""

    @property
    def loss(self) -> float:
        """The loss on the split "eval", infinite if there is none."""
        loss = self.figures.get(LOSS, math.inf)
        return loss if math.isfinite(loss) else math.inf


@dataclasses.dataclass(frozen=True)
class SeedRuns:
    """The trainings with all seeds, in their order."""

    runs: tuple[SeedRun, ...]

    @property
    def best(self) -> SeedRun:
        """The one with the lowest loss, the first of several."""
        return min(self.runs, key=lambda run: (run.loss, not run.figures))

    @property
    def spread(self) -> Mapping[str, tuple[float, float]]:
        """Mean and standard deviation of each figure, over the seeds where it is finite.

        Of one seed the deviation is NaN, of none both are.
        """
        return {
            name: _spread([run.figures[name] for run in self.runs if name in run.figures])
            for name in self.best.figures
        }

    def write(self, folder: pathlib.Path | str) -> None:
        """Writes `seeds.json` into a folder."""
        text = json.dumps(dataclasses.asdict(self), indent=2)
        write_whole(str(pathlib.Path(folder) / SEEDS_FILE), [text, "\n"])

    @classmethod
    def read(cls, folder: pathlib.Path | str) -> SeedRuns:
        """Reads what `write` wrote.

        Raises:
            ConfigError: naming the field that is missing or of the wrong type.
        """
        return from_json(cls, (pathlib.Path(folder) / SEEDS_FILE).read_bytes())


def _spread(values: Sequence[float]) -> tuple[float, float]:
    finite = [value for value in values if math.isfinite(value)]
    return (
        statistics.fmean(finite) if finite else math.nan,
        statistics.stdev(finite) if len(finite) > 1 else math.nan,
    )
