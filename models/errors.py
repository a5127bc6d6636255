"""The errors that users see: each says what was wrong, where, and what to do."""

from __future__ import annotations


class PolysemeError(Exception):
    """Base of all errors that are shown without a stack trace.

    Args:
        what: what was wrong, a sentence.
        where: file and line, field, feature or component.
        remedy: what to do about it, a sentence.
    """

    def __init__(self, what: str, *, where: str | None = None, remedy: str | None = None) -> None:
        super().__init__(what, where, remedy)  # all three, so that pickling keeps them
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
    """The text, or data derived from it, is not fit to train on: a gate has refused it."""


class ConfigError(PolysemeError):
    """A setting or an input file (a vocabulary, a checkpoint) cannot be used."""


class TrainingDiverged(PolysemeError):
    """A loss or a gradient is not finite, or the loss has risen too far."""


class Preempted(PolysemeError):
    """Training was interrupted from outside; the same command resumes from the last checkpoint."""


class InUse(PolysemeError):
    """Another process holds the lock; the same command succeeds after that process has ended."""


class ServingCheckFailed(PolysemeError):
    """An exported model would not give the expected answers in TF Serving."""
