"""GPT's settings: sizes, objective, tokenizer. Imports no TensorFlow."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import NonNegativeFloat, PositiveFloat

from models.family import FamilyConfig
from models.gpt.metrics import metrics
from models.metric import Metric
from models.settings import Affects, NonNegativeInt, PositiveInt, Rate, Settings
from models.tokenizers.config import ByteBpeConfig
from models.training.config import TrainingConfig
from models.transformer_config import Activation, check_heads


@dataclasses.dataclass(frozen=True)
class GptBackboneConfig(Settings, place="model.backbone", affects=Affects.WEIGHTS):
    """Sizes of the decoder (Radford et al., 2019, section 2.3)."""

    num_layers: PositiveInt = 12
    hidden_size: PositiveInt = 768
    """The feed-forward layers are four times as wide."""
    num_heads: PositiveInt = 12
    dropout: Rate = 0.0
    """0 for pretraining, as in nanoGPT; GPT-2 had 0.1."""
    initializer_range: PositiveFloat = 0.02
    """Standard deviation of the initial kernels and embeddings. The kernels whose outputs are added
    to the residual stream are divided by sqrt(2 · num_layers)."""
    max_length: PositiveInt = 1024
    """Positions that have an embedding, in tokens."""
    activation: Activation = "gelu_tanh"
    """GELU of the feed-forward layers: "gelu_tanh", the approximation by tanh, as in GPT-2, or
    "gelu", by the error function, as in nanoGPT."""
    layer_norm_epsilon: PositiveFloat = 1e-5
    vocabulary_rows: NonNegativeInt = 0
    """Rows of the token embedding; 0 for one per entry of the tokenizer. nanoGPT has 50,304 rows
    for 50,257 entries, as matrices whose sides are multiples of 64 are faster. Rows beyond the
    entries are never predicted."""

    def check(self) -> None:
        """Refuses a hidden size that the heads cannot share equally."""
        check_heads(self, self.hidden_size, self.num_heads)


SIZES: Mapping[str, GptBackboneConfig] = {
    "tiny": GptBackboneConfig(2, 128, 4, max_length=128),
    "mini": GptBackboneConfig(6, 384, 6, max_length=256),
    "small": GptBackboneConfig(12, 768, 12),
    "medium": GptBackboneConfig(24, 1024, 16),
    "large": GptBackboneConfig(36, 1280, 20),
    "xl": GptBackboneConfig(48, 1600, 25),
}
"""GPT-2's sizes from "small" (124 million parameters) to "xl" (1.5 billion), nanoGPT's for a small
corpus ("mini"), and "tiny" for tests."""


@dataclasses.dataclass(frozen=True)
class GptObjectiveConfig(Settings, place="model.objective", affects=Affects.EXAMPLES):
    """The next token, over documents packed into full windows."""

    sequence_length: PositiveInt = 1024
    """Tokens of a window, which is also the stride of the evaluation."""
    separate_documents: bool = False
    """Whether a document attends only to itself, with positions that start again at 0."""
    bigram_pairs: Annotated[PositiveInt, Affects.WEIGHTS] = 262_144
    """Token pairs, the most frequent ones, that the bigram baseline keeps; 12 bytes each."""
    max_loss_over_bigram: Annotated[PositiveFloat | None, Affects.JUDGEMENT] = 1.0
    """Blessing requires evidence for a loss of at most this many times the bigram baseline's on the
    same text. None does not compare."""
    max_loss_over_unigram: Annotated[PositiveFloat | None, Affects.JUDGEMENT] = 1.0
    """Blessing requires evidence for a loss of at most this many times the unigram baseline's on
    the same text. None does not compare."""
    max_regression: Annotated[NonNegativeFloat | None, Affects.JUDGEMENT] = 0.05
    """Blessing requires evidence that the loss (nats per token) is at most this much above the last
    blessed model's on the same text. None does not compare."""

    def metrics(self) -> Sequence[Metric]:
        """See `models.gpt.metrics`."""
        return metrics(self)


@dataclasses.dataclass(frozen=True)
class GptConfig(FamilyConfig, place="model", affects=Affects.EXAMPLES):
    """All settings of a GPT, without those of data and training."""

    family: Literal["gpt"] = "gpt"
    backbone: GptBackboneConfig = dataclasses.field(default_factory=lambda: SIZES["small"])
    objective: GptObjectiveConfig = dataclasses.field(default_factory=GptObjectiveConfig)
    tokenizer: ByteBpeConfig = dataclasses.field(default_factory=ByteBpeConfig)

    def check(self) -> None:
        """Refuses windows that are longer than the decoder has positions."""
        if self.objective.sequence_length > self.backbone.max_length:
            raise self.objective.refused(
                "sequence_length",
                f"windows of {self.objective.sequence_length} tokens do not fit a decoder with "
                f"{self.backbone.max_length} positions",
                "shorten the windows, or raise model.backbone.max_length",
            )

    def check_training(self, training: TrainingConfig) -> None:
        """Refuses length buckets: all windows are full.

        Raises:
            ConfigError: training asks for several lengths.
        """
        training.check_one_length()
