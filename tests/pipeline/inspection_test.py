"""Inspecting examples: masked tokens are shown with their targets, and all counts are right."""

from __future__ import annotations

import collections
import dataclasses
import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from models.errors import ConfigError
from models.examples import Serializer
from models.objective import RenderedToken
from models.registry import FAMILIES
from pipeline.cli import main as cli
from pipeline.cli.example_view import print_examples
from pipeline.inspection import Inspection, inspect, newest_examples
from pipeline.metadata.queries import RunHistory
from tests.testdata.little_families import LITTLE, make_examples
from tests.testdata.recorded_runs import Recorder


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def write(folder: pathlib.Path, family: str) -> list[dict[str, np.ndarray]]:
    """Writes an artifact as ExampleBuilder does; returns its examples."""
    little, row = LITTLE[family], FAMILIES[family]
    tokenizer = little.tokenizer()
    objective = row.build_objective(little.CONFIG.objective, tokenizer)
    examples = [dict(example) for example in make_examples(little, objective, tokenizer)]
    tokenizer.save(folder / "tokenizer")
    (folder / "Split-train").mkdir()
    path = str(folder / "Split-train" / "examples-00000-of-00001.tfrecord.gz")
    with tf.io.TFRecordWriter(path, tf.io.TFRecordOptions("GZIP")) as writer:
        for record in Serializer(objective.feature_spec()).serialize(examples):
            writer.write(record)
    split = {
        "files": 1,
        "documents": 6,
        "examples": len(examples),
        "padding_share": 0.125,
        "tally": {"truncated_tokens": 7, "documents_without_text": 0},
    }
    about = {
        "family": family,
        "objective": dataclasses.asdict(little.CONFIG.objective),
        "splits": {"train": split, "eval": split},
    }
    (folder / "examples.json").write_text(json.dumps(about))
    return examples


def test_counts_and_shown_examples_are_those_of_the_files(
    tmp_path: pathlib.Path, family: str
) -> None:
    examples = write(tmp_path, family)
    found = inspect(tmp_path, "train", show=2, limit=100_000)
    lengths = [int(example["padding_mask"].sum()) for example in examples]
    assert found.counted == len(examples)
    assert found.values["length"].tolist() == lengths
    predicted = {"bert": "masked_lm_token_count"}.get(family, "token_count")
    masks = [example.get("mask_weights", example["padding_mask"]).sum() for example in examples]
    assert found.values[predicted].tolist() == masks
    assert [len(row) for rows in found.shown for row in rows] == [
        length for length in lengths[:2] for _ in found.shown[0]
    ]
    assert [facts["source"] for facts in found.facts] == ["paper", "paper"]
    few = inspect(tmp_path, "train", show=0, limit=3)
    assert (few.counted, few.shown) == (3, [])
    assert few.values["length"].tolist() == lengths[:3]


def test_examples_of_older_spans_are_counted_in_the_summary_of_train(
    tmp_path: pathlib.Path,
) -> None:
    write(tmp_path, "bert")
    about = json.loads((tmp_path / "examples.json").read_text())
    counts = {"files": 1, "documents": 2, "pieces": 3, "examples": 4, "positions": 40}
    own = {**counts, "real_positions": 30, "tally": {"truncated_tokens": 7}, "padding_share": 0.25}
    older = {**counts, "real_positions": 20, "tally": {"truncated_tokens": 1}, "padding_share": 0.5}
    about |= {"splits": {"train": own}, "older": older}
    (tmp_path / "examples.json").write_text(json.dumps(about))
    summary = inspect(tmp_path, "train", show=0, limit=1).summary
    assert (summary["files"], summary["documents"], summary["examples"]) == (2, 4, 8)
    assert summary["padding_share"] == 0.375
    assert summary["tally"] == {"truncated_tokens": 8}


def test_masked_tokens_are_shown_with_their_targets(tmp_path: pathlib.Path) -> None:
    (example, *_) = write(tmp_path, "bert")
    ((row,),) = inspect(tmp_path, "train", show=1, limit=1).shown
    masked = example["mask_positions"][example["mask_weights"] > 0].tolist()
    assert [position for position, token in enumerate(row) if token.label] == masked


@pytest.mark.parametrize(
    ("split", "message"),
    [("eval", "there are no examples of the split 'eval'"), (None, "holds no training examples")],
)
def test_missing_examples_are_refused(
    tmp_path: pathlib.Path, split: str | None, message: str
) -> None:
    write(tmp_path, "gpt")
    folder = tmp_path if split else tmp_path / "tokenizer"
    with pytest.raises(ConfigError, match=message) as caught:
        inspect(folder, split or "train", show=1, limit=1)
    assert caught.value.where == str(folder)


def test_the_newest_examples_are_those_of_the_last_run_that_made_some(
    tmp_path: pathlib.Path,
) -> None:
    recorder = Recorder(tmp_path)
    with pytest.raises(ConfigError, match="no run has made examples"):
        newest_examples(RunHistory(recorder.folder))
    first, second = recorder.artifact("Examples"), recorder.artifact("Examples")
    recorder.execution("a", "ExampleBuilder", outputs={"examples": first})
    recorder.execution("b", "ExampleBuilder", outputs={"examples": second})
    recorder.execution("c", "TextExampleGen", outputs={"examples": first})
    made = newest_examples(RunHistory(recorder.folder))
    node = RunHistory(recorder.folder).nodes("b")["ExampleBuilder"].output("examples")
    assert node is not None
    assert str(made) == node.uri


def test_the_text_and_the_histogram_of_examples_are_printed(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = [
        RenderedToken(" [CLS]", part="special"),
        RenderedToken(" [MASK]", "ship"),
        RenderedToken("s", "s"),
        RenderedToken(" [a]", part="second"),
    ]
    lengths = np.array([3, 4, 4, 5, 40])
    split = {
        "examples": 1_234,
        "documents": 6,
        "files": 2,
        "padding_share": 0.125,
        "tally": collections.Counter(truncated_tokens=7_000, documents_without_text=0),
    }
    print_examples(
        Inspection(tmp_path, "train", split, [[row]], [{"source": "s"}], 5, {"length": lengths})
    )
    printed = capsys.readouterr().out.splitlines()
    assert printed[:5] == [
        "example 1  source s",
        " [CLS] [MASK]→ships→s [a]",
        "1,234 examples from 6 documents in 2 files; 12.5% of the positions are padding",
        "  truncated tokens: 7,000",
        "length of 5 examples: mean 11.2",
    ]
    bars = [line.split() for line in printed[5:]]
    assert [bar[:4] for bar in bars[:1]] == [["3", "to", "6", "4"]]
    assert bars[-1][:4] == ["39", "to", "40", "1"]
    assert len(bars[0][4]) == 4 * len(bars[-1][4]) == 40
    assert sum(int(bar[3]) for bar in bars) == 5


def test_the_command_examples_prints_examples(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "bert")
    assert cli.main(["examples", str(tmp_path), "--show", "1", "--limit", "10"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("example 1  ")
    assert "masked lm token count of 10 examples" in printed
    assert cli.main(["examples", str(tmp_path / "none")]) == 2
