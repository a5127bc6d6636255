"""The little models by family, for tests that hold every family to the same."""

import collections
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from models.counts import Counts
from models.examples import unstack
from models.objective import Example, Family, Objective, TokenizedDocument
from tests.testdata import little_bert, little_elmo, little_gpt

LITTLE: dict[str, ModuleType] = {"elmo": little_elmo, "bert": little_bert, "gpt": little_gpt}
"""By family: CONFIG, so small that a test is fast; tokenizer(); text(number)."""


def build_model(family: Family, config: Any, tokenizer: Any, *, seed: int) -> Any:
    """A model with fresh weights."""
    keras.utils.set_random_seed(seed)
    objective = family.build_objective(config.objective, tokenizer)
    return objective.build_model(family.build_backbone(config.backbone, tokenizer))


def make_examples(little: ModuleType, objective: Objective, tokenizer: Any) -> list[Example]:
    """As ExampleBuilder does, out of six texts."""
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
