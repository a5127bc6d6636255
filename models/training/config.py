"""Configuration of training, free of TensorFlow so that a command line can validate it at once."""

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
"""The environment variable that asks for a trace of training; no configuration does, as what is
trained, and what it is kept under, must not depend on it."""


_ADAMS: Mapping[str, Any] = {
    "weight_decay": 0.01,
    "exclude_from_weight_decay": ("bias", "gamma", "beta"),
    "beta_1": 0.9,
    "beta_2": 0.999,
    "epsilon": 1e-6,
}
_OWN: Mapping[str, Mapping[str, Any]] = {
    "adamw": _ADAMS,
    "lamb": _ADAMS,
    "adagrad": {"initial_accumulator_value": 1.0},
}
"""For each kind of optimizer the settings that not all kinds have, with their default values."""
_LONGEST_WARMUP = 10_000
STARTS = ("auto", "last_blessed", "scratch")
"""What training can start from, apart from a version; see `TrainingConfig.start`."""


@dataclasses.dataclass(frozen=True)
class OptimizerConfig(Settings, place="training.optimizer", affects=Affects.WEIGHTS):
    """By default AdamW as google-research/bert has it; see models/training/optimizer.py.

    A setting that only some kinds have is None by default, which means that kind's own default. It
    is an error to set it for a kind that does not have it.
    """

    kind: Literal["adamw", "lamb", "adagrad"] = "adamw"
    """What BERT and GPT, BERT in large batches, and ELMo were published with."""
    learning_rate: NonNegativeFloat = 1e-4
    """Peak learning rate, after warmup."""
    warmup_steps: NonNegativeInt | None = None
    """Steps over which the rate grows linearly from 0 to its peak, fewer than `training.steps`.
    None: a tenth of these, 10,000 at most."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """How the rate goes from its peak to `final_learning_rate`, if it does."""
    final_learning_rate: NonNegativeFloat = 0.0
    """The rate at the last step. Not to be set with a constant rate."""
    weight_decay: NonNegativeFloat | None = None
    """Decoupled weight decay of AdamW and LAMB. None: 0.01."""
    exclude_from_weight_decay: tuple[str, ...] | None = None
    """Variables that do not decay, and for which LAMB is Adam: those whose names hold one of these
    regular expressions. None: bias, gamma and beta, which are biases and LayerNorm's two."""
    layerwise_lr_decay: Annotated[float, pydantic.Field(gt=0, le=1)] = 1.0
    """Rate of a layer as a share of the one above it, as fine-tuning has it (Howard and Ruder,
    2018; Clark et al., 2020); the heads have the whole rate, the token layer the least. 1: all
    alike."""
    beta_1: Rate | None = None
    """Decay of the mean of gradients of AdamW and LAMB. None: 0.9."""
    beta_2: Rate | None = None
    """Decay of the mean of their squares. None: 0.999."""
    epsilon: PositiveFloat | None = None
    """What AdamW and LAMB add to the root of that mean. None: 1e-6."""
    clip_norm: NonNegativeFloat = 1.0
    """Global gradient norm above which gradients are scaled down; 0: they never are."""
    bias_correction: bool = False
    """Whether AdamW and LAMB correct their means; google-research/bert does not."""
    initial_accumulator_value: PositiveFloat | None = None
    """What Adagrad's sums of squared gradients start from. None: 1."""

    def check(self) -> None:
        """Refuses what this kind of optimizer, or of schedule, does not look at."""
        own = _OWN[self.kind]
        for kind, fields in _OWN.items():
            for field in fields:
                if field not in own and getattr(self, field) is not None:
                    raise self._idle(field, f"the optimizer {self.kind}", f"kind={kind}")
        if self.bias_correction and self.kind == "adagrad":
            raise self._idle("bias_correction", "the optimizer adagrad", "kind=adamw")
        if (
            self.exclude_from_weight_decay is not None
            and self.weight_decay == 0
            and self.kind == "adamw"
        ):
            raise self._idle("exclude_from_weight_decay", "weight_decay=0", "weight_decay above 0")
        if self.final_learning_rate > self.learning_rate:
            raise self.refused(
                "final_learning_rate",
                f"{self.final_learning_rate} is above the peak rate, {self.learning_rate}",
                f"give {self.learning_rate} or less",
            )
        if self.final_learning_rate and self.schedule == "constant":
            raise self._idle("final_learning_rate", "schedule=constant", "schedule=linear")

    def _idle(self, field: str, beside: str, wanted: str) -> ConfigError:
        """The error for a field that has no effect."""
        return self.refused(
            field,
            f"{getattr(self, field)!r} has no effect with {beside}",
            f"leave it out, or set {self.place}.{wanted}",
        )

    def resolved(self, steps: int) -> OptimizerConfig:
        """The configuration for a training of `steps` steps, with numbers instead of None."""
        own: dict[str, Any] = {
            **_OWN[self.kind],
            "warmup_steps": min(steps // 10, _LONGEST_WARMUP),
        }
        if self.kind == "adamw" and self.weight_decay == 0:
            del own["exclude_from_weight_decay"]
        missing = {name: value for name, value in own.items() if getattr(self, name) is None}
        return dataclasses.replace(self, **missing)


@dataclasses.dataclass(frozen=True)
class DevicesConfig(Settings, place="devices", affects=Affects.NOTHING):
    """Where training computes; see models/training/devices.py.

    It changes no more than rounding, and the draws of dropout and of ELMo's sampled softmax, which
    each replica has its own of.
    """

    strategy: Literal["one", "mirrored", "multi_worker", "tpu"] = "one"
    """One device; several of one machine; several processes, of one machine or of many; a TPU."""
    devices: tuple[str, ...] = ()
    """Of "mirrored": names, as GPU:0. None: all GPUs."""
    processes: Annotated[int, pydantic.Field(ge=0, le=1_024)] = 0
    """Of "multi_worker": processes that are started on this machine; 0: one, and TF_CONFIG tells of
    the others."""
    tpu: str = ""
    """Of "tpu": its name or address; "local" on a TPU VM."""
    steps_per_execution: PositiveInt = 1
    """Steps that are run without coming back to Python."""
    deterministic: bool = True
    """Whether TensorFlow may use only operations that give the same bits every time. Without it
    some are faster on a GPU, and a run that is killed and resumed differs in rounding from one that
    was not. An operation that has no deterministic form raises an error that names it."""
    rematerialize: bool = False
    """Whether the gradient computes what is inside of layers a second time, instead of keeping it:
    less memory and more time. docs/operations.md has measurements."""

    def check(self) -> None:
        """Refuses the names of devices that another strategy would look at."""
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
                "nothing tells which TPU is meant",
                'on a TPU VM give "local", else the name or address of the TPU',
            )
        if len(set(self.devices)) < len(self.devices):
            raise self.refused(
                "devices", f"{', '.join(self.devices)} has a device twice", "name each one once"
            )

    def check_training(self, training: TrainingConfig) -> None:
        """Checks that the devices that are known by now can share a batch equally.

        Raises:
            ConfigError: `batch_size` or `gradient_accumulation_steps` is not such a number.
        """
        known = len(self.devices) or self.processes or 1
        equal_rows(training.batch_size, training.gradient_accumulation_steps, known)


