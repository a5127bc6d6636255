"""The little models of every family, for tests that check the same rules for all families."""

import collections
import dataclasses
import importlib
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from models.counts import Counts
from models.examples import Serializer, parse, unstack
from models.family import Family
from models.objective import Example, Objective, TokenizedDocument, numeric_features
from models.registry import FAMILIES

LITTLE: Mapping[str, ModuleType] = {
    name: importlib.import_module(f"tests.testdata.little_{name}") for name in FAMILIES
}
"""Family → a module with a small configuration CONFIG, tokenizer(), and text(number)."""

Batch = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class LittleModel:
    """A family's little model and everything that belongs to it.

    Attributes:
        examples: training examples of six texts.
        batch: numeric features of the four shortest and the four longest examples.
    """

    family: Family
    config: Any
    tokenizer: Any
    objective: Objective
    model: Any
    signatures: Mapping[str, Any]
    examples: list[Example]
    batch: Batch


def little_model(name: str) -> LittleModel:
    """The little model of a family, with weights so large that every input affects the outputs."""
    family, little = FAMILIES[name], LITTLE[name]
    config, tokenizer = little.CONFIG, little.tokenizer()
    objective = family.build_objective(config.objective, tokenizer)
    examples = make_examples(little, objective, tokenizer)
    spec = objective.feature_spec()
    by_length = sorted(examples, key=lambda example: example["padding_mask"].sum())
    serialized = Serializer(spec).serialize(by_length[:4] + by_length[-4:])
    batch = parse(tf.constant(serialized), numeric_features(spec))
    model = build_model(family, config, tokenizer, seed=0)
    rng = np.random.default_rng(0)
    for weight in model.trainable_variables:
        weight.assign(weight + rng.normal(scale=0.3, size=weight.shape))
    signatures = objective.signatures(model, tokenizer)
    arrays = {feature: np.asarray(value) for feature, value in batch.items()}
    return LittleModel(family, config, tokenizer, objective, model, signatures, examples, arrays)


def build_model(family: Family, config: Any, tokenizer: Any, *, seed: int) -> Any:
    """A model with fresh weights."""
    keras.utils.set_random_seed(seed)
    objective = family.build_objective(config.objective, tokenizer)
    return objective.build_model(family.build_backbone(config.backbone, tokenizer))


def make_examples(little: ModuleType, objective: Objective, tokenizer: Any) -> list[Example]:
    """Examples of six texts, as ExampleBuilder makes them."""
    documents = []
    for number in range(6):
        pieces = objective.split(little.text(number), "en")
        ids = [row.numpy() for row in tokenizer.tokenize(tf.constant(pieces))]
        documents.append(TokenizedDocument.of(f"{number}", "paper", "en", ids))
    made = objective.make_examples(documents, np.random.default_rng(0), collections.Counter())
    return [example for examples in made for example in unstack(examples)]


def counted(objective: Objective, examples: Sequence[Example]) -> dict[str, Counts]:
    """What an objective's baselines count in examples."""
    keys = objective.count({name: np.stack([e[name] for e in examples]) for name in examples[0]})
    return {name: Counts(*np.unique(k, return_counts=True)) for name, k in keys.items()}


def inputs(little: LittleModel) -> Batch:
    """The features that the backbone reads, `[batch, time, …]`."""
    return {name: little.batch[name] for name in little.model.backbone.input}


def with_junk(little: LittleModel) -> Batch:
    """The backbone's inputs; at padding, all but the mask has the values of the first position."""
    junk = {name: value.copy() for name, value in inputs(little).items()}
    rows, columns = np.nonzero(junk["padding_mask"] == 0)
    for name in junk.keys() - {"padding_mask"}:
        junk[name][rows, columns] = junk[name][rows, 0]
    return junk
