"""Tests of making held-out examples block by block."""

from __future__ import annotations

import collections
import itertools
from typing import Any

import numpy as np
import pytest

from components.evaluation.resampling_units import UNIT
from components.examples import held_out
from components.examples.held_out import held_out_examples
from models.bert.objective import BertObjective
from models.objective import TokenizedDocument
from tests.testdata import little_bert


def make(documents: int) -> tuple[list[dict[str, np.ndarray]], collections.Counter[str]]:
    """Batches of held-out examples of documents whose tokens are all different."""
    objective: Any = BertObjective(little_bert.CONFIG.objective, little_bert.tokenizer())
    rng = np.random.default_rng(0)
    tokenized = [
        TokenizedDocument.of(
            f"d{number}", "", "en", [rng.integers(5, 30, 6, np.int32) for _ in range(4)]
        )
        for number in range(documents)
    ]
    tally: collections.Counter[str] = collections.Counter()
    return [*held_out_examples(objective, tokenized, (0, 1, 2, 3), tally)], tally


def test_examples_have_the_unit_of_their_block() -> None:
    (batch,), _ = make(7)
    units = [unit.decode() for unit in batch[UNIT].ravel()]
    blocks = {unit.rpartition("-")[0] for unit in units}
    assert blocks == {"00003-00000", "00003-00001", "00003-00002"}
    assert len({len(feature) for feature in batch.values()}) == 1
    assert units != sorted(units)  # shuffled


def test_batches_hold_the_same_examples_in_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    (whole,), tally = make(7)
    monkeypatch.setattr(held_out, "_SHUFFLED", 4)
    batches, tally_of_batches = make(7)
    assert len(batches) > 1
    assert tally == tally_of_batches
    units = itertools.chain.from_iterable(batch[UNIT].ravel() for batch in batches)
    assert sorted(units) == sorted(whole[UNIT].ravel())


def test_no_document_gives_no_example() -> None:
    assert make(0)[0] == []
