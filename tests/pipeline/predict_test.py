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


class StubModel(tf.Module):
    """Has every signature of real models, with outputs of the same shapes and constant values."""

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
    stub = StubModel()
    names = ("fill_mask", "next_sentence", "hidden_states", "score", "generate")
    tf.saved_model.save(stub, str(folder), signatures={name: getattr(stub, name) for name in names})
    return folder


def test_masks_are_filled_and_padding_is_left_out(model: pathlib.Path) -> None:
    answers = predict(model, "fill-mask", ["[MASK] [MASK]"] * 3)
    assert [len(answer["masks"]) for answer in answers] == [0, 1, 2]
    assert answers[1]["masks"][0] == [
        {"word": "bank", "probability": 0.75},
        {"word": "é", "probability": 0.25},
    ]
    json.dumps(answers)


def test_masks_beyond_the_token_limit_are_numbered(model: pathlib.Path) -> None:
    answers = predict(model, "fill-mask", ["[MASK] [MASK]"] * 3)
    assert [answer["cut_masks"] for answer in answers] == [[1, 2], [2], []]
    assert {answer["token_limit"] for answer in answers} == {64}


def test_a_text_whose_masks_are_all_beyond_the_limit_is_refused(model: pathlib.Path) -> None:
    texts = ["[MASK] first", "[MASK] second"]
    answers = predict(model, "fill-mask", texts)
    check_answers("fill-mask", answers[1:])
    with pytest.raises(ConfigError, match=r"no .MASK. lies within the 64 tokens") as refused:
        check_answers("fill-mask", answers)
    assert refused.value.where == "[MASK] first"


def test_next_sentence_answers_each_pair_of_texts(model: pathlib.Path) -> None:
    answers = predict(model, "next-sentence", ["a", "a", "a", "b"])
    assert [answer["probability"] for answer in answers] == [1.0, 0.25]
    assert (answers[1]["first"], answers[1]["second"]) == ("a", "b")


def test_embed_returns_the_last_layer_of_real_tokens(model: pathlib.Path) -> None:
    (answer,) = predict(model, "embed", ["a"])
    assert answer == {"text": "a", "tokens": ["[CLS]"], "vectors": [[1.0]]}


def test_score_leaves_out_padding(model: pathlib.Path) -> None:
    (answer,) = predict(model, "score", ["a b"])
    assert answer == {
        "text": "a b",
        "total": -2.0,
        "perplexity": 2.75,
        "tokens": ["a", "Ġb"],
        "log_probabilities": [-1.5, -0.5],
    }


def test_generate_uses_the_options_for_every_prompt(model: pathlib.Path) -> None:
    settings = Options(length=3, temperature=0.5, top_k=2, top_p=0.25, seed=7, stop=".")
    answers = predict(model, "generate", ["aaa", "b"], settings)
    assert [answer["prompt"] for answer in answers] == ["aaa", "b"]
    assert [answer["prompt_tokens_cut"] for answer in answers] == [2, 0]
    assert answers[1]["text"] == "b|3|0.500000|2|0.250000|7|."
    assert (answers[1]["token_count"], answers[1]["finish_reason"]) == (3, "length")


class OlderStubModel(tf.Module):
    """A model of an earlier release, whose signature lacks outputs."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "texts")])
    def score(self, texts):  # type: ignore[no-untyped-def]
        return {"total": tf.fill([tf.size(texts)], -2.0)}


def test_a_missing_output_is_an_error_with_a_remedy(tmp_path: pathlib.Path) -> None:
    older = OlderStubModel()
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
def test_a_damaged_model_is_refused(
    model: pathlib.Path, tmp_path: pathlib.Path, damaged: str
) -> None:
    folder = shutil.copytree(model, tmp_path / "copy")
    (folder / damaged).write_bytes(b"\xff\xff")
    with pytest.raises(ConfigError, match="the model cannot be loaded") as caught:
        predict(folder, "score", ["a b"])
    assert caught.value.where == str(folder)


def test_the_newest_complete_version_is_chosen(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match="no model has been pushed"):
        newest_version(tmp_path)
    for name in ("9", "10", "11", "tmp"):
        (tmp_path / name).mkdir()
    for name in ("9", "10", "tmp"):
        (tmp_path / name / "saved_model.pb").touch()
    assert newest_version(tmp_path).name == "10"


@pytest.mark.parametrize(
    ("question", "texts"),
    [("embed", []), ("fill-mask", ["[MASK]", "none"]), ("next-sentence", ["a", "b", "c"])],
)
def test_texts_that_do_not_suit_the_question_are_refused(question, texts) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError):
        check_texts(question, texts)


@pytest.mark.parametrize(
    ("option", "value"),
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
def test_an_option_out_of_its_range_is_refused(option, value) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match=re.escape(f"{option} is {value}")) as error:
        check_options("generate", Options(**{option: value}))
    assert error.value.where == f"--{option.replace('_', '-')}"
    check_options("generate", Options())
    check_options("generate", Options(length=1, temperature=0.0, top_k=0, top_p=1.0, seed=-1))


@pytest.mark.parametrize("question", ["embed", "score", "fill-mask", "next-sentence"])
@pytest.mark.parametrize(
    ("option", "value"),
    [("length", 5), ("temperature", 0.0), ("top_k", 3), ("top_p", 0.5), ("seed", 1), ("stop", ".")],
)
def test_an_option_that_the_question_does_not_use_is_refused(
    question: str, option: str, value: Any
) -> None:
    with pytest.raises(ConfigError, match=f"has no effect on {question}") as error:
        check_options(question, Options(**{option: value}))
    assert error.value.where == f"--{option.replace('_', '-')}"
    check_options(question, Options())


def test_naming_two_models_is_refused() -> None:
    with pytest.raises(ConfigError, match="two models are named"):
        model_folder("folder", "runs", "name")


def test_a_path_that_is_too_long_is_refused() -> None:
    with pytest.raises(ConfigError, match="the folder holds no model"):
        model_folder("x" * 5_000, "runs", None)


def test_infinities_and_nan_become_none() -> None:
    answer = {"a": float("nan"), "b": [1.5, float("inf"), {"c": "x", "d": -float("inf")}], "e": 2}
    assert finite(answer) == {"a": None, "b": [1.5, None, {"c": "x", "d": None}], "e": 2}
