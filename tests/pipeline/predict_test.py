"""Asking a pushed model: which version, which texts, and answers as plain values."""

import json
import pathlib
import re
import shutil
from typing import Any

import pytest
import tensorflow as tf

from models.errors import ConfigError
from pipeline.predict import (
    Options,
    check_answers,
    check_options,
    check_texts,
    finite,
    model_folder,
    newest_version,
    predict,
)


class Parrot(tf.Module):
    """Answers every signature with shapes as the real ones have."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "texts")])
    def fill_mask(self, texts):  # type: ignore[no-untyped-def]
        rows = tf.size(texts)
        return {
            "words": tf.tile([[["bank", "é"], ["x", "y"]]], [rows, 1, 1]),
            "probabilities": tf.tile([[[0.75, 0.25], [0.5, 0.5]]], [rows, 1, 1]),
            "mask_count": tf.range(rows),
            "cut_mask_count": 2 - tf.range(rows),
            "token_limit": tf.fill([rows], 64),
        }

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, "first"),
            tf.TensorSpec([None], tf.string, "second"),
        ]
    )
    def next_sentence(self, first, second):  # type: ignore[no-untyped-def]
        return {"probability": tf.where(first == second, 1.0, 0.25)}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, "texts"),
            tf.TensorSpec([None, None], tf.int32, "layers"),
        ]
    )
    def hidden_states(self, texts, layers):  # type: ignore[no-untyped-def]
        rows = tf.size(texts)
        states = tf.tile([[[[9.0], [9.0]], [[1.0], [2.0]]]], [rows, 1, 1, 1])
        return {
            "hidden_states": tf.gather(states, layers % 2, axis=1, batch_dims=1),
            "tokens": tf.tile([["[CLS]", ""]], [rows, 1]),
            "padding_mask": tf.tile([[1, 0]], [rows, 1]),
        }

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "texts")])
    def score(self, texts):  # type: ignore[no-untyped-def]
        rows = tf.size(texts)
        return {
            "log_probabilities": tf.tile([[-1.5, -0.5, 0.0]], [rows, 1]),
            "tokens": tf.tile([["a", "Ġb", ""]], [rows, 1]),
            "total": tf.fill([rows], -2.0),
            "perplexity": tf.fill([rows], 2.75),
            "token_count": tf.fill([rows], 2),
        }

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, "prompt"),
            tf.TensorSpec([None], tf.int32, "length"),
            tf.TensorSpec([None], tf.float32, "temperature"),
            tf.TensorSpec([None], tf.int32, "top_k"),
            tf.TensorSpec([None], tf.float32, "top_p"),
            tf.TensorSpec([None], tf.int64, "seed"),
            tf.TensorSpec([None], tf.string, "stop"),
        ]
    )
    def generate(self, prompt, length, temperature, top_k, top_p, seed, stop):  # type: ignore[no-untyped-def]
        parts = (length, temperature, top_k, top_p, seed)
        return {
            "text": tf.strings.join([prompt, *map(tf.as_string, parts), stop], "|"),
            "token_count": length,
            "finish_reason": tf.fill([tf.size(prompt)], "length"),
            "prompt_tokens_cut": tf.strings.length(prompt) - 1,
        }


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("serving") / "17"
    parrot = Parrot()
    names = ("fill_mask", "next_sentence", "hidden_states", "score", "generate")
    tf.saved_model.save(
        parrot, str(folder), signatures={name: getattr(parrot, name) for name in names}
    )
    return folder


def test_masks_are_filled_and_padded_rows_left_out(model: pathlib.Path) -> None:
    answers = predict(model, "fill-mask", ["[MASK] [MASK]"] * 3)
    assert [len(answer["masks"]) for answer in answers] == [0, 1, 2]
    assert answers[1]["masks"][0] == [
        {"word": "bank", "probability": 0.75},
        {"word": "é", "probability": 0.25},
    ]
    json.dumps(answers)


def test_masks_that_were_not_read_are_numbered(model: pathlib.Path) -> None:
    answers = predict(model, "fill-mask", ["[MASK] [MASK]"] * 3)
    assert [answer["cut_masks"] for answer in answers] == [[1, 2], [2], []]
    assert {answer["token_limit"] for answer in answers} == {64}


def test_a_text_without_any_mask_that_was_read_is_refused(model: pathlib.Path) -> None:
    texts = ["[MASK] first", "[MASK] second"]
    answers = predict(model, "fill-mask", texts)
    check_answers("fill-mask", answers[1:])
    with pytest.raises(ConfigError, match=r"no .MASK. lies within the 64 tokens") as refused:
        check_answers("fill-mask", answers)
    assert refused.value.where == "[MASK] first"


def test_pairs_are_two_texts_each(model: pathlib.Path) -> None:
    answers = predict(model, "next-sentence", ["a", "a", "a", "b"])
    assert [answer["probability"] for answer in answers] == [1.0, 0.25]
    assert (answers[1]["first"], answers[1]["second"]) == ("a", "b")


def test_embed_gives_real_tokens_and_the_last_layer(model: pathlib.Path) -> None:
    (answer,) = predict(model, "embed", ["a"])
    assert answer == {"text": "a", "tokens": ["[CLS]"], "vectors": [[1.0]]}


def test_scores_are_those_of_real_tokens(model: pathlib.Path) -> None:
    (answer,) = predict(model, "score", ["a b"])
    assert answer == {
        "text": "a b",
        "total": -2.0,
        "perplexity": 2.75,
        "tokens": ["a", "Ġb"],
        "log_probabilities": [-1.5, -0.5],
    }


def test_every_prompt_is_continued_in_the_same_way(model: pathlib.Path) -> None:
    settings = Options(length=3, temperature=0.5, top_k=2, top_p=0.25, seed=7, stop=".")
    answers = predict(model, "generate", ["aaa", "b"], settings)
    assert [answer["prompt"] for answer in answers] == ["aaa", "b"]
    assert [answer["prompt_tokens_cut"] for answer in answers] == [2, 0]
    assert answers[1]["text"] == "b|3|0.500000|2|0.250000|7|."
    assert (answers[1]["token_count"], answers[1]["finish_reason"]) == (3, "length")


class OlderParrot(tf.Module):
    """Answers as a model does that was exported before answers had a further output."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "texts")])
    def score(self, texts):  # type: ignore[no-untyped-def]
        return {"total": tf.fill([tf.size(texts)], -2.0)}