@dataclasses.dataclass(frozen=True)
class TrainingConfig(Settings, place="training", affects=Affects.WEIGHTS):
    """The training loop's own settings; see models/training/loop.py."""

    steps: PositiveInt = 1_000
    """Optimizer steps."""
    batch_size: PositiveInt = 32
    """Examples per optimizer step, over all devices and accumulated parts."""
    gradient_accumulation_steps: PositiveInt = 1
    """Parts that a batch is computed in; must divide batch_size."""
    seed: Annotated[int, pydantic.Field(ge=0, lt=2**32)] = 0
    """Seeds the initial weights, the dropout and the data order."""
    seeds: Annotated[int, pydantic.Field(ge=1, le=1_000)] = 1
    """Trainings with as many seeds, `seed` the first. The one with the lowest loss on the split
    "eval" is exported; the mean and standard deviation of all are shown."""
    window: Annotated[NonNegativeInt, Affects.NOTHING] = 1
    """Newest spans whose text is trained on, this one among them; 0: all. The older text is an
    input of the examples, and so is in their key."""
    replay_share: Annotated[
        Annotated[float, pydantic.Field(gt=0, lt=1)] | None, Affects.EXAMPLES
    ] = None
    """Share of the text, in characters, that is of the older spans of `window`: documents drawn by
    a hash of span and id. None: all of them."""
    jit_compile: Literal["auto", True, False] = "auto"
    """Compile the step with XLA; "auto": where that is faster, as far as it was measured. See
    models/training/platform.py."""
    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    """What is computed in; weights are float32 always."""
    length_buckets: PositiveInt = 1
    """Evenly spaced lengths that batches are cut to, so that little of them is padding: a batch has
    examples of about the same length, as long as the longest of them needs. With 4, examples of 128
    tokens come in batches of 32, 64, 96 and 128. XLA compiles a step for each."""
    checkpoint_seconds: Annotated[NonNegativeFloat, Affects.NOTHING] = 60.0
    """Least time between two checkpoints."""
    keep_checkpoints: Annotated[PositiveInt, Affects.NOTHING] = 2
    log_steps: Annotated[PositiveInt, Affects.NOTHING] = 20
    """Steps between two records in TensorBoard and between two looks at the loss."""
    max_loss_rise: Annotated[NonNegativeFloat, Affects.JUDGEMENT] = 10.0
    """How far above the first step's loss, in nats, the mean of ten steps may be before training is
    taken to diverge and stops; 0: as far as numbers go."""
    eval_steps: NonNegativeInt = 0
    """Steps between two looks at the loss on the split "eval"; 0: none. With them the weights
    of the best look are exported, not the last ones."""
    eval_batches: PositiveInt = 50
    """Batches of each such look, at most."""
    patience: NonNegativeInt = 0
    """Looks in a row without a better loss, after which training ends early; 0: it never does."""
    shuffle_buffer: PositiveInt = 20_000
    """Examples that are shuffled together. As many more are read ahead."""
    start: Annotated[str, Affects.NOTHING] = "auto"
    """The weights that training begins with. "auto": those of the newest blessed model that was not
    trained on this span; "last_blessed": those of the newest one, whatever it was trained on;
    "scratch": new ones; or a version that was pushed. The base is an input of the training, and so
    is in its key."""
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    warm_start: WarmStartConfig = dataclasses.field(default_factory=WarmStartConfig)

    def check(self) -> None:
        """Refuses parts of a batch that are not equal, and what no step comes to."""
        equal_rows(self.batch_size, self.gradient_accumulation_steps, replicas=1)
        if not (self.start in STARTS or self.start.isdecimal()):
            raise self.refused(
                "start",
                f"{self.start!r} is neither {', '.join(STARTS)} nor a version",
                "give one of them; python -m pipeline lineage names the versions",
            )
        if self.start == "scratch" and self.changed("warm_start"):
            raise self.refused(
                "warm_start",
                "it has no effect on a training that starts from no model",
                "leave it out, or training.start=scratch",
            )
        if self.replay_share is not None and self.window == 1:
            raise self.refused(
                "replay_share",
                f"{self.replay_share} has no effect: a window of one span holds no older text",
                "set training.window to more spans, or to 0 for all",
            )
        warmup = self.optimizer.warmup_steps
        if warmup is not None and warmup >= self.steps:
            raise self.refused(
                "optimizer.warmup_steps",
                f"{warmup} steps of warmup leave none of the {self.steps} for the peak rate",
                "give fewer, or leave it out, which is a tenth of training.steps",
            )
        if self.patience and not self.eval_steps:
            raise self.refused(
                "patience",
                "there are no looks at held-out examples that it could count",
                "set training.eval_steps",
            )
        if self.patience and (self.patience + 1) * self.eval_steps >= self.steps:
            raise self.refused(
                "patience",
                f"{self.steps} steps have no {self.patience} looks after the first one and before "
                "the last",
                "give less, or set it to 0",
            )

    def check_one_length(self) -> None:
        """Of a family whose examples are all of one length: there is nothing to sort by length.

        Raises:
            ConfigError: there are buckets of lengths.
        """
        if self.length_buckets > 1:
            raise self.refused(
                "length_buckets",
                "the examples of this model are all of one length",
                "set it to 1",
            )


def equal_rows(batch_size: int, parts: int, replicas: int) -> int:
    """Rows of a batch that each replica computes at once.

    Args:
        batch_size: rows of the batch.
        parts: parts of the batch that are computed one after the other, with one update at the end
            (`gradient_accumulation_steps`).
        replicas: devices that each compute a share of a part.

    Raises:
        ConfigError: the batch cannot be divided equally.
    """
    rows, left = divmod(batch_size, replicas * parts)
    if left:
        field = "batch_size" if parts == 1 else "gradient_accumulation_steps"
        what = f"{parts} parts" if parts > 1 else "equal parts"
        on = f" on each of {replicas} devices" if replicas > 1 else ""
        raise ConfigError(
            f"a batch of {batch_size} can't be computed in {what}{on}",
            where=f"training.{field}",
            remedy=f"make training.batch_size a multiple of {replicas * parts}",
        )
    return rows
