"""Errors written for the person who reads them: what was wrong, where, and what to do."""

from __future__ import annotations


class PolysemeError(Exception):
    """Base of every error that is shown without a stack trace.

    Args:
        what: what was wrong, a sentence.
        where: the place: file and line, field, feature or component.
        remedy: what to do about it, a sentence.
    """

    def __init__(self, what: str, *, where: str | None = None, remedy: str | None = None) -> None:
        super().__init__(what, where, remedy)  # all three, so that the error survives pickling
        self.what = what
        self.where = where
        self.remedy = remedy

    def __reduce__(self):  # type: ignore[no-untyped-def]
        return _rebuild, (type(self), self.what, self.where, self.remedy)

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.remedy:
            lines.append(f"  to do: {self.remedy}")
        return "\n".join(lines)


def _rebuild(
    kind: type[PolysemeError], what: str, where: str | None, remedy: str | None
) -> PolysemeError:
    return kind(what, where=where, remedy=remedy)


class DataRefused(PolysemeError):
    """The text or what was derived from it is not fit to train on: a gate closed."""


class ConfigError(PolysemeError):
    """A configuration value or a given file (a vocabulary, a checkpoint) cannot be used."""


class TrainingDiverged(PolysemeError):
    """A loss or a gradient is not finite, or losses have risen too far."""


class Preempted(PolysemeError):
    """Training was cut short from outside, and goes on from what is saved."""


class InUse(PolysemeError):
    """Another process is at work there; the same command succeeds once that one has ended."""


class ServingCheckFailed(PolysemeError):
    """An exported model would not answer as it should in TF Serving."""
