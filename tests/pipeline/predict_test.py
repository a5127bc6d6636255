"""Asking a pushed model: which version, which texts, and answers as plain values."""

import json
import pathlib

import pytest
import tensorflow as tf

from models.errors import ConfigError
from pipeline.predict import check_texts, newest_version, predict


class Parrot(tf.Module):
    """Answers every signature with shapes as the real ones have."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "texts")])
    def fill_mask(self, texts):  # type: ignore[no-untyped-def]
        rows = tf.size(texts)
        return {
            "words": tf.tile([[["bank", "é"], ["x", "y"]]], [rows, 1, 1]),
            "probabilities": tf.tile([[[0.75, 0.25], [0.5, 0.5]]], [rows, 1, 1]),
            "mask_count": tf.range(rows) + 1,
        }

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, "first"),
            tf.TensorSpec([None], tf.string, "second"),
        ]
    )
    def next_sentence(self, first, second):  # type: ignore[no-untyped-def]
        return {"probability": tf.where(first == second, 1.0, 0.25)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "texts")])
    def embed(self, texts):  # type: ignore[no-untyped-def]
        rows = tf.size(texts)
        return {
            "hidden_states": tf.tile([[[[9.0], [9.0]], [[1.0], [2.0]]]], [rows, 1, 1, 1]),
            "tokens": tf.tile([["[CLS]", ""]], [rows, 1]),
            "padding_mask": tf.tile([[1, 0]], [rows, 1]),
        }


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("serving") / "17"
    parrot = Parrot()
    names = ("fill_mask", "next_sentence", "embed")
    tf.saved_model.save(
        parrot, str(folder), signatures={name: getattr(parrot, name) for name in names}
    )
    return folder


def test_masks_are_filled_and_padded_rows_left_out(model: pathlib.Path) -> None:
    answers = predict(model, "fill-mask", ["a [MASK]", "[MASK] [MASK]"])
    assert [len(answer["masks"]) for answer in answers] == [1, 2]
    assert answers[0]["masks"][0] == [
        {"word": "bank", "probability": 0.75},
        {"word": "é", "probability": 0.25},
    ]
    json.dumps(answers)


def test_pairs_are_two_texts_each(model: pathlib.Path) -> None:
    answers = predict(model, "next-sentence", ["a", "a", "a", "b"])
    assert [answer["probability"] for answer in answers] == [1.0, 0.25]
    assert (answers[1]["first"], answers[1]["second"]) == ("a", "b")


def test_embed_gives_real_tokens_and_the_last_layer(model: pathlib.Path) -> None:
    (answer,) = predict(model, "embed", ["a"])
    assert answer == {"text": "a", "tokens": ["[CLS]"], "vectors": [[1.0]]}


def test_the_newest_whole_version_is_asked(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match="no model has been pushed"):
        newest_version(tmp_path)
    for name in ("9", "10", "11", "tmp"):
        (tmp_path / name).mkdir()
    for name in ("9", "10", "tmp"):
        (tmp_path / name / "saved_model.pb").touch()
    assert newest_version(tmp_path).name == "10"


@pytest.mark.parametrize(
    ("task", "texts"),
    [("embed", []), ("fill-mask", ["[MASK]", "none"]), ("next-sentence", ["a", "b", "c"])],
)
def test_texts_that_cannot_be_answered(task, texts) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError):
        check_texts(task, texts)
