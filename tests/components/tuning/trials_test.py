"""Tests of the file of a search's trials, and of the choice of the best trial."""

import math
import pathlib

import pytest

from components.tuning.trials import TRIALS_FILE, Search, Trial
from models.errors import ConfigError

TRIALS = (
    Trial(1, {"a.b": 0.5, "c": 8, "d": "lamb", "e": True}, 2.5),
    Trial(2, {"a.b": 1.0, "c": 16, "d": "adamw", "e": False}, None, "the loss is nan"),
    Trial(3, {"a.b": 0.1, "c": 8, "d": "lamb", "e": True}, 2.25),
    Trial(4, {"a.b": 0.2, "c": 8, "d": "lamb", "e": True}, 2.25),
)
SEARCH = Search("random", 20, ("a.b",), TRIALS)


def test_written_and_read(tmp_path: pathlib.Path) -> None:
    SEARCH.write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [TRIALS_FILE]
    found = Search.read(tmp_path)
    assert found == SEARCH
    assert [type(value) for value in found.trials[0].values.values()] == [float, int, str, bool]


def test_the_best_is_the_first_of_the_lowest_loss() -> None:
    assert SEARCH.best == TRIALS[2]
    assert Search("random", 20, (), TRIALS[1:2]).best is None
    assert Search("random", 20, (), ()).best is None


def test_a_failed_trial_has_no_loss() -> None:
    assert math.isnan(TRIALS[1].loss)
    assert TRIALS[0].loss == 2.5


def test_a_file_without_trials_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / TRIALS_FILE).write_text('{"algorithm": "random", "steps": 1, "logarithmic": []}')
    with pytest.raises(ConfigError) as caught:
        Search.read(tmp_path)
    assert caught.value.where == "Search.trials"
