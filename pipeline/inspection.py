"""Reads an artifact of training examples: some examples as text, and statistics of many."""

from __future__ import annotations

import collections
import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from components.layout import EXAMPLES_FILE, OLDER, TOKENIZER_FOLDER, TRAIN, shard_files
from models.errors import ConfigError
from models.objective import RenderedToken
from models.registry import FAMILIES
from models.renamed_settings import with_new_names
from models.settings import from_json
from pipeline.metadata.queries import RunHistory

if TYPE_CHECKING:
    from models.objective import Objective
    from models.tokenizers.tokenizer import Tokenizer

_ADDED = ("files", "documents", "pieces", "examples", "positions", "real_positions")


@dataclasses.dataclass(frozen=True)
class Inspection:
    """What a reader sees of a split of examples.

    Attributes:
        folder: the artifact's folder.
        split: "train", "eval" or "test".
        summary: the split's part of `examples.json`.
        shown: examples as text, each as rows; see `Objective.render_example`.
        facts: the scalars of each shown example, such as `source` and `next_sentence_label`.
        counted: the number of examples that `values` covers.
        values: by name, one value for each of these examples: the number of real positions as
            `length`, and the number of predictions under the names of the objective's denominators.
    """

    folder: pathlib.Path
    split: str
    summary: Mapping[str, Any]
    shown: Sequence[Sequence[Sequence[RenderedToken]]]
    facts: Sequence[Mapping[str, Any]]
    counted: int
    values: Mapping[str, np.ndarray]


def newest_examples(history: RunHistory) -> pathlib.Path:
    """The folder of the examples that the last run with examples made or took from the cache.

    Raises:
        ConfigError: no run has made examples.
    """
    for run in reversed(history.run_ids()):
        node = history.nodes(run).get("ExampleBuilder")
        made = node.output("examples") if node and node.succeeded else None
        if made:
            return pathlib.Path(made.uri)
    raise ConfigError(
        "no run has made examples",
        where=str(history.folder),
        remedy="run the pipeline first, or name another one with --name",
    )


def inspect(folder: pathlib.Path, split: str, *, show: int, limit: int) -> Inspection:
    """Reads examples.

    Args:
        folder: an ExampleBuilder artifact.
        split: "train", "eval" or "test".
        show: number of examples to render, the first ones of the first file.
        limit: number of examples to count, at most.

    Raises:
        ConfigError: the folder holds no examples or not that split, `show` is negative, or `limit`
            is below 1.
    """
    _check_numbers(show, limit)
    about, files = _find(folder, split)
    import tensorflow as tf

    from models.examples import parse

    objective, tokenizer = _load(folder, about)
    spec = objective.feature_spec()
    shown: list[Sequence[Sequence[RenderedToken]]] = []
    facts: list[Mapping[str, Any]] = []
    counts: dict[str, list[np.ndarray]] = {}
    for batch in tf.data.TFRecordDataset(files, "GZIP").take(max(limit, show)).batch(256):
        features = parse(batch, spec)
        for name, numbers in _counts(objective, features).items():
            counts.setdefault(name, []).append(numbers)
        arrays = {name: value.numpy() for name, value in features.items()}
        for row in range(min(show - len(shown), len(batch))):
            example = {name: value[row] for name, value in arrays.items()}
            shown.append(objective.render_example(example, tokenizer))
            scalars = {name: value for name, value in example.items() if value.size == 1}
            facts.append({name: _plain(value) for name, value in scalars.items()})
    values = {name: np.concatenate(parts)[:limit] for name, parts in counts.items()}
    return Inspection(
        folder=folder,
        split=split,
        summary=_summary(about, split),
        shown=shown,
        facts=facts,
        counted=len(values["length"]),
        values=values,
    )


def _counts(objective: Objective, features: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The number of real positions, and of predictions, of each example of a batch."""
    lengths = features["padding_mask"].numpy().sum(axis=-1)
    predictions = objective.denominators(features).items()
    return {"length": lengths} | {name: numbers.numpy() for name, numbers in predictions}


def _check_numbers(show: int, limit: int) -> None:
    if show < 0:
        raise ConfigError(
            f"{show} examples cannot be shown", where="--show", remedy="give 0 or more"
        )
    if limit < 1:
        raise ConfigError(
            f"{limit} examples cannot be counted", where="--limit", remedy="give 1 or more"
        )


def _find(folder: pathlib.Path, split: str) -> tuple[Mapping[str, Any], Sequence[str]]:
    """The content of `examples.json`, and the files of a split.

    Raises:
        ConfigError: the folder holds no examples, or not that split.
    """
    try:
        about = json.loads((folder / EXAMPLES_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            "the folder holds no training examples",
            where=str(folder),
            remedy="give the folder of an ExampleBuilder artifact, or --name of a pipeline",
        ) from error
    files = shard_files(folder, split)
    if not files:
        others = [name for name, summary in about["splits"].items() if summary["examples"]]
        raise ConfigError(
            f"there are no examples of the split {split!r}",
            where=str(folder),
            remedy=f"name one of: {', '.join(others)}",
        )
    return about, files


def _load(folder: pathlib.Path, about: Mapping[str, Any]) -> tuple[Objective, Tokenizer]:
    """The objective and the tokenizer that made the examples."""
    family = FAMILIES[about["family"]]
    tokenizer = family.tokenizer.load(folder / TOKENIZER_FOLDER)
    # Earlier releases stored the settings of the whole model.
    settings = about["objective"] if "objective" in about else about["model"]["objective"]
    config = from_json(
        family.objective_config, json.dumps(with_new_names(settings, "model.objective"))
    )
    return family.build_objective(config, tokenizer), tokenizer


def _summary(about: Mapping[str, Any], split: str) -> Mapping[str, Any]:
    """The summary of a split in `examples.json`; "train" includes the examples of older spans."""
    own, older = about["splits"][split], about.get(OLDER)
    if split != TRAIN or not older or not older["examples"]:
        return own
    total = {name: own[name] + older[name] for name in _ADDED}
    tally = collections.Counter(own["tally"]) + collections.Counter(older["tally"])
    padding = 1 - total["real_positions"] / total["positions"]
    return {**own, **total, "tally": tally, "padding_share": padding}


def _plain(value: np.ndarray) -> Any:
    single = value.item()
    return single.decode() if isinstance(single, bytes) else single
