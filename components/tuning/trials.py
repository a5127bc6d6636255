"""The trials of a hyperparameter search, in a file that the Tuner writes for summary and report.

TFX's own file, tuner_results.json, has neither the trials that failed nor the search space.
"""

from __future__ import annotations

import dataclasses
import json
import math
import pathlib
from collections.abc import Mapping

from components.storage.publish import write_whole
from components.tuning_config import Value
from models.settings import from_json

TRIALS_FILE = "trials.json"


@dataclasses.dataclass(frozen=True)
class Trial:
    """One trial.

    Attributes:
        number: its place in the order of the trials, from 1.
        values: hyperparameters by field.
        held_out_loss: the loss that the search minimizes; None if the trial failed.
        failure: why the trial failed.
    """

    number: int
    values: Mapping[str, Value]
    held_out_loss: float | None
    failure: str = ""

    @property
    def loss(self) -> float:
        """The held-out loss, NaN if there is none."""
        return math.nan if self.held_out_loss is None else self.held_out_loss


@dataclasses.dataclass(frozen=True)
class Search:
    """All trials of a search.

    Attributes:
        algorithm: see `TuningConfig`.
        steps: optimizer steps of each trial.
        logarithmic: fields that were drawn on a logarithmic scale.
        trials: the trials in the order they ran.
    """

    algorithm: str
    steps: int
    logarithmic: tuple[str, ...]
    trials: tuple[Trial, ...]

    @property
    def best(self) -> Trial | None:
        """The trial with the lowest loss, the first of several; None if all failed."""
        completed = [trial for trial in self.trials if trial.held_out_loss is not None]
        return min(completed, key=lambda trial: trial.loss, default=None)

    def write(self, folder: pathlib.Path | str) -> None:
        """Writes `trials.json` into a folder."""
        text = json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False)
        write_whole(str(pathlib.Path(folder) / TRIALS_FILE), [text, "\n"])

    @classmethod
    def read(cls, folder: pathlib.Path | str) -> Search:
        """Reads `trials.json` from a folder.

        Raises:
            ConfigError: a field is missing or has the wrong type; the error names it.
        """
        return from_json(cls, (pathlib.Path(folder) / TRIALS_FILE).read_bytes())
