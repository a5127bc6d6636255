"""Names of the folders in a pipeline's folder, `runs/<name>/`."""

from __future__ import annotations

import pathlib

ARTIFACTS = "artifacts"
"""What the steps write, one folder per artifact; TFX lays it out."""
CHECKPOINTS = "checkpoints"
"""Checkpoints and logs of trainings, kept until their model is pushed."""
FINISHED_EXAMPLES = "finished_examples"
"""Shards of examples that a stopped ExampleBuilder had finished."""
LOGS = "logs"
"""A log file for each run, see `log_file`."""
QUARANTINE = "quarantine"
"""Malformed records, quarantined documents, and what gates that refused a span had seen."""
SERVING = "serving"
"""Pushed versions, see `versions_folder`."""
TRIALS = "trials"
"""Checkpoints and logs of the Tuner's trials."""


def versions_folder(folder: pathlib.Path) -> pathlib.Path:
    """The folder of pushed versions, which TF Serving watches: `serving/<name>`."""
    return folder / SERVING / folder.name


def log_file(folder: pathlib.Path, run_id: str) -> pathlib.Path:
    """The log file of a run."""
    return folder / LOGS / f"{run_id}.log"
