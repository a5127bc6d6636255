"""Asks a SavedModel the registry's questions, with tensorflow and tensorflow_text only."""

from __future__ import annotations

import dataclasses
import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from models.errors import ConfigError
from models.processor import choose_onednn
from models.questions import Answer, Question
from models.registry import FAMILIES
from pipeline.config import pipeline_folder
from pipeline.layout import versions_folder

SAVED_MODEL = "saved_model.pb"
"""The file that Pusher copies last: a version without it is incomplete."""

QUESTIONS: Mapping[str, Question] = {
    question.name: question for family in FAMILIES.values() for question in family.questions
}
"""The questions of all families by name."""

if TYPE_CHECKING:
    QuestionName = str
    Options = Any
else:
    QuestionName = Literal[tuple(QUESTIONS)]
    Options = dataclasses.make_dataclass(
        "Options",
        (),
        bases=tuple(dict.fromkeys(each.options for each in QUESTIONS.values() if each.options)),
        frozen=True,
    )
    """The options of all questions: each is a field of the class `options` of some question."""

NO_OPTIONS: Any = Options()
"""Every option has its default."""


def questions_help() -> str:
    """The questions and the families that answer them, for the help of the command line."""
    lines = []
    for name, question in QUESTIONS.items():
        families = [each.name for each in FAMILIES.values() if question in each.questions]
        whose = "every family" if len(families) == len(FAMILIES) else ", ".join(families)
        lines.append(f"{name} ({whose}): {question.summary}")
    return f"What to ask. {'; '.join(lines)}."


def options_help() -> str:
    """Which questions have options, for the help of the command line."""
    names = [name for name, question in QUESTIONS.items() if question.options]
    return f"Options of {', '.join(names)}; no other question uses them."


def newest_version(serving: pathlib.Path) -> pathlib.Path:
    """The folder of the newest complete version below `<serving>/`.

    Raises:
        ConfigError: no model has been pushed yet.
    """
    versions = [
        folder
        for folder in serving.glob("*")
        if folder.name.isdecimal() and os.path.isfile(folder / SAVED_MODEL)
    ]
    if not versions:
        raise ConfigError(
            "no model has been pushed yet",
            where=str(serving),
            remedy="check --runs and --name, or run the pipeline first",
        )
    return max(versions, key=lambda folder: int(folder.name))


def model_folder(model: str | None, runs: str, name: str | None) -> pathlib.Path:
    """The folder of the model to ask; the model is not loaded.

    Args:
        model: a SavedModel's folder, or None for the newest version of a pipeline.
        runs, name: where pipelines are, and the name of one; see `pipeline_folder`.

    Raises:
        ConfigError: there is no model or no pipeline, or both `model` and `name` are given.
    """
    if model is not None and name is not None:
        raise ConfigError(
            "two models are named, and only one can answer",
            where="--model and --name",
            remedy="give one of the two options",
        )
    if model is None:
        return newest_version(versions_folder(pipeline_folder(runs, name)))
    folder = pathlib.Path(model).expanduser()
    if not os.path.isfile(folder / SAVED_MODEL):  # unlike pathlib's, takes any path
        raise ConfigError(
            "the folder holds no model",
            where=str(folder),
            remedy="give a version's folder, which has a saved_model.pb, or --name of a pipeline",
        )
    return folder


def predict(
    folder: pathlib.Path,
    question: QuestionName,
    texts: Sequence[str],
    options: Options = NO_OPTIONS,
) -> list[Answer]:
    """Answers about raw texts.

    Args:
        folder: a SavedModel.
        question: a name of `QUESTIONS`.
        texts: raw texts.
        options: the question's options are used; all others must have their defaults.

    Returns:
        An answer for each text (`next-sentence`: for each two texts), of plain values; see the
        question's method `read`.

    Raises:
        ConfigError: texts or options do not suit the question, or the model cannot answer it.
    """
    check_texts(question, texts)
    check_options(question, options)
    choose_onednn("serving")
    asked = QUESTIONS[question]
    signatures = _load(folder)
    if asked.signature not in signatures:
        raise ConfigError(f"the model does not answer {question}", where=str(folder))
    outputs = _call(
        signatures[asked.signature], asked.arguments(texts, _options_of(asked, options))
    )
    size = asked.texts_per_answer
    try:
        return [
            asked.read(texts[row * size : (row + 1) * size], outputs, row)
            for row in range(len(texts) // size)
        ]
    except KeyError as error:
        raise ConfigError(
            f"the model's answer to {question} has no {error}",
            where=str(folder),
            remedy="another version of this program exported the model: run the pipeline again",
        ) from error


def check_texts(question: QuestionName, texts: Sequence[str]) -> None:
    """Raises ConfigError if the question cannot be asked about the texts."""
    if not texts:
        raise ConfigError("no text was given", remedy="give texts, or lines on standard input")
    size = QUESTIONS[question].texts_per_answer
    if len(texts) % size:
        what = "pairs" if size == 2 else f"{size} texts for each answer"
        how_many = "an even number" if size == 2 else f"a multiple of {size}"
        raise ConfigError(f"{question} needs {what}", remedy=f"give {how_many} of texts")
    QUESTIONS[question].check_texts(texts)


def check_answers(question: QuestionName, answers: Sequence[Answer]) -> None:
    """Raises ConfigError if an answer of `predict` says nothing about its text."""
    for answer in answers:
        QUESTIONS[question].check_answer(answer)


def check_options(question: QuestionName, options: Options) -> None:
    """Raises ConfigError if an option is out of its range, or the question does not use it."""
    for field, value in dataclasses.asdict(options).items():
        users = [name for name, each in QUESTIONS.items() if hasattr(each.options, field)]
        if question not in users and value != getattr(NO_OPTIONS, field):
            raise ConfigError(
                f"{value!r:.40} has no effect on {question}",
                where=f"--{field.replace('_', '-')}",
                remedy=f"leave it out, or ask for {' or '.join(users)}",
            )
    own_options = _options_of(QUESTIONS[question], options)
    if own_options is not None:
        own_options.check()


def _options_of(question: Question, options: Options) -> Any:
    """The question's own options; None if it has none."""
    if question.options is None:
        return None
    names = [field.name for field in dataclasses.fields(question.options)]
    return question.options(**{name: getattr(options, name) for name in names})


def _call(signature: Any, arguments: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """The outputs of a signature as NumPy arrays."""
    import tensorflow as tf

    specs = signature.structured_input_signature[1]
    tensors = {name: tf.constant(value, specs[name].dtype) for name, value in arguments.items()}
    return {name: value.numpy() for name, value in signature(**tensors).items()}


def finite(value: Any) -> Any:
    """The value with None in the place of infinities and NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [finite(each) for each in value]
    return value if not isinstance(value, float) or math.isfinite(value) else None


def _load(folder: pathlib.Path) -> Any:
    """The signatures of the model in a folder.

    Raises:
        ConfigError: a file is damaged or missing.
    """
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  registers the tokenizer's ops

    try:
        return tf.saved_model.load(str(folder)).signatures
    except (OSError, ValueError, IndexError, RuntimeError, tf.errors.OpError) as error:
        raise ConfigError(
            f"the model cannot be loaded: {str(error).strip().splitlines()[0]:.200}",
            where=str(folder),
            remedy="its files are damaged or incomplete: push it again, or copy it again",
        ) from error
