"""`run --until`: a run that only checks the text, one that only makes examples, then all."""

import json
import pathlib

import pytest

from tests.testdata.small_corpus import arguments, finish, states, write_corpus

pytestmark = [pytest.mark.e2e, pytest.mark.one_stack]

_ONE_STEP = {"training__steps": 1, "training__log_steps": 1}
_RESOLVERS = {
    "LastApprovedStatistics",
    "TrainedEarlier",
    "LastBlessedModel",
    "TrainingStart",
    "LastApprovedExamples",
}


def test_a_complete_run_takes_the_steps_of_partial_runs_from_the_cache(
    tmp_path: pathlib.Path,
) -> None:
    write_corpus(tmp_path / "news-1.jsonl", range(60))
    runs = tmp_path / "runs"
    source = f"{tmp_path}/news-{{SPAN}}.jsonl"
    command = arguments(source, runs, **_ONE_STEP)

    printed = finish([*command, "--until", "validation"])
    assert "stopped after validation, as requested: nothing was trained or pushed" in printed
    checked = states(printed)
    assert list(checked)[-1] == "DataGate"
    assert set(checked.values()) == {"done"}
    assert not (runs / "bert_tiny" / "serving").exists()
    spans = ["spans", "--runs", str(runs), "--json"]
    found = json.loads(finish(spans))
    assert [span["state"] for span in found["spans"]] == ["prepared"]
    assert found["next"] == "1"

    printed = finish([*command, "--until", "examples"])
    made = states(printed)
    assert list(made)[-1] == "ExampleGate"
    assert {made[step] for step in checked.keys() - _RESOLVERS} == {"cached"}
    assert made["ExampleBuilder"] == "done"
    assert json.loads(finish(spans))["next"] == "1"
    assert "examples from" in finish(["examples", "--runs", str(runs), "--name", "bert_tiny"])

    whole = states(finish(command))
    assert {whole[step] for step in made.keys() - _RESOLVERS} == {"cached"}
    assert whole["Trainer"] == "done"
    found = json.loads(finish(spans))
    assert [span["state"] for span in found["spans"]] == ["pushed"]
    assert found["next"] is None


def test_a_partial_run_on_refused_text_exits_3(tmp_path: pathlib.Path) -> None:
    source = write_corpus(tmp_path / "a.jsonl", range(1))
    printed = finish([*arguments(source, tmp_path / "runs"), "--until", "validation"], code=3)
    assert "Too few documents" in printed
    assert "as requested" not in printed
