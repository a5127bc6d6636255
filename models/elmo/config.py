"""ELMo's settings: sizes, objective, tokenizer. Imports no TensorFlow."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import pydantic
from pydantic import NonNegativeFloat, PositiveFloat

from models.elmo.metrics import metrics
from models.family import FamilyConfig
from models.metric import Metric
from models.settings import Affects, NonNegativeInt, PositiveInt, Rate, Settings
from models.tokenizers.config import WORD_LENGTH, CharacterConfig
from models.training.config import TrainingConfig

_FilterWidth = Annotated[int, pydantic.Field(ge=1, le=WORD_LENGTH)]
_PUBLISHED_FILTERS = ((1, 32), (2, 32), (3, 64), (4, 128), (5, 256), (6, 512), (7, 1024))


@dataclasses.dataclass(frozen=True)
class ElmoBackboneConfig(Settings, place="model.backbone", affects=Affects.WEIGHTS):
    """Sizes of the encoder (Peters et al., 2018, section 3.4, and bilm-tf's options)."""

    character_embedding_size: PositiveInt = 16
    """Width of a character's embedding."""
    filters: tuple[tuple[_FilterWidth, PositiveInt], ...] = _PUBLISHED_FILTERS
    """Convolutions over the characters of a word: pairs of width, in characters, and count."""
    num_highways: NonNegativeInt = 2
    """Highway layers between the convolutions and the projection."""
    num_layers: PositiveInt = 2
    """LSTM layers of each direction."""
    units: PositiveInt = 4096
    """Width of an LSTM's cells."""
    projection_size: PositiveInt = 512
    """Width that words and LSTM outputs are projected to; hidden states are twice as wide."""
    dropout: Rate = 0.1
    """Share of the inputs of each LSTM layer, and of the last layer's outputs, that is set to 0."""
    cell_clip: PositiveFloat = 3.0
    """Largest absolute value of a cell."""
    projection_clip: PositiveFloat = 3.0
    """Largest absolute value of a projected output."""
    skip_connections: bool = True
    """Whether each LSTM layer but the first adds its inputs to its outputs."""

    def check(self) -> None:
        """Refuses an encoder without convolutions."""
        if not self.filters:
            raise self.refused(
                "filters", "without convolutions a word has no vector", "give at least one pair"
            )


SIZES: Mapping[str, ElmoBackboneConfig] = {
    "tiny": ElmoBackboneConfig(
        filters=((1, 32), (2, 32), (3, 64), (4, 128)), num_highways=1, units=256, projection_size=64
    ),
    "small": ElmoBackboneConfig(num_highways=1, units=1024, projection_size=128),
    "medium": ElmoBackboneConfig(num_highways=1, units=2048, projection_size=256),
    "original": ElmoBackboneConfig(),
}
"""AllenNLP's published sizes of 13.6, 28.0 and 93.6 million parameters, and "tiny", which trains in
minutes."""


@dataclasses.dataclass(frozen=True)
class ElmoObjectiveConfig(Settings, place="model.objective", affects=Affects.EXAMPLES):
    """The next and the previous word, with bilm-tf's defaults."""

    unroll_steps: PositiveInt = 20
    """Words of a window, through which gradients flow; also the stride of the evaluation."""
    num_streams: PositiveInt = 128
    """Streams that a group's text is divided into; each window continues its stream's previous
    window. training.batch_size has to divide it, so that a batch has no two windows of a stream."""
    num_sampled: Annotated[NonNegativeInt, Affects.WEIGHTS] = 8_192
    """Words that the sampled softmax of training draws. 0, or the size of the vocabulary: all words
    are used, without sampling. Evaluation always uses all words."""
    bigram_pairs: Annotated[PositiveInt, Affects.WEIGHTS] = 262_144
    """Word pairs, the most frequent ones, that the bigram baseline of each direction keeps; 12
    bytes each."""
    max_loss_over_bigram: Annotated[PositiveFloat | None, Affects.JUDGEMENT] = 1.0
    """Blessing requires evidence for a loss of at most this many times the bigram baseline's on the
    same text. None does not compare."""
    max_loss_over_unigram: Annotated[PositiveFloat | None, Affects.JUDGEMENT] = 1.0
    """Blessing requires evidence for a loss of at most this many times the unigram baseline's on
    the same text. None does not compare."""
    max_regression: Annotated[NonNegativeFloat | None, Affects.JUDGEMENT] = 0.05
    """Blessing requires evidence that the loss (nats per word) is at most this much above the last
    blessed model's on the same text. None does not compare."""

    def metrics(self) -> Sequence[Metric]:
        """See `models.elmo.metrics`."""
        return metrics(self)


@dataclasses.dataclass(frozen=True)
class ElmoConfig(FamilyConfig, place="model", affects=Affects.EXAMPLES):
    """All settings of an ELMo, without those of data and training."""

    family: Literal["elmo"] = "elmo"
    backbone: ElmoBackboneConfig = dataclasses.field(default_factory=ElmoBackboneConfig)
    objective: ElmoObjectiveConfig = dataclasses.field(default_factory=ElmoObjectiveConfig)
    tokenizer: CharacterConfig = dataclasses.field(default_factory=CharacterConfig)

    def check_training(self, training: TrainingConfig) -> None:
        """Refuses length buckets, as all windows have one length, and batches that mix streams.

        Raises:
            ConfigError: a batch would hold two windows of one stream, or training asks for several
                lengths.
        """
        training.check_one_length()
        if self.objective.num_streams % training.batch_size:
            raise training.refused(
                "batch_size",
                f"a batch of {training.batch_size} does not divide the "
                f"{self.objective.num_streams} streams, so it would hold two windows of a stream",
                "make it model.objective.num_streams, or make the streams a multiple of it",
            )
