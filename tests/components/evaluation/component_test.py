"""The served model on new text: by a real SavedModel, whose losses are known."""

from __future__ import annotations

import math
import pathlib
import shutil
from typing import Any

import pytest
import tensorflow as tf
from tfx.components.evaluator import executor as tfx_executor
from tfx.types import standard_artifacts

from components.evaluation import component as served_model
from components.evaluation.component import Executor, ServedLoss, reads, served_loss
from components.evaluation.metrics import Evaluation, SliceFigures
from components.serving import export as exporter
from models.examples import serialize
from models.objective import Metric
from tests.testdata.letter_objective import LetterObjective, WordTokenizer

LOSS = Metric("loss", "nll_sum", "token_count", higher_is_better=False)
IDS = ([1, 2, 3, 0], [3, 3, 0, 0])
# The letters' losses are 0.5, 1 and 2: 3.5 + 4 for 3 + 2 tokens.


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("model")
    objective = LetterObjective()
    exporter.export(
        objective.build_model(),
        objective,
        WordTokenizer(),
        folder / "Format-Serving",
        config_json="{}",
        provenance={},
    )
    return folder


@pytest.fixture
def examples(tmp_path: pathlib.Path) -> pathlib.Path:
    """Three files to test on, and the tokenizer's files with what a vocabulary step adds."""
    folder = tmp_path / "examples"
    (folder / "Split-test").mkdir(parents=True)
    (folder / "tokenizer").mkdir()
    WordTokenizer().save(folder / "tokenizer")
    (folder / "tokenizer" / "words.json").write_text("{}")
    objective = LetterObjective()
    for shard in range(3):
        path = str(folder / f"Split-test/examples-0000{shard}-of-00003.tfrecord.gz")
        with tf.io.TFRecordWriter(path, "GZIP") as file:
            for ids in IDS:
                example = objective.example(ids, b"news", b"001-002")
                file.write(serialize(example, objective.feature_spec()))
    return folder


@pytest.fixture
def other(examples: pathlib.Path) -> pathlib.Path:
    """The same examples by another vocabulary."""
    folder = shutil.copytree(examples, examples.with_name("other"))
    (folder / "tokenizer" / "vocab.txt").write_text("another\n")
    return folder


def test_a_model_reads_the_ids_of_its_own_vocabulary(
    model: pathlib.Path, examples: pathlib.Path, other: pathlib.Path
) -> None:
    assert reads(str(model), str(examples))
    assert not reads(str(model), str(other))


def test_the_loss_is_a_ratio_of_sums_over_all_files(
    model: pathlib.Path, examples: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = served_loss(str(model), None, str(examples), LOSS)
    assert found is not None
    assert (found.metric, found.loss) == ("loss", pytest.approx(7.5 / 5))
    assert math.isnan(found.rise)
    monkeypatch.setattr(served_model, "_EXAMPLES", 3)  # the first example of each file
    found = served_loss(str(model), None, str(examples), LOSS)
    assert found is not None
    assert found.loss == pytest.approx(3.5 / 3)


def test_it_is_compared_with_what_the_model_was_blessed_by(
    model: pathlib.Path, examples: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overall = SliceFigures("overall", 6, {"loss": 1.2}, None)
    monkeypatch.setattr(
        served_model, "read_evaluation", lambda uri: Evaluation(True, (overall,), None)
    )
    found = served_loss(str(model), str(examples), str(examples), LOSS)
    assert found is not None
    assert found.rise == pytest.approx(0.25)
    # A loss that the older code did not have, and an evaluation that was removed.
    perplexity = Metric("perplexity", "nll_sum", "token_count")
    for evaluation, metric in ((str(examples), perplexity), (str(examples / "removed"), LOSS)):
        found = served_loss(str(model), evaluation, str(examples), metric)
        assert found is not None
        assert math.isnan(found.rise)


def test_of_another_vocabularys_ids_it_has_no_loss(
    model: pathlib.Path, other: pathlib.Path
) -> None:
    assert served_loss(str(model), None, str(other), LOSS) is None
    assert math.isnan(ServedLoss("loss", 1.0, 0.0).rise)


@pytest.mark.parametrize("compared", [True, False])
def test_the_evaluator_compares_only_where_both_read_the_same_ids(
    model: pathlib.Path,
    examples: pathlib.Path,
    other: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    compared: bool,
) -> None:
    given: list[dict[str, Any]] = []
    monkeypatch.setattr(tfx_executor.Executor, "Do", lambda self, inputs, *_: given.append(inputs))
    served, text = standard_artifacts.Model(), standard_artifacts.Examples()
    served.uri, text.uri = str(model), str(examples if compared else other)
    inputs = {"examples": [text], "model": [served], "baseline_model": [served]}
    Executor().Do(inputs, {}, {})
    assert set(given[0]) == set(inputs) - (set() if compared else {"baseline_model"})
    Executor().Do({"examples": [text], "model": [served]}, {}, {})
    assert set(given[1]) == {"examples", "model"}
