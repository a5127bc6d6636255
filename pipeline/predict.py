"""Questions to the newest pushed model; needs tensorflow and tensorflow_text, as a server does."""

from __future__ import annotations

import dataclasses
import math
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from models.errors import ConfigError
from models.processor import choose_onednn
from pipeline.config import pipeline_folder
from pipeline.layout import versions_folder

Task = Literal["fill-mask", "next-sentence", "embed", "score", "generate"]
_INT32 = 2**31 - 1
SAVED_MODEL = "saved_model.pb"
"""The file that Pusher copies last: a version without it is not whole."""


@dataclasses.dataclass(frozen=True)
class Generation:
    """How `generate` continues every prompt; see models/gpt/generation.py."""

    length: int = 40
    """Tokens to generate at most; fewer where the prompt leaves the model fewer positions."""
    temperature: float = 0.8
    """0 takes the likeliest token each time."""
    top_k: int = 0
    """Draw from so many of the likeliest tokens, 0 for all."""
    top_p: float = 0.95
    """Draw from the fewest likeliest tokens that together have this probability, 1 for all."""
    seed: int = 0
    """The same seed gives the same text."""
    stop: str = ""
    """End before this text."""


def newest_version(serving: pathlib.Path) -> pathlib.Path:
    """The folder of the newest whole version below `<serving>/`.

    Raises:
        ConfigError: nothing was pushed yet.
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
    """The folder of the model that is asked; nothing is loaded.

    Args:
        model: a SavedModel's folder.
        runs, name: without it, the pipeline whose newest version is meant.

    Raises:
        ConfigError: there is no model or no pipeline, or both are named.
    """
    if model is not None and name is not None:
        raise ConfigError(
            "one model can answer, and two are named", where="--model and --name", remedy="give one"
        )
    if model is None:
        pipeline = pipeline_folder(runs, name)
        return newest_version(versions_folder(pipeline))
    folder = pathlib.Path(model).expanduser()
    if not os.path.isfile(folder / SAVED_MODEL):  # unlike pathlib's, raises for no path at all
        raise ConfigError(
            "the folder holds no model",
            where=str(folder),
            remedy="give a version's folder, which has a saved_model.pb, or --name of a pipeline",
        )
    return folder


def predict(
    folder: pathlib.Path,
    task: Task,
    texts: Sequence[str],
    generation: Generation = Generation(),
) -> list[dict[str, Any]]:
    """Answers about raw texts.

    Args:
        folder: a SavedModel.
        task: `fill-mask`: words for each [MASK], and the numbers, from 1, of those that the model
            did not read because they lie beyond its `token_limit`; `next-sentence`: of each two
            texts, whether the second follows the first; `embed`: tokens, and the last layer's
            vectors; `score`: how likely the text is, in all and by token; `generate`: how it may go
            on.
        texts: raw texts.
        generation: how `generate` goes on.

    Returns:
        An answer a text (a pair), of plain values.

    Raises:
        ConfigError: no texts, an odd number of texts for pairs, a text without [MASK], a setting of
            `generate` out of its range, or a model that does not answer the task as asked.
    """
    check_texts(task, texts)
    check_generation(task, generation)
    choose_onednn("serving")
    signatures = _load(folder)
    name = "hidden_states" if task == "embed" else task.replace("-", "_")
    if name not in signatures:
        raise ConfigError(f"the model does not answer {task}", where=str(folder))
    given = _arguments(task, texts, generation)
    outputs = {key: value.numpy() for key, value in signatures[name](**given).items()}
    asked = texts[::2] if task == "next-sentence" else texts
    try:
        return [_READ[task](texts, outputs, row) for row in range(len(asked))]
    except KeyError as error:
        raise ConfigError(
            f"the model's answer to {task} has no {error}",
            where=str(folder),
            remedy="another version of this program exported the model: run the pipeline again",
        ) from error


def _arguments(task: Task, texts: Sequence[str], generation: Generation) -> dict[str, Any]:
    """What the task's signature is called with."""
    import tensorflow as tf

    if task == "next-sentence":
        return {"first": tf.constant(texts[::2]), "second": tf.constant(texts[1::2])}
    if task == "embed":
        return {"texts": tf.constant(texts), "layers": tf.fill([len(texts), 1], -1)}
    if task == "generate":
        kinds = {"length": tf.int32, "top_k": tf.int32, "seed": tf.int64}
        settings = dataclasses.asdict(generation).items()
        return {"prompt": tf.constant(texts)} | {
            field: tf.constant([value] * len(texts), kinds.get(field)) for field, value in settings
        }
    return {"texts": tf.constant(texts)}


def check_texts(task: Task, texts: Sequence[str]) -> None:
    """Raises ConfigError if the texts are none that the task can answer."""
    if not texts:
        raise ConfigError("no text was given", remedy="give texts, or lines on standard input")
    if task == "next-sentence" and len(texts) % 2:
        raise ConfigError("next-sentence needs pairs", remedy="give an even number of texts")
    if task == "fill-mask":
        for text in texts:
            if "[MASK]" not in text:
                raise ConfigError(
                    "there is no [MASK] to fill", where=text[:80], remedy="write [MASK] for a word"
                )


