"""Tests of the progress line, with a clock that the test sets."""

import logging

import pytest

from models.training.progress import ProgressLog


def test_there_is_a_line_every_five_seconds_with_the_time_left(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    caplog.set_level(logging.INFO, logger="polyseme.training")
    progress = ProgressLog(0, 100)
    now[0] = 3.0
    progress.start(1)  # the first step took three seconds, as it compiled
    assert not progress.due
    now[0] = 7.0
    assert progress.due
    progress.log(5, {"loss": 1.5, "nll_sum": 0.25, "gradient_norm": 9.0}, 1234.4)
    assert not progress.due
    # Four steps took four seconds, so 95 steps will take 95.
    assert caplog.messages == ["step 5/100  loss 1.500  nll 0.250  1,234 tokens/s  1m35s left"]
    assert caplog.records[0].progress == (5, 100)  # type: ignore[attr-defined]


def test_the_last_line_has_no_time_left(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="polyseme.training")
    ProgressLog(0, 100).log_end(40, {"loss": 1.5}, 0.0)
    assert caplog.messages == ["step 40/40  loss 1.500  0s left"]
