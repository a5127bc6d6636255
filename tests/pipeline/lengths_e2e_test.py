"""Training on short examples and then on longer ones, which is a warm start on the same span."""

from __future__ import annotations

import json
import pathlib

import pytest

from pipeline.metadata.queries import RunHistory
from tests.testdata.small_corpus import arguments, finish, states, write_corpus

pytestmark = pytest.mark.e2e


def test_training_on_short_examples_and_then_on_longer_ones(tmp_path: pathlib.Path) -> None:
    """BERT was trained on 128 tokens and then on 512; here these are two runs on the same span."""
    write_corpus(tmp_path / "corpus.jsonl", range(400))

    def phase(length: int, masks: int, steps: int) -> str:
        changes = {
            "training__start": "last_blessed",
            "model__objective__sequence_length": length,
            "model__objective__max_predictions_per_seq": masks,
            "training__steps": steps,
            "training__length_buckets": 2,
        }
        return finish(
            arguments(tmp_path / "corpus.jsonl", tmp_path / "runs", "--span", "latest", **changes)
        )

    assert "blessed and pushed" in phase(32, 5, 60)
    longer = phase(64, 10, 20)
    assert "warm start from" in longer
    assert "blessed and pushed" in longer
    assert states(longer)["TextExampleGen"] == "cached"
    folder = tmp_path / "runs" / "bert_tiny"
    old, new = sorted(path.name for path in (folder / "serving" / "bert_tiny").iterdir())
    found = json.loads(finish(["lineage", str(folder / "serving" / "bert_tiny" / new), "--json"]))
    assert found["base"]["version"] == old
    assert found["config"]["model"]["objective"]["sequence_length"] == 64
    history = RunHistory(folder)
    evaluator = history.nodes(history.run_ids()[-1])["Evaluator"]
    assert evaluator.input("baseline_model") is not None  # evaluated on long examples