def test_an_answer_that_lacks_an_output_is_an_error_with_a_remedy(tmp_path: pathlib.Path) -> None:
    older = OlderParrot()
    tf.saved_model.save(older, str(tmp_path / "1"), signatures={"score": older.score})
    with pytest.raises(ConfigError, match=r"answer to score has no '\w+'"):
        predict(tmp_path / "1", "score", ["a b"])


def test_a_folder_without_a_model_is_refused_before_anything_is_loaded(
    tmp_path: pathlib.Path,
) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ConfigError, match="the folder holds no model") as caught:
            model_folder(str(folder), "runs", None)
        assert caught.value.where == str(folder)


@pytest.mark.parametrize("damaged", ["saved_model.pb", "variables/variables.index"])
def test_a_damaged_model_is_told_in_words(
    model: pathlib.Path, tmp_path: pathlib.Path, damaged: str
) -> None:
    folder = shutil.copytree(model, tmp_path / "copy")
    (folder / damaged).write_bytes(b"\xff\xff")
    with pytest.raises(ConfigError, match="the model cannot be loaded") as caught:
        predict(folder, "score", ["a b"])
    assert caught.value.where == str(folder)


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


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("length", 0),
        ("length", 2**31),
        ("temperature", -0.5),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("temperature", 1e39),
        ("top_k", -1),
        ("top_k", 2**31),
        ("top_p", 0.0),
        ("top_p", 1e-50),
        ("top_p", 1.5),
        ("top_p", float("nan")),
        ("seed", 2**63),
    ],
)
def test_a_setting_out_of_its_range_is_refused(setting, value) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match=re.escape(f"{setting} is {value}")) as error:
        check_options("generate", Options(**{setting: value}))
    assert error.value.where == f"--{setting.replace('_', '-')}"
    check_options("generate", Options())
    check_options("generate", Options(length=1, temperature=0.0, top_k=0, top_p=1.0, seed=-1))


@pytest.mark.parametrize("task", ["embed", "score", "fill-mask", "next-sentence"])
@pytest.mark.parametrize(
    ("setting", "value"),
    [("length", 5), ("temperature", 0.0), ("top_k", 3), ("top_p", 0.5), ("seed", 1), ("stop", ".")],
)
def test_a_setting_that_the_task_does_not_look_at_is_refused(
    task: str, setting: str, value: Any
) -> None:
    with pytest.raises(ConfigError, match=f"has no effect on {task}") as error:
        check_options(task, Options(**{setting: value}))
    assert error.value.where == f"--{setting.replace('_', '-')}"
    check_options(task, Options())


def test_one_model_is_asked() -> None:
    with pytest.raises(ConfigError, match="two are named"):
        model_folder("folder", "runs", "name")


def test_a_path_that_no_file_can_have_holds_no_model() -> None:
    with pytest.raises(ConfigError, match="the folder holds no model"):
        model_folder("x" * 5_000, "runs", None)


def test_numbers_that_json_does_not_have_are_none() -> None:
    answer = {"a": float("nan"), "b": [1.5, float("inf"), {"c": "x", "d": -float("inf")}], "e": 2}
    assert finite(answer) == {"a": None, "b": [1.5, None, {"c": "x", "d": None}], "e": 2}
