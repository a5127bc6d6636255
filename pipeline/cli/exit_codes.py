"""What a command's end means to a shell. README and `--help` list the codes for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.errors import ConfigError, DataRefused, InUse, PolysemeError, Preempted
from pipeline.spans import NothingNew

if TYPE_CHECKING:
    from pipeline.run import Outcome

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_DATA_REFUSED, EXIT_NOT_BLESSED = range(5)
EXIT_NOTHING_NEW = 5
EXIT_TEMPORARY = 75  # sysexits.h: a temporary failure, to be tried again
EXIT_INTERRUPTED = 130


def exit_code(outcome: Outcome) -> int:
    """What a run's end means to a shell."""
    if outcome.error:
        return error_code(outcome.error)
    if outcome.summary is None or not outcome.summary.complete:
        return EXIT_FAILED
    as_wanted = outcome.summary.version or outcome.summary.until
    return EXIT_OK if as_wanted else EXIT_NOT_BLESSED


def error_code(error: PolysemeError) -> int:
    """What an error means to a shell."""
    if isinstance(error, DataRefused):
        return EXIT_DATA_REFUSED
    if isinstance(error, (Preempted, InUse)):
        return EXIT_TEMPORARY
    if isinstance(error, NothingNew):
        return EXIT_NOTHING_NEW
    return EXIT_USAGE if isinstance(error, ConfigError) else EXIT_FAILED