def check_answers(task: Task, answers: Sequence[Mapping[str, Any]]) -> None:
    """Raises ConfigError if one of `predict`'s answers says nothing about its text."""
    for answer in answers:
        if task == "fill-mask" and not answer["masks"]:
            raise ConfigError(
                f"no [MASK] lies within the {answer['token_limit']} tokens that the model reads",
                where=answer["text"][:80],
                remedy="shorten the text before its [MASK]",
            )


def check_generation(task: Task, generation: Generation) -> None:
    """Raises ConfigError if a setting is out of its range, or the task does not look at it."""
    for field, value in dataclasses.asdict(generation).items():
        if task != "generate" and value != getattr(Generation(), field):
            raise ConfigError(
                f"{value!r:.40} has no effect on {task}",
                where=_option(field),
                remedy="leave it out, or ask for generate",
            )
    for name, fits, allowed in (
        ("length", 1 <= generation.length <= _INT32, f"from 1 to {_INT32}"),
        ("temperature", 0.0 <= generation.temperature <= 1e30, "from 0 to 1e30"),
        ("top_k", 0 <= generation.top_k <= _INT32, f"from 0 to {_INT32}"),
        ("top_p", 1e-30 <= generation.top_p <= 1.0, "from 1e-30 to 1"),  # not 0 in float32
        ("seed", -(2**63) <= generation.seed < 2**63, "of 64 bits"),
    ):
        if not fits:
            raise ConfigError(
                f"{name} is {getattr(generation, name)}",
                where=_option(name),
                remedy=f"give a number {allowed}",
            )


def _option(field: str) -> str:
    return f"--{field.replace('_', '-')}"


def finite(value: Any) -> Any:
    """An answer without what JSON does not have: None in the place of infinities and NaN."""
    if isinstance(value, dict):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [finite(each) for each in value]
    return value if not isinstance(value, float) or math.isfinite(value) else None


def _paired(texts: Sequence[str], outputs: Any, row: int) -> dict[str, Any]:
    return {
        "first": texts[2 * row],
        "second": texts[2 * row + 1],
        "probability": float(outputs["probability"][row]),
    }


def _continued(texts: Sequence[str], outputs: Any, row: int) -> dict[str, Any]:
    return {
        "prompt": texts[row],
        "text": outputs["text"][row].decode(),
        "token_count": int(outputs["token_count"][row]),
        "finish_reason": outputs["finish_reason"][row].decode(),
        "prompt_tokens_cut": int(outputs["prompt_tokens_cut"][row]),
    }


def _filled(texts: Sequence[str], outputs: Any, row: int) -> dict[str, Any]:
    count = int(outputs["mask_count"][row])
    masks = [
        [
            {"word": word.decode(), "probability": float(share)}
            for word, share in zip(words, shares, strict=True)
        ]
        for words, shares in zip(
            outputs["words"][row][:count], outputs["probabilities"][row][:count], strict=True
        )
    ]
    cut = range(count + 1, count + 1 + int(outputs["cut_mask_count"][row]))
    return {
        "text": texts[row],
        "masks": masks,
        "cut_masks": list(cut),
        "token_limit": int(outputs["token_limit"][row]),
    }


def _embedded(texts: Sequence[str], outputs: Any, row: int) -> dict[str, Any]:
    real = int(outputs["padding_mask"][row].sum())
    return {
        "text": texts[row],
        "tokens": [token.decode() for token in outputs["tokens"][row][:real]],
        "vectors": outputs["hidden_states"][row, 0, :real].tolist(),
    }


def _scored(texts: Sequence[str], outputs: Any, row: int) -> dict[str, Any]:
    count = int(outputs["token_count"][row])
    return {
        "text": texts[row],
        "total": float(outputs["total"][row]),
        "perplexity": float(outputs["perplexity"][row]),
        "tokens": [token.decode() for token in outputs["tokens"][row][:count]],
        "log_probabilities": outputs["log_probabilities"][row][:count].tolist(),
    }


_READ: Mapping[Task, Callable[[Sequence[str], Any, int], dict[str, Any]]] = {
    "fill-mask": _filled,
    "next-sentence": _paired,
    "embed": _embedded,
    "score": _scored,
    "generate": _continued,
}
"""An answer in plain values: of all texts, the signature's outputs and the answer's number."""


def _load(folder: pathlib.Path) -> Any:
    """The signatures of the model in a folder.

    Raises:
        ConfigError: its files are damaged or not all there.
    """
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  registers the tokenizer's ops

    try:
        return tf.saved_model.load(str(folder)).signatures
    except (OSError, ValueError, IndexError, RuntimeError, tf.errors.OpError) as error:
        raise ConfigError(
            f"the model cannot be loaded: {str(error).strip().splitlines()[0]:.200}",
            where=str(folder),
            remedy="its files are damaged or incomplete: push it again, or copy it anew",
        ) from error
