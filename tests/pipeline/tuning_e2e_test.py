"""Tuning with `kill -9` in a trial: the same command resumes and trains with the best trial."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import signal
import time

import pytest

from tests.testdata.small_corpus import arguments, finish, start, states, write_corpus

pytestmark = [pytest.mark.e2e, pytest.mark.one_stack]

RATE = "training.optimizer.learning_rate"
SETTINGS = {
    "training__optimizer__learning_rate": 0.003,
    "training__checkpoint_seconds": 0.2,
    "ingestion__eval_share": 0.2,
    "tuning__trials": 3,
    "tuning__steps": 60,
    "tuning__algorithm": "grid",
    "tuning__space": f"{RATE}:1e30/0.0001/0.003",  # 0.003 is first, 1e30 diverges
    "model__objective__min_accuracy_over_unigram": 99,  # the later steps are tested elsewhere
}


def results(trials: pathlib.Path) -> dict[str, tuple[int, dict]]:
    """The record of each trial that ended, and when it was written."""
    return {
        path.parent.name: (path.stat().st_mtime_ns, json.loads(path.read_text()))
        for path in trials.glob("*/result.json")
    }


def has_checkpoint(trials: pathlib.Path) -> bool:
    """Whether a trial that has not ended has written a complete checkpoint."""
    written = trials.glob("*/training/ckpt-*.index")
    return any(not (path.parents[1] / "result.json").exists() for path in written)


def test_a_search_that_was_killed_is_resumed_and_the_best_trial_is_trained(
    tmp_path: pathlib.Path,
) -> None:
    command = arguments(
        write_corpus(tmp_path / "corpus.jsonl", range(60)), tmp_path / "runs", **SETTINGS
    )
    pipeline = tmp_path / "runs" / "bert_tiny"
    trials = pipeline / "trials"
    process = start(command)
    while process.poll() is None and not (len(results(trials)) == 2 and has_checkpoint(trials)):
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    printed, _ = process.communicate()
    ended = results(trials)
    assert "trial 3 of 3: learning_rate" in printed, printed[-6000:]
    assert "trial 3 of 3: held-out loss" not in printed

    printed = finish(command, code=4)
    assert printed.count("this trial is already complete") == 2
    assert "trial 2 of 3 failed: training step" in printed
    resumed = re.search(r"resumed from step (\d+) of 60", printed)
    assert resumed
    assert int(resumed[1]) > 0
    assert states(printed)["Tuner"] == "done"
    assert "3 trials, 1 failed; best loss" in printed
    found = results(trials)
    assert len(found) == 3
    assert ended.items() < found.items()

    losses = {
        result["values"][RATE]: result["held_out_loss"]
        for _, result in found.values()
        if not result["diverged"]
    }
    best = min(losses, key=lambda rate: losses[rate])
    assert best == 0.003
    assert f"tuned: learning_rate {best}" in printed
    (config,) = pipeline.glob("artifacts/Trainer/model/*/Format-Serving/assets.extra/config.json")
    assert json.loads(config.read_text())["training"]["optimizer"]["learning_rate"] == best
    page = (pipeline / "report.html").read_text(encoding="utf-8")
    assert "<h2>Tuning</h2>" in page
    assert "Held-out loss of the trials by learning rate" in page
