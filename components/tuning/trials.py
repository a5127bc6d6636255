"""What a search for hyperparameters came to: a file that the Tuner leaves, for summary and report.

TFX's own, tuner_results.json, has neither the trials that failed nor the search space.
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
    """A candidate that was tried.

    Attributes:
        number: from 1 on, in the order they were tried.
        values: of the hyperparameters, by field.
        held_out_loss: what is looked for the lowest of; None if the trial failed.
        failure: why it did.
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
        logarithmic: fields that were drawn by their logarithm.
        trials: in the order they were tried.
    """

    algorithm: str
    steps: int
    logarithmic: tuple[str, ...]
    trials: tuple[Trial, ...]

    @property
    def best(self) -> Trial | None:
        """The trial of the lowest loss, the first of several; None if all failed."""
        ended = [trial for trial in self.trials if trial.held_out_loss is not None]
        return min(ended, key=lambda trial: trial.loss, default=None)

    def write(self, folder: pathlib.Path | str) -> None:
        """Writes `trials.json` into a folder."""
        text = json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False)
        write_whole(str(pathlib.Path(folder) / TRIALS_FILE), [text, "\n"])

    @classmethod
    def read(cls, folder: pathlib.Path | str) -> Search:
        """Reads what `write` wrote.

        Raises:
            ConfigError: naming the field that is missing or of the wrong type.
        """
        return from_json(cls, (pathlib.Path(folder) / TRIALS_FILE).read_bytes())
