"""From a pushed version back to the text: what made it, out of what, by which code."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from components.search_space import BEST_FILE, with_values
from components.tuning_config import Value
from models.errors import ConfigError
from pipeline.layout import SERVING
from pipeline.metadata.queries import ArtifactRecord, NodeRecord, RunHistory


@dataclasses.dataclass(frozen=True)
class Lineage:
    """One model's chain.

    Attributes:
        version: the version it was pushed as, None if it was not.
        destination: the folder it was pushed to.
        model: the Model artifact's folder.
        recipe: the recipe it started from.
        config: the resolved configuration, by section, with what was tuned in it.
        code: version of the code.
        commit: the commit that it is of.
        fingerprint: of everything that the weights depend on.
        examples: the training examples' folder.
        vocabulary: the vocabulary's folder.
        vocabulary_size: its entries.
        cleaned: the folder of the documents that cleaning left.
        documents: the ingested documents' folder.
        span: number of the span.
        label: what stands for {SPAN} in its files' names, a number or a date.
        pattern: where its text lay.
        corpus: fingerprint of its text.
        base: the model that training started from, None for a fresh start.
        rolled_back: whether the version was taken out of service.
        window: the older spans whose text it was trained on too, by their labels.
    """

    version: str | None
    destination: str | None
    model: str
    recipe: str
    config: Mapping[str, Any]
    code: str
    commit: str
    fingerprint: str
    examples: str
    vocabulary: str
    vocabulary_size: int | None
    cleaned: str
    documents: str
    span: int
    label: str
    pattern: str
    corpus: str
    base: Lineage | None
    rolled_back: bool = False
    window: Sequence[str] = ()

    def to_dict(self) -> dict[str, Any]:
        """As plain values, to be written as JSON."""
        return dataclasses.asdict(self)


def find_pipeline(version_folder: pathlib.Path) -> pathlib.Path:
    """The pipeline's folder that a pushed version's folder lies in.

    Raises:
        ConfigError: it lies in none.
    """
    folder = version_folder.absolute()
    if len(folder.parents) > 2 and folder.parents[1].name == SERVING:
        return folder.parents[2]
    raise ConfigError(
        "not a version that was pushed",
        where=str(version_folder),
        remedy="give <runs>/<name>/serving/<name>/<version>, or the version and --name",
    )


def lineage_of(history: RunHistory, version: str) -> Lineage:
    """The chain of a pushed version.

    Args:
        history: the pipeline's runs.
        version: a version, or "latest".

    Raises:
        ConfigError: no such version was pushed; names those that were.
    """
    pushed = {artifact.properties["pushed_version"]: artifact for artifact in history.pushed()}
    served = [name for name in pushed if not pushed[name].rolled_back]
    if version == "latest" and served:
        version = served[-1]
    if version not in pushed:
        raise ConfigError(
            f"version {version} was not pushed",
            where=str(history.folder),
            remedy=f"versions: {', '.join(pushed) or 'none yet'}",
        )
    model = history.producer(pushed[version]).input("model")
    return _lineage(history, _required(model, "model", pushed[version]), _versions(history))


def _versions(history: RunHistory) -> dict[int, ArtifactRecord]:
    """What was pushed, by number of the Model artifact."""
    found = {}
    for artifact in history.pushed():
        model = history.producer(artifact).input("model")
        if model:
            found[model.id] = artifact
    return found


def _lineage(
    history: RunHistory, model: ArtifactRecord, versions: Mapping[int, ArtifactRecord]
) -> Lineage:
    trainer = history.producer(model)
    given = json.loads(trainer.parameters["custom_config"])
    provenance = provenance_of(trainer)
    examples = _required(trainer.input("examples"), "examples", model)
    builder = history.producer(examples)
    vocabulary = _required(builder.input("vocabulary"), "vocabulary", examples)
    cleaned = _required(builder.input("documents"), "documents", examples)
    documents = _required(history.producer(cleaned).input("documents"), "documents", cleaned)
    ingestion: NodeRecord = history.producer(documents)
    base = trainer.input("base_model")
    pushed = versions.get(model.id)
    return Lineage(
        version=pushed.properties["pushed_version"] if pushed else None,
        destination=pushed.properties["pushed_destination"] if pushed else None,
        model=model.uri,
        recipe=provenance["recipe"],
        config=json.loads(with_values(given, _tuned(trainer))["config"]),
        code=provenance["code"],
        commit=provenance.get("commit", ""),
        fingerprint=provenance["fingerprint"],
        examples=examples.uri,
        vocabulary=vocabulary.uri,
        vocabulary_size=vocabulary.properties.get("size"),
        cleaned=cleaned.uri,
        documents=documents.uri,
        span=ingestion.parameters["span"],
        label=ingestion.span_label,
        pattern=provenance["pattern"],
        corpus=ingestion.parameters["fingerprint"],
        base=_lineage(history, base, versions) if base else None,
        rolled_back=bool(pushed and pushed.rolled_back),
        window=tuple(artifact.span_label for artifact in builder.inputs.get("older", ())),
    )


def provenance_of(trainer: NodeRecord) -> Mapping[str, Any]:
    """What a training's run was made from: the fields of `pipeline.provenance.Provenance`."""
    given = json.loads(trainer.parameters["custom_config"])
    return json.loads(given.get("unkeyed", given)["provenance"])  # older runs have it there


def _tuned(trainer: NodeRecord) -> Mapping[str, Value]:
    """The hyperparameters that a training was given, empty where none were searched."""
    artifact = trainer.input("hyperparameters")
    if artifact is None:
        return {}
    file = pathlib.Path(artifact.uri) / BEST_FILE
    try:
        return json.loads(file.read_text(encoding="utf-8"))["values"]
    except OSError as error:
        raise ConfigError(
            f"what the Tuner found cannot be read: {error.strerror}", where=str(file)
        ) from error


def _required(
    artifact: ArtifactRecord | None, name: str, downstream: ArtifactRecord
) -> ArtifactRecord:
    if artifact is None:
        raise ConfigError(
            f"the metadata do not say which {name} artifact {downstream.id} was made from",
            where=downstream.uri,
        )
    return artifact
