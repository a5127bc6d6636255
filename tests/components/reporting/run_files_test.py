"""The files of a run are read for the report, damaged and unfinished ones included."""

import json
import math

import pytest

from components.reporting.inputs import TrainingPoint
from components.reporting.run_files import read_quarantined, read_training_log
from models.errors import ConfigError


def write_log(tmp_path, text):
    path = tmp_path / "training.jsonl"
    path.write_text(text, encoding="utf-8")
    return path


def test_training_log(tmp_path):
    record = {
        "step": 20,
        "loss": 7.5,
        "masked_lm_nll_sum": 6.8,
        "next_sentence_nll_sum": 0.7,
        "learning_rate": 1e-4,
        "tokens_per_second": 9000.0,
        "gradient_norm": 2.0,
        "padding_share": 0.1,
        "matmul_utilization": 0.5,  # no term of the loss
        "seconds": 3.5,
    }
    assert read_training_log(write_log(tmp_path, json.dumps(record) + "\n")) == [
        TrainingPoint(
            20,
            7.5,
            {"masked_lm_nll_sum": 6.8, "next_sentence_nll_sum": 0.7},
            learning_rate=1e-4,
            tokens_per_second=9000.0,
            gradient_norm=2.0,
            padding_share=0.1,
            seconds=3.5,
        )
    ]


def test_training_log_of_a_resumed_run_keeps_the_later_record(tmp_path):
    lines = ['{"step": 20, "loss": 3}', '{"step": 40, "loss": 2}', '{"step": 20, "loss": 2.5}', ""]
    points = read_training_log(write_log(tmp_path, "\n".join(lines)))
    assert [(point.step, point.loss) for point in points] == [(20, 2.5), (40, 2)]


def test_training_log_that_is_being_written_lacks_its_last_line(tmp_path):
    path = write_log(tmp_path, '{"step": 20, "loss": 3}\n{"step": 40, "lo')
    assert [point.step for point in read_training_log(path)] == [20]


@pytest.mark.parametrize("bad", ["{", "[1]", '{"step": 5}', "null"])
def test_training_log_with_an_invalid_line_is_refused_by_its_number(tmp_path, bad):
    path = write_log(tmp_path, f'{{"step": 20, "loss": 3}}\n{bad}\n')
    with pytest.raises(ConfigError) as raised:
        read_training_log(path)
    assert raised.value.where == f"{path}:2"


def test_training_log_with_a_loss_that_is_not_finite(tmp_path):
    (point,) = read_training_log(write_log(tmp_path, '{"step": 1, "loss": NaN}\n'))
    assert math.isnan(point.loss)


def test_quarantined_most_frequent_first(tmp_path):
    path = tmp_path / "ingestion.json"
    counts = {"no text": 2, "a": 1, "not UTF-8": 7, "b": 1}
    path.write_text(json.dumps({"documents": 3, "quarantined_by_reason": counts}))
    assert list(read_quarantined(path).items()) == [
        ("not UTF-8", 7),
        ("no text", 2),
        ("a", 1),
        ("b", 1),
    ]
