"""The lineage of a pushed version: the text, configuration, code and models it was made from."""

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
    """What one model was made from.

    Attributes:
        version: the version that the model was pushed as, None if it was not pushed.
        destination: the folder it was pushed to.
        model: the Model artifact's folder.
        recipe: the recipe that the configuration started from.
        config: the resolved configuration by section, with tuned hyperparameters applied.
        code: version of the code.
        commit: the commit of the code.
        fingerprint: of everything that the weights depend on.
        examples: the folder of the training examples.
        vocabulary: the folder of the vocabulary.
        vocabulary_size: number of entries of the vocabulary.
        cleaned: the folder of the documents that cleaning kept.
        documents: the folder of the ingested documents.
        span: number of the span.
        label: label of the span: the number or date in the place of {SPAN}.
        pattern: the input, with {SPAN}.
        corpus: fingerprint of the span's text.
        base: the model that training started from, None for new weights.
        rolled_back: whether the version was taken out of service.
        window: labels of the older spans whose text the model was also trained on.
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


def find_pipeline(version_folder: pathlib.Path) -> pathlib.Path:
    """The pipeline's folder that contains a pushed version's folder.

    Raises:
        ConfigError: the folder is not a pushed version.
    """
    folder = version_folder.absolute()
    if len(folder.parents) > 2 and folder.parents[1].name == SERVING:
        return folder.parents[2]
    raise ConfigError(
        "the folder is not a pushed version",
        where=str(version_folder),
        remedy="give <runs>/<name>/serving/<name>/<version>, or the version and --name",
    )


def lineage_of(history: RunHistory, version: str) -> Lineage:
    """The lineage of a pushed version.

    Args:
        history: the pipeline's runs.
        version: a version, or "latest".

    Raises:
        ConfigError: no such version was pushed; the error lists those that were.
    """
    pushed = {artifact.properties["pushed_version"]: artifact for artifact in history.pushed()}
    served = [name for name in pushed if not pushed[name].rolled_back]
    if version == "latest" and served:
        version = served[-1]
    if version not in pushed:
        raise ConfigError(
            f"version {version} was not pushed",
            where=str(history.folder),
            remedy=f"pushed versions: {', '.join(pushed) or 'none yet'}",
        )
    model = history.producer(pushed[version]).input("model")
    return _lineage(history, _required(model, "model", pushed[version]), _pushed_by_model(history))


def _pushed_by_model(history: RunHistory) -> dict[int, ArtifactRecord]:
    """The PushedModel artifacts by the number of their Model artifact."""
    pushed_by_model = {}
    for artifact in history.pushed():
        model = history.producer(artifact).input("model")
        if model:
            pushed_by_model[model.id] = artifact
    return pushed_by_model


def _lineage(
    history: RunHistory, model: ArtifactRecord, pushed_by_model: Mapping[int, ArtifactRecord]
) -> Lineage:
    trainer = history.producer(model)
    custom_config = json.loads(trainer.parameters["custom_config"])
    provenance = provenance_of(trainer)
    examples = _required(trainer.input("examples"), "examples", model)
    builder = history.producer(examples)
    vocabulary = _required(builder.input("vocabulary"), "vocabulary", examples)
    cleaned = _required(builder.input("documents"), "documents", examples)
    documents = _required(history.producer(cleaned).input("documents"), "documents", cleaned)
    ingestion: NodeRecord = history.producer(documents)
    base = trainer.input("base_model")
    pushed = pushed_by_model.get(model.id)
    return Lineage(
        version=pushed.properties["pushed_version"] if pushed else None,
        destination=pushed.properties["pushed_destination"] if pushed else None,
        model=model.uri,
        recipe=provenance["recipe"],
        config=json.loads(with_values(custom_config, _tuned_values(trainer))["config"]),
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
        base=_lineage(history, base, pushed_by_model) if base else None,
        rolled_back=bool(pushed and pushed.rolled_back),
        window=tuple(artifact.span_label for artifact in builder.inputs.get("older", ())),
    )


def provenance_of(trainer: NodeRecord) -> Mapping[str, Any]:
    """The provenance that a Trainer recorded: the fields of `pipeline.provenance.Provenance`."""
    custom_config = json.loads(trainer.parameters["custom_config"])
    # Runs of older releases have it outside of "unkeyed".
    return json.loads(custom_config.get("unkeyed", custom_config)["provenance"])


def _tuned_values(trainer: NodeRecord) -> Mapping[str, Value]:
    """The tuned hyperparameters of a training, empty without a search."""
    artifact = trainer.input("hyperparameters")
    if artifact is None:
        return {}
    file = pathlib.Path(artifact.uri) / BEST_FILE
    try:
        return json.loads(file.read_text(encoding="utf-8"))["values"]
    except OSError as error:
        raise ConfigError(
            f"the hyperparameters that the Tuner found cannot be read: {error.strerror}",
            where=str(file),
        ) from error


def _required(
    artifact: ArtifactRecord | None, name: str, downstream: ArtifactRecord
) -> ArtifactRecord:
    if artifact is None:
        raise ConfigError(
            f"the metadata does not record which {name} artifact {downstream.id} was made from",
            where=downstream.uri,
        )
    return artifact
