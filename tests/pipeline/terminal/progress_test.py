"""What the progress handler prints, on a terminal and elsewhere."""

import io
import logging
import pathlib
import sys

from pipeline.terminal import progress
from pipeline.terminal.output import Console
from pipeline.terminal.progress import ProgressHandler


def test_a_terminal_shows_training_as_a_bar_and_other_records_as_lines() -> None:
    def printed(*, terminal: bool) -> str:
        output = io.StringIO()
        console = Console(file=output, force_terminal=terminal, width=100)
        handler = ProgressHandler(console, {})
        log = logging.Logger("polyseme.training")
        log.addHandler(handler)
        log.info("resumed from step 1")
        for step in (2, 4):
            log.info("step %d/4", step, extra={"progress": (step, 4)})
        log.info("trained [4] steps")
        handler.close()
        return output.getvalue()

    lines = ["resumed from step 1", "step 2/4", "step 4/4", "trained [4] steps"]
    assert printed(terminal=False).splitlines() == [f"    {line}" for line in lines]
    shown = printed(terminal=True)
    assert "━━" in shown
    assert "100%" in shown
    assert "step 4/4" in shown
    assert shown.endswith("    trained [4] steps\n")


def test_tfx_logs_the_messages_that_the_handler_recognises() -> None:
    """The handler recognises TFX's messages by their text, which another release may change."""
    source = ""
    for module in ("local/local_dag_runner.py", "portable/launcher.py"):
        for folder in map(pathlib.Path, sys.path):
            file = folder / "tfx/orchestration" / module
            if file.is_file():
                source += file.read_text()
                break
    for message in (progress._STARTED, progress._ENDED, progress._CACHED, progress._FAILED):
        assert f"'{message}'" in source
