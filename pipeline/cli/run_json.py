"""The output of `run --json`: the outcome of a run as one JSON object, even after an error."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from models.errors import PolysemeError
from models.printable import to_json
from pipeline.cli import display
from pipeline.cli.exit_codes import (
    EXIT_DATA_REFUSED,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_NOT_BLESSED,
    EXIT_NOTHING_NEW,
    EXIT_OK,
    EXIT_TEMPORARY,
    EXIT_USAGE,
    error_code,
    exit_code,
)
from pipeline.config import PipelineConfig
from pipeline.layout import QUARANTINE
from pipeline.run import Outcome
from pipeline.terminal.console import output_on_stderr
from pipeline.terminal.failures import as_polyseme_error
from pipeline.terminal.streams import show

_OUTCOMES = {
    EXIT_OK: "pushed",
    EXIT_FAILED: "failed",
    EXIT_USAGE: "usage or configuration",
    EXIT_DATA_REFUSED: "refused",
    EXIT_NOT_BLESSED: "not blessed",
    EXIT_NOTHING_NEW: "nothing new",
    EXIT_TEMPORARY: "try again later",
    EXIT_INTERRUPTED: "interrupted",
}


def run_as_json(
    configure: Callable[[], PipelineConfig], execute: Callable[[PipelineConfig], Outcome]
) -> tuple[str, int]:
    """Runs, and sends everything that is printed meanwhile to standard error.

    Args:
        configure: makes the configuration.
        execute: runs it.

    Returns:
        The JSON object to print on standard output, and the exit code.
    """
    config, outcome, error = None, None, None
    with output_on_stderr():
        try:
            config = configure()
            outcome = execute(config)
            show(functools.partial(display.print_outcome, outcome))
            code, error = exit_code(outcome), outcome.error
        except KeyboardInterrupt:
            code = EXIT_INTERRUPTED
        except Exception as failure:
            error = as_polyseme_error(failure)
            show(functools.partial(display.print_error, error))
            code = error_code(error)
    return _dumps(record(code, config, outcome, error)), code


def error_object(error: PolysemeError) -> str:
    """The JSON object for an error that occurred before the run."""
    return _dumps(record(error_code(error), error=error))


def _dumps(fields: dict[str, Any]) -> str:
    return to_json(fields, indent=2, allow_nan=False, ensure_ascii=True)


def record(
    code: int,
    config: PipelineConfig | None = None,
    outcome: Outcome | None = None,
    error: PolysemeError | None = None,
) -> dict[str, Any]:
    """The fields of the JSON object: always the same keys, None where a value is not known.

    Args:
        code: the exit code.
        config: the run's configuration, None if it was refused.
        outcome: the run's outcome, None if it did not start.
        error: the error that stopped it.
    """
    summary = outcome.summary if outcome else None
    quarantine = config.folder / QUARANTINE if config else None
    prepared = code == EXIT_OK and summary is not None and summary.until
    return {
        "outcome": "prepared" if prepared else _OUTCOMES[code],
        "exit_code": code,
        "name": config.name if config else None,
        "recipe": config.recipe if config else None,
        "span": outcome.span if outcome else None,
        "until": summary.until if summary else None,
        "run": summary.run_id if summary else None,
        "version": summary.version if summary else None,
        "model": summary.destination if summary else None,
        "blessed": summary.blessed if summary else None,
        "reasons": [*summary.reasons] if summary else [],
        "notes": [*summary.notes] if summary else [],
        "metrics": {
            name: value if math.isfinite(value) else None
            for name, value in (summary.metrics if summary else {}).items()
        },
        "steps": [
            {"component": step.component, "state": step.state, "seconds": step.seconds}
            for step in (summary.steps if summary else ())
        ],
        "report": str(outcome.report) if outcome and outcome.report else None,
        "log": str(outcome.log) if outcome else None,
        "quarantine": str(quarantine) if quarantine and quarantine.is_dir() else None,
        "error": (
            {"what": error.what, "where": error.where, "remedy": error.remedy} if error else None
        ),
    }
