"""Log handler that prints a run's progress: the start and end of steps, and bars on terminals."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.text import Text

from pipeline.terminal.output import Console, hide

PROGRESS = "polyseme"
"""The logger whose records, from INFO on, users see."""
# The messages of TFX's local runner and launcher about a step, the same on both stacks.
_STARTED = "Component %s is running."
_ENDED = "Component %s is finished."
_FAILED = "Execution %d failed."
_CACHED = "A cached execution %d is used."


class ProgressHandler(logging.Handler):
    """Prints our own log records, and a line when a step starts and ends.

    On a terminal, records that have `progress` (done, total) are shown as a bar instead of lines.

    Args:
        console: where to print.
        secrets: what must not be printed, see `pipeline.terminal.output.hide`.
    """

    def __init__(self, console: Console, secrets: Mapping[str, str]) -> None:
        super().__init__(logging.INFO)
        self._secrets = secrets
        self._console = console
        self._component = ""
        self._started = time.monotonic()
        self._cached = False
        self._bar: Progress | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Prints a record if it is of Polyseme or about a step of the pipeline."""
        if record.name == PROGRESS or record.name.startswith(f"{PROGRESS}."):
            self._print_progress(record)
        elif record.msg == _STARTED and isinstance(record.args, tuple):
            self._end_bar()
            self._component = str(record.args[0])
            self._started, self._cached = time.monotonic(), False
            self._print_step("▸", "bold", "")
        elif record.msg == _CACHED:
            self._cached = True
        elif record.msg in (_ENDED, _FAILED):
            self._end_bar()
            seconds = f"{time.monotonic() - self._started:.1f} s"
            if record.msg == _FAILED:
                self._print_step("✗", "red", f"failed after {seconds}")
            else:
                self._print_step("✓", "green", f"{seconds}, cached" if self._cached else seconds)

    def close(self) -> None:
        """Removes the bar from the terminal."""
        self._end_bar()
        super().close()

    def _print_progress(self, record: logging.LogRecord) -> None:
        text = hide(record.getMessage(), self._secrets)
        progress = getattr(record, "progress", None)
        if progress and self._console.is_terminal:
            done, total = progress
            self._update_bar(done, total, text)
        else:
            style = "yellow" if record.levelno >= logging.WARNING else ""
            self._console.print(Text(f"    {text}", style), soft_wrap=True)

    def _print_step(self, sign: str, style: str, note: str) -> None:
        self._console.print(Text.assemble((sign, style), f" {self._component} ", (note, "dim")))

    def _update_bar(self, done: int, total: int, text: str) -> None:
        if self._bar is None:
            self._bar = Progress(
                TextColumn("   "),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.description}"),
                console=self._console,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._bar.add_task("")
            self._bar.start()
        (task,) = self._bar.task_ids
        self._bar.update(task, completed=done, total=total, description=escape(text))
        if done == total:
            self._end_bar()

    def _end_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
