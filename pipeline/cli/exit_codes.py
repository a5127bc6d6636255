"""The exit codes of commands; `--help` and the README list them for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.errors import ConfigError, DataRefused, InUse, PolysemeError, Preempted
from pipeline.spans import NothingNew

if TYPE_CHECKING:
    from pipeline.run import Outcome

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_DATA_REFUSED, EXIT_NOT_BLESSED = range(5)
EXIT_NOTHING_NEW = 5
EXIT_TEMPORARY = 75  # EX_TEMPFAIL of sysexits.h: run the same command again
EXIT_INTERRUPTED = 130


def exit_code(outcome: Outcome) -> int:
    """The exit code for the outcome of a run."""
    if outcome.error:
        return error_code(outcome.error)
    if outcome.summary is None or not outcome.summary.complete:
        return EXIT_FAILED
    reached_its_end = outcome.summary.version or outcome.summary.until
    return EXIT_OK if reached_its_end else EXIT_NOT_BLESSED


def error_code(error: PolysemeError) -> int:
    """The exit code for an error."""
    if isinstance(error, DataRefused):
        return EXIT_DATA_REFUSED
    if isinstance(error, (Preempted, InUse)):
        return EXIT_TEMPORARY
    if isinstance(error, NothingNew):
        return EXIT_NOTHING_NEW
    return EXIT_USAGE if isinstance(error, ConfigError) else EXIT_FAILED
