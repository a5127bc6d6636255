"""Configuration of training, free of TensorFlow so that a command line can validate it at once."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Iterable
from typing import Any, Literal, TypeVar

from models.errors import ConfigError

T = TypeVar("T")

PROFILE = "POLYSEME_PROFILE"
"""The environment variable that asks for a trace of training; no configuration does, as what is
trained, and what it is kept under, must not depend on it."""


def from_json(kind: type[T], text: str | bytes) -> T:
    """The dataclass `kind` of a JSON object, nested dataclasses included, types checked.

    Raises:
        ConfigError: naming the field, its value and what was expected.
    """
    import pydantic  # 0.1 s that only readers of a configuration pay

    try:
        return pydantic.TypeAdapter(kind).validate_json(text, strict=True, extra="forbid")
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(
            f"{first['msg']}, got {first['input']!r:.80}",
            where=".".join([kind.__name__, *map(str, first["loc"])]),
        ) from error


def _check(config: Any, *, positive: Iterable[str], not_negative: Iterable[str]) -> None:
    """Checks numbers of a configuration, by their fields' names.

    Raises:
        ConfigError: naming the first field that is out of its bounds.
    """
    bounds = (positive, operator.gt, "above 0"), (not_negative, operator.ge, "0 or more")
    for names, holds, bound in bounds:
        for name in names:
            value = getattr(config, name)
            if not holds(value, 0):  # nor does it of NaN
                raise ConfigError(
                    f"it should be {bound}, got {value!r}", where=f"{type(config).__name__}.{name}"
                )


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """By default AdamW as google-research/bert has it; see models/optimizer.py."""

    kind: Literal["adamw", "lamb", "adagrad"] = "adamw"
    """What BERT and GPT, BERT in large batches, and ELMo were published with."""
    learning_rate: float = 1e-4
    """Peak learning rate, after warmup."""
    warmup_steps: int = 10_000
    """Steps over which the rate grows linearly from 0 to its peak."""
    decay: Literal["linear", "cosine", "constant"] = "linear"
    """How the rate goes from its peak to `final_learning_rate`, if it does."""
    final_learning_rate: float = 0.0
    """The rate at the last step."""
    weight_decay: float = 0.01
    """Decoupled weight decay."""
    not_decayed: tuple[str, ...] = ("bias", "gamma", "beta")
    """Variables that do not decay, and for which LAMB is Adam: those whose names hold one of these
    regular expressions. By default biases and LayerNorm's two."""
    layer_decay: float = 1.0
    """Rate of a layer as a share of the one above it, as fine-tuning has it (Howard and Ruder,
    2018; Clark et al., 2020); the heads have the whole rate, the token layer the least. 1: all
    alike."""
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-6
    clip_norm: float = 1.0
    """Global gradient norm above which gradients are scaled down; 0: they never are."""
    bias_correction: bool = False
    """google-research/bert leaves Adam's bias correction out."""
    initial_accumulator: float = 1.0
    """What Adagrad's sums of squared gradients start from."""

    def __post_init__(self) -> None:
        # Adam with a variable, or Adagrad with a row, that has no gradient yet divides by the two.
        _check(
            self,
            positive=("epsilon", "initial_accumulator", "layer_decay"),
            not_negative=(
                "learning_rate",
                "warmup_steps",
                "final_learning_rate",
                "weight_decay",
                "beta_1",
                "beta_2",
                "clip_norm",
            ),
        )


@dataclasses.dataclass(frozen=True)
class DevicesConfig:
    """Where training computes; see models/devices.py.

    It changes no more than rounding, and the draws of dropout and of ELMo's sampled softmax, which
    each replica has its own of.
    """

    strategy: Literal["one", "mirrored", "multi_worker", "tpu"] = "one"
    """One device; several of one machine; several processes, of one machine or of many; a TPU."""
    devices: tuple[str, ...] = ()
    """Of "mirrored": names, as GPU:0. None: all GPUs."""
    processes: int = 0
    """Of "multi_worker": processes that are started on this machine; 0: one, and TF_CONFIG tells of
    the others."""
    tpu: str = ""
    """Of "tpu": its name or address; "local" on a TPU VM."""
    steps_per_call: int = 1
    """Steps that are run without coming back to Python."""
    readers: int = 4
    """Files of examples that are read at a time; the order of examples does not depend on it."""

    def __post_init__(self) -> None:
        _check(self, positive=("steps_per_call", "readers"), not_negative=("processes",))


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """The training loop's own settings; see models/training.py."""

    steps: int = 1_000
    """Optimizer steps."""
    batch_size: int = 32
    """Examples per optimizer step, over all devices and accumulated parts."""
    accumulation: int = 1
    """Parts that a batch is computed in; must divide batch_size."""
    seed: int = 0
    """Seeds the initial weights, the dropout and the data order."""
    jit_compile: bool = True
    """Compile the step with XLA."""
    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    """What is computed in; weights are float32 always."""
    length_buckets: int = 1
    """Evenly spaced lengths that batches are cut to, so that little of them is padding: a batch has
    examples of about the same length, as long as the longest of them needs. With 4, examples of 128
    tokens come in batches of 32, 64, 96 and 128. XLA compiles a step for each."""
    checkpoint_seconds: float = 60.0
    """Least time between two checkpoints."""
    keep_checkpoints: int = 2
    log_steps: int = 20
    """Steps between two records in TensorBoard and between two looks at the loss."""
    max_loss_rise: float = 10.0
    """How far above the first step's loss, in nats, the mean of ten steps may be before training is
    taken to diverge and stops; 0: as far as numbers go."""
    held_out_steps: int = 0
    """Steps between two looks at the loss on the held-out examples; 0: none. With them the weights
    of the best look are exported, not the last ones."""
    held_out_batches: int = 50
    """Batches of each such look, at most."""
    patience: int = 0
    """Looks in a row without a better loss, after which training ends early; 0: it never does."""
    shuffle_buffer: int = 20_000
    """Examples held in memory to draw the order from."""
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)

    def __post_init__(self) -> None:
        _check(
            self,
            positive=(
                "steps",
                "batch_size",
                "accumulation",
                "length_buckets",
                "keep_checkpoints",
                "log_steps",
                "held_out_batches",
                "shuffle_buffer",
            ),
            not_negative=("checkpoint_seconds", "max_loss_rise", "held_out_steps", "patience"),
        )
