"""The served model's loss on new text, with a real SavedModel whose losses are known."""

from __future__ import annotations

import math
import pathlib
import shutil

import pytest
import tensorflow as tf

from components.evaluation import served_model
from components.evaluation.results import Evaluation, SliceMetrics
from components.evaluation.served_model import ServedLoss, same_vocabulary, served_loss
from components.serving import export as exporter
from models.examples import serialize
from models.metric import Metric
from tests.testdata.letter_objective import LetterObjective, WordTokenizer

LOSS = Metric("loss", "nll_sum", "token_count", higher_is_better=False)
IDS = ([1, 2, 3, 0], [3, 3, 0, 0])
# The losses of ids 1, 2 and 3 are 0.5, 1 and 2: 3.5 + 4 for 3 + 2 tokens.


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
    """Three files of the split "test", and a tokenizer with VocabularyTrainer's extra file."""
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
    """The same examples with another vocabulary."""
    folder = shutil.copytree(examples, examples.with_name("other"))
    (folder / "tokenizer" / "vocab.txt").write_text("another\n")
    return folder


def test_same_vocabulary(model: pathlib.Path, examples: pathlib.Path, other: pathlib.Path) -> None:
    assert same_vocabulary(str(model), str(examples))
    assert not same_vocabulary(str(model), str(other))


def test_the_loss_is_a_ratio_of_sums_over_all_files(
    model: pathlib.Path, examples: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = served_loss(str(model), None, str(examples), LOSS)
    assert found is not None
    assert (found.metric, found.loss) == ("loss", pytest.approx(7.5 / 5))
    assert math.isnan(found.relative_increase)
    monkeypatch.setattr(served_model, "_MAX_EXAMPLES", 3)  # the first example of each file
    found = served_loss(str(model), None, str(examples), LOSS)
    assert found is not None
    assert found.loss == pytest.approx(3.5 / 3)


def test_the_loss_is_compared_with_the_evaluation_that_blessed_the_model(
    model: pathlib.Path, examples: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overall = SliceMetrics("overall", 6, {"loss": 1.2}, None)
    monkeypatch.setattr(
        served_model, "read_evaluation", lambda uri: Evaluation(True, (overall,), None)
    )
    found = served_loss(str(model), str(examples), str(examples), LOSS)
    assert found is not None
    assert found.relative_increase == pytest.approx(0.25)
    # A loss that the older evaluation lacks, and an evaluation that was removed.
    perplexity = Metric("perplexity", "nll_sum", "token_count")
    for evaluation, metric in ((str(examples), perplexity), (str(examples / "removed"), LOSS)):
        found = served_loss(str(model), evaluation, str(examples), metric)
        assert found is not None
        assert math.isnan(found.relative_increase)


def test_there_is_no_loss_with_another_vocabulary(model: pathlib.Path, other: pathlib.Path) -> None:
    assert served_loss(str(model), None, str(other), LOSS) is None
    assert math.isnan(ServedLoss("loss", 1.0, 0.0).relative_increase)
