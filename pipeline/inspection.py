"""A look into an artifact of training examples: examples in words, and how full they are."""

from __future__ import annotations

import collections
import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from models.errors import ConfigError
from models.objective import RenderedToken
from pipeline.metadata.queries import RunHistory

_ADDED = ("files", "documents", "pieces", "examples", "positions", "real_positions")


@dataclasses.dataclass(frozen=True)
class Inspection:
    """What a reader sees of a split of examples.

    Attributes:
        folder: the artifact's folder.
        split: "train", "eval" or "test".
        summary: the split's part of `examples.json`.
        shown: examples in words, each by rows; see `Objective.render_example`.
        facts: of each shown example, its scalars, as `source` and `next_sentence_label`.
        counted: how many examples the figures are of.
        figures: of each of these, by name: real positions as `length`, and what is to be predicted
            by the names of the objective's denominators.
    """

    folder: pathlib.Path
    split: str
    summary: Mapping[str, Any]
    shown: Sequence[Sequence[Sequence[RenderedToken]]]
    facts: Sequence[Mapping[str, Any]]
    counted: int
    figures: Mapping[str, np.ndarray]


def newest_examples(history: RunHistory) -> pathlib.Path:
    """The folder of the examples that a pipeline's runs made, or took from the cache, last.

    Raises:
        ConfigError: no run came that far.
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
        folder: what ExampleBuilder wrote.
        split: "train", "eval" or "test".
        show: how many examples to render, the first ones of the first file.
        limit: how many to count, at most.

    Raises:
        ConfigError: the folder holds no examples, or not that split; or none are to be counted, or
            fewer than none to be shown.
    """
    if show < 0:
        raise ConfigError(
            f"{show} examples cannot be shown", where="--show", remedy="give 0 or more"
        )
    if limit < 1:
        raise ConfigError(
            f"{limit} examples have no figures", where="--limit", remedy="give 1 or more"
        )
    from components.layout import EXAMPLES_FILE, TOKENIZER_FOLDER, shard_files

    try:
        told = json.loads((folder / EXAMPLES_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            "the folder holds no training examples",
            where=str(folder),
            remedy="give the folder of an ExampleBuilder artifact, or --name of a pipeline",
        ) from error
    files = shard_files(folder, split)
    if not files:
        others = [name for name, summary in told["splits"].items() if summary["examples"]]
        raise ConfigError(
            f"there are no examples of the split {split!r}",
            where=str(folder),
            remedy=f"name one of: {', '.join(others)}",
        )
    import tensorflow as tf

    from models.examples import parse
    from models.registry import FAMILIES
    from models.renamed_settings import with_new_names
    from models.settings import from_json

    family = FAMILIES[told["family"]]
    tokenizer = family.tokenizer.load(folder / TOKENIZER_FOLDER)
    given = told["objective"] if "objective" in told else told["model"]["objective"]  # older runs
    settings = from_json(
        family.objective_config, json.dumps(with_new_names(given, "model.objective"))
    )
    objective = family.build_objective(settings, tokenizer)
    spec = objective.feature_spec()
    shown: list[Sequence[Sequence[RenderedToken]]] = []
    facts: list[Mapping[str, Any]] = []
    figures: dict[str, list[np.ndarray]] = {}
    for batch in tf.data.TFRecordDataset(files, "GZIP").take(max(limit, show)).batch(256):
        features = parse(batch, spec)
        counts = {
            "length": tf.reduce_sum(features["padding_mask"], axis=-1),
            **objective.denominators(features),
        }
        for name, values in counts.items():
            figures.setdefault(name, []).append(values.numpy())
        arrays = {name: value.numpy() for name, value in features.items()}
        for row in range(min(show - len(shown), len(batch))):
            example = {name: value[row] for name, value in arrays.items()}
            shown.append(objective.render_example(example, tokenizer))
            facts.append(
                {name: _plain(value) for name, value in example.items() if value.size == 1}
            )
    counted = {name: np.concatenate(parts)[:limit] for name, parts in figures.items()}
    return Inspection(
        folder=folder,
        split=split,
        summary=_summary(told, split),
        shown=shown,
        facts=facts,
        counted=len(counted["length"]),
        figures=counted,
    )


def _summary(told: Mapping[str, Any], split: str) -> Mapping[str, Any]:
    """What `examples.json` says of a split; of "train" with the older spans' that are there too."""
    own, older = told["splits"][split], told.get("older")
    if split != "train" or not older or not older["examples"]:
        return own
    total = {name: own[name] + older[name] for name in _ADDED}
    tally = collections.Counter(own["tally"]) + collections.Counter(older["tally"])
    padding = 1 - total["real_positions"] / total["positions"]
    return {**own, **total, "tally": tally, "padding_share": padding}


def _plain(value: np.ndarray) -> Any:
    single = value.item()
    return single.decode() if isinstance(single, bytes) else single
