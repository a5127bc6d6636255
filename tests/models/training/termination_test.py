"""Tests of SIGTERM during training."""

import os
import signal
import threading

from models.errors import Preempted
from models.training.termination import catch_sigterm, preempted


def test_sigterm_sets_the_event_and_its_handler_is_restored() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with catch_sigterm() as event:
        assert not event.is_set()
        os.kill(os.getpid(), signal.SIGTERM)
        assert event.wait(10)
    assert signal.getsignal(signal.SIGTERM) is before


def test_another_thread_does_not_change_the_handler() -> None:
    found = []

    def catch() -> None:
        with catch_sigterm() as event:
            found.append((event.is_set(), signal.getsignal(signal.SIGTERM)))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=catch)
    thread.start()
    thread.join()
    assert found == [(False, before)]


def test_the_error_names_the_step() -> None:
    error = preempted(3, 7)
    assert isinstance(error, Preempted)
    assert error.what == "training received SIGTERM and saved a checkpoint at step 3 of 7"
    assert error.remedy == "run the same command to resume"
