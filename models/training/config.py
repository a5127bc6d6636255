"""Configuration of training and its devices; imports no TensorFlow, so commands start fast."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pydantic
from pydantic import NonNegativeFloat, PositiveFloat

from models.errors import ConfigError
from models.settings import Affects, NonNegativeInt, PositiveInt, Rate, Settings
from models.training.warm_start_config import WarmStartConfig

PROFILE = "POLYSEME_PROFILE"
"""The environment variable that turns on a profile of training. It is no setting, because neither
the result nor its cache key may depend on it."""


_ADAM_DEFAULTS: Mapping[str, Any] = {
    "weight_decay": 0.01,
    "exclude_from_weight_decay": ("bias", "gamma", "beta"),
    "beta_1": 0.9,
    "beta_2": 0.999,
    "epsilon": 1e-6,
}
_KIND_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "adamw": _ADAM_DEFAULTS,
    "lamb": _ADAM_DEFAULTS,
    "adagrad": {"initial_accumulator_value": 1.0},
}
"""For each kind of optimizer, the settings that not all kinds have, with their defaults."""
_MAX_DEFAULT_WARMUP_STEPS = 10_000
STARTS = ("auto", "last_blessed", "scratch")
"""What training can start from, besides a version; see `TrainingConfig.start`."""


@dataclasses.dataclass(frozen=True)
class OptimizerConfig(Settings, place="training.optimizer", affects=Affects.WEIGHTS):
    """The optimizer; by default google-research/bert's AdamW. See models/training/optimizer.py.

    A setting that only some kinds have is None by default, which means the default of that kind.
    Setting it for a kind that does not have it is an error.
    """

    kind: Literal["adamw", "lamb", "adagrad"] = "adamw"
    """The published optimizers: "adamw" of BERT and GPT, "lamb" of BERT with large batches, and
    "adagrad" of ELMo."""
    learning_rate: NonNegativeFloat = 1e-4
    """Peak learning rate, after warmup."""
    warmup_steps: NonNegativeInt | None = None
    """Steps over which the rate grows linearly from 0 to its peak; fewer than `training.steps`.
    None: a tenth of `training.steps`, at most 10,000."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """How the rate changes from its peak to `final_learning_rate`."""
    final_learning_rate: NonNegativeFloat = 0.0
    """The rate at the last step. It has no effect on a constant schedule, where setting it is an
    error."""
    weight_decay: NonNegativeFloat | None = None
    """Decoupled weight decay of AdamW and LAMB. None: 0.01."""
    exclude_from_weight_decay: tuple[str, ...] | None = None
    """Regular expressions. A variable whose name matches one does not decay, and LAMB updates it
    without a trust ratio. None: bias, gamma and beta, which are the biases and LayerNorm's scale
    and shift."""
    layerwise_lr_decay: Annotated[float, pydantic.Field(gt=0, le=1)] = 1.0
    """Learning rate of a layer, as a factor of the rate of the layer above it, for fine-tuning
    (Howard and Ruder, 2018; Clark et al., 2020). The heads have the full rate, the token layer the
    lowest. 1: all layers have the full rate."""
    beta_1: Rate | None = None
    """Decay of the first moment, the mean of gradients, of AdamW and LAMB. None: 0.9."""
    beta_2: Rate | None = None
    """Decay of the second moment, the mean of squared gradients. None: 0.999."""
    epsilon: PositiveFloat | None = None
    """Added to the square root of the second moment in AdamW and LAMB. None: 1e-6."""
    clip_norm: NonNegativeFloat = 1.0
    """Global gradient norm above which gradients are scaled down to it; 0: never."""
    bias_correction: bool = False
    """Whether AdamW and LAMB correct the bias of their moments; google-research/bert does not."""
    initial_accumulator_value: PositiveFloat | None = None
    """Initial value of Adagrad's sums of squared gradients. None: 1."""

    def check(self) -> None:
        """Rejects settings that have no effect with this kind of optimizer or schedule."""
        self._check_kind()
        if self.final_learning_rate > self.learning_rate:
            raise self.refused(
                "final_learning_rate",
                f"{self.final_learning_rate} is above the peak rate, {self.learning_rate}",
                f"set it to {self.learning_rate} or less",
            )
        if self.final_learning_rate and self.schedule == "constant":
            raise self._no_effect("final_learning_rate", "schedule=constant", "schedule=linear")

    def _check_kind(self) -> None:
        for kind, fields in _KIND_DEFAULTS.items():
            for field in fields:
                if field not in _KIND_DEFAULTS[self.kind] and getattr(self, field) is not None:
                    raise self._no_effect(field, f"the optimizer {self.kind}", f"kind={kind}")
        if self.bias_correction and self.kind == "adagrad":
            raise self._no_effect("bias_correction", "the optimizer adagrad", "kind=adamw")
        excluded = self.exclude_from_weight_decay is not None
        if excluded and self.weight_decay == 0 and self.kind == "adamw":
            raise self._no_effect(
                "exclude_from_weight_decay", "weight_decay=0", "weight_decay above 0"
            )

    def _no_effect(self, field: str, cause: str, alternative: str) -> ConfigError:
        """The error for a field that has no effect.

        Args:
            field: its name.
            cause: the setting because of which it has none.
            alternative: a setting with which it has an effect, without `place`.
        """
        return self.refused(
            field,
            f"{getattr(self, field)!r} has no effect with {cause}",
            f"leave it out, or set {self.place}.{alternative}",
        )

    def resolved(self, steps: int) -> OptimizerConfig:
        """The configuration for a training of `steps` steps, with the defaults instead of None."""
        defaults: dict[str, Any] = {
            **_KIND_DEFAULTS[self.kind],
            "warmup_steps": min(steps // 10, _MAX_DEFAULT_WARMUP_STEPS),
        }
        if self.kind == "adamw" and self.weight_decay == 0:
            del defaults["exclude_from_weight_decay"]
        missing = {name: value for name, value in defaults.items() if getattr(self, name) is None}
        return dataclasses.replace(self, **missing)


@dataclasses.dataclass(frozen=True)
class DevicesConfig(Settings, place="devices", affects=Affects.NOTHING):
    """The devices that training runs on; see models/training/devices.py.

    They change the weights only by rounding and by random draws: every replica draws its own
    dropout, and its own samples for ELMo's softmax.
    """

    strategy: Literal["one", "mirrored", "multi_worker", "tpu"] = "one"
    """"one": one device; "mirrored": several devices of one machine; "multi_worker": several
    processes, on one machine or on several; "tpu": a TPU."""
    devices: tuple[str, ...] = ()
    """For "mirrored": names of devices, such as GPU:0. Empty: all GPUs."""
    processes: Annotated[int, pydantic.Field(ge=0, le=1_024)] = 0
    """For "multi_worker": number of processes to start on this machine. 0: this process alone; the
    environment variable TF_CONFIG names the processes on other machines."""
    tpu: str = ""
    """For "tpu": its name or address; "local" on a TPU VM."""
    steps_per_execution: PositiveInt = 1
    """Steps that run without returning to Python."""
    deterministic: bool = True
    """Whether TensorFlow may use only operations that give the same bits every time. If False, some
    operations are faster on a GPU, and a resumed run differs in rounding from one that was not
    interrupted. An operation that has no deterministic form raises an error that names it."""
    rematerialize: bool = False
    """Whether to recompute the inner values of layers for the gradient (gradient checkpointing)
    instead of keeping them: less memory, more time. docs/sizing.md has measurements."""

    def check(self) -> None:
        """Rejects settings of another strategy, a TPU without a name, and repeated devices."""
        for field, strategy in (
            ("devices", "mirrored"),
            ("processes", "multi_worker"),
            ("tpu", "tpu"),
        ):
            if self.strategy != strategy and self.changed(field):
                raise self.refused(
                    field,
                    f"{getattr(self, field)!r} has no effect with the strategy {self.strategy!r}",
                    f"set devices.strategy={strategy}, or leave {self.place}.{field} out",
                )
        if self.strategy == "tpu" and not self.tpu:
            raise self.refused(
                "tpu",
                'the strategy "tpu" needs the name of a TPU',
                'on a TPU VM set it to "local", else to the name or address of the TPU',
            )
        if len(set(self.devices)) < len(self.devices):
            raise self.refused(
                "devices",
                f"a device is repeated in {', '.join(self.devices)}",
                "name each device once",
            )

    def check_training(self, training: TrainingConfig) -> None:
        """Checks that the configured devices can share a batch equally.

        Raises:
            ConfigError: `batch_size` or `gradient_accumulation_steps` does not allow it.
        """
        replicas = len(self.devices) or self.processes or 1
        micro_batch_size(training.batch_size, training.gradient_accumulation_steps, replicas)


@dataclasses.dataclass(frozen=True)
class TrainingConfig(Settings, place="training", affects=Affects.WEIGHTS):
    """Settings of the training loop; see models/training/loop.py."""

    steps: PositiveInt = 1_000
    """Optimizer steps."""
    batch_size: PositiveInt = 32
    """Examples per optimizer step, over all devices and micro-batches."""
    gradient_accumulation_steps: PositiveInt = 1
    """Micro-batches that a batch is computed in, one after the other; must divide batch_size."""
    seed: Annotated[int, pydantic.Field(ge=0, lt=2**32)] = 0
    """Seed of the initial weights, the dropout and the data order."""
    seeds: Annotated[int, pydantic.Field(ge=1, le=1_000)] = 1
    """Number of trainings with consecutive seeds, from `seed` on. The model with the lowest loss on
    the split "eval" is exported; the mean and standard deviation over all seeds are reported."""
    window: Annotated[NonNegativeInt, Affects.NOTHING] = 1
    """Number of newest spans to train on, the current span included; 0: all. The text of older
    spans is an input of the examples and so is in their cache key."""
    replay_share: Annotated[
        Annotated[float, pydantic.Field(gt=0, lt=1)] | None, Affects.EXAMPLES
    ] = None
    """Share of the text, in characters, that comes from the older spans of `window`. Documents are
    drawn by a hash of span and id. None: all documents of these spans."""
    jit_compile: Literal["auto", True, False] = "auto"
    """Whether XLA compiles the step; "auto": where measurements showed that it is faster. See
    models/training/platform.py."""
    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    """Type of activations and gradients; weights are always float32."""
    length_buckets: PositiveInt = 1
    """Number of evenly spaced lengths to cut batches to, which saves padding. A batch gets examples
    of similar length and is cut to the bucket of the longest. With 4 buckets, examples of 128
    tokens come in batches of length 32, 64, 96 and 128. XLA compiles a step for each length."""
    checkpoint_seconds: Annotated[NonNegativeFloat, Affects.NOTHING] = 60.0
    """Minimum time between two checkpoints."""
    keep_checkpoints: Annotated[PositiveInt, Affects.NOTHING] = 2
    """Complete checkpoints to keep while the next one is being written."""
    log_steps: Annotated[PositiveInt, Affects.NOTHING] = 20
    """Steps between two records of the metrics."""
    max_loss_rise: Annotated[NonNegativeFloat, Affects.JUDGEMENT] = 10.0
    """Training stops as diverged when the mean loss of ten steps is this far above the loss of the
    first step, in nats; 0: only when the loss is not finite."""
    eval_steps: NonNegativeInt = 0
    """Steps between two evaluations on the split "eval"; 0: no evaluations. With evaluations, the
    weights of the lowest held-out loss are exported, not the last ones."""
    eval_batches: PositiveInt = 50
    """Maximum batches of an evaluation."""
    patience: NonNegativeInt = 0
    """Evaluations in a row without a lower loss after which training stops early; 0: never."""
    shuffle_buffer: PositiveInt = 20_000
    """Examples that are shuffled together. The same number again is read ahead."""
    start: Annotated[str, Affects.NOTHING] = "auto"
    """The model whose weights training starts from. "auto": the newest blessed model that was not
    trained on this span; "last_blessed": the newest blessed model, whatever it was trained on;
    "scratch": fresh weights; or a pushed version. The base model is an input of the training and so
    is in its cache key."""
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    warm_start: WarmStartConfig = dataclasses.field(default_factory=WarmStartConfig)

    def check(self) -> None:
        """Rejects a batch that cannot be divided, and settings that have no effect."""
        micro_batch_size(self.batch_size, self.gradient_accumulation_steps, replicas=1)
        self._check_start()
        if self.replay_share is not None and self.window == 1:
            raise self.refused(
                "replay_share",
                f"{self.replay_share} has no effect: a window of one span has no older text",
                "set training.window to more spans, or to 0 for all",
            )
        warmup = self.optimizer.warmup_steps
        if warmup is not None and warmup >= self.steps:
            raise self.refused(
                "optimizer.warmup_steps",
                f"after {warmup} steps of warmup none of the {self.steps} steps is left",
                "lower it, or leave it out for a tenth of training.steps",
            )
        self._check_patience()

    def _check_start(self) -> None:
        if not (self.start in STARTS or self.start.isdecimal()):
            raise self.refused(
                "start",
                f"{self.start!r} is neither {', '.join(STARTS)} nor a version",
                "set it to one of them; python -m pipeline lineage lists the versions",
            )
        if self.start == "scratch" and self.changed("warm_start"):
            raise self.refused(
                "warm_start",
                "it has no effect on a training that starts from scratch",
                "leave it out, or leave out training.start=scratch",
            )

    def _check_patience(self) -> None:
        if self.patience and not self.eval_steps:
            raise self.refused(
                "patience",
                "it counts evaluations, and there are none",
                "set training.eval_steps",
            )
        earliest_stop = (self.patience + 1) * self.eval_steps
        if self.patience and earliest_stop >= self.steps:
            raise self.refused(
                "patience",
                f"it has no effect: training could not stop before step {earliest_stop}, and ends "
                f"at step {self.steps}",
                "lower it or training.eval_steps, or set it to 0",
            )

    def check_one_length(self) -> None:
        """Checks the training of a family whose examples all have the same length.

        Raises:
            ConfigError: there is more than one length bucket.
        """
        if self.length_buckets > 1:
            raise self.refused(
                "length_buckets",
                "all examples of this model have the same length",
                "set it to 1",
            )


def micro_batch_size(batch_size: int, gradient_accumulation_steps: int, replicas: int) -> int:
    """Rows of a batch that each replica computes at once.

    Args:
        batch_size: rows of the batch.
        gradient_accumulation_steps: micro-batches that are computed one after the other, with one
            update at the end.
        replicas: devices that each compute a share of a micro-batch.

    Raises:
        ConfigError: the batch cannot be divided equally.
    """
    divisor = replicas * gradient_accumulation_steps
    rows, remainder = divmod(batch_size, divisor)
    if remainder:
        accumulates = gradient_accumulation_steps > 1
        field = "gradient_accumulation_steps" if accumulates else "batch_size"
        parts = f"{gradient_accumulation_steps} micro-batches" if accumulates else "equal parts"
        on = f" on each of {replicas} devices" if replicas > 1 else ""
        raise ConfigError(
            f"a batch of {batch_size} cannot be divided into {parts}{on}",
            where=f"training.{field}",
            remedy=f"make training.batch_size a multiple of {divisor}",
        )
    return rows
