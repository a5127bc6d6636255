"""The optimizers and schedules of google-research/bert, nanoGPT and bilm-tf, as Keras classes."""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from models.private_api import adagrad_sums, adam_moments, decays, variable_key
from models.training.config import OptimizerConfig


class WarmupDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Linear growth from 0 to `peak` over `warmup` steps, then down to `final` at step `steps`.

    "linear" follows google-research/bert: at step s after warmup the rate is on the straight line
    of the whole run, so it does not start again at `peak` when warmup ends. "cosine" follows
    nanoGPT: half a wave from `peak` when warmup ends (Loshchilov and Hutter, 2017). "constant"
    stays at `peak`.
    """

    def __init__(
        self, peak: float, warmup: int, steps: int, final: float = 0.0, decay: str = "linear"
    ) -> None:
        self.peak = peak
        self.warmup = warmup
        self.steps = steps
        self.final = final
        self.decay = decay

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """The rate of a step, float32 scalar; `step` counts from 0."""
        step = tf.cast(step, tf.float32)
        grown = self.peak * step / max(self.warmup, 1)
        return tf.where(step < self.warmup, grown, self._after_warmup(step))

    def _after_warmup(self, step: tf.Tensor) -> tf.Tensor:
        if self.decay == "constant":
            return tf.fill(tf.shape(step), self.peak)
        if self.decay == "linear":
            left = 1.0 - tf.minimum(step / self.steps, 1.0)
        else:
            done = (step - self.warmup) / max(self.steps - self.warmup, 1)
            left = 0.5 * (1.0 + tf.cos(math.pi * tf.minimum(done, 1.0)))
        return self.final + (self.peak - self.final) * left

    def get_config(self) -> dict[str, float | int | str]:
        """The constructor's arguments."""
        return {
            "peak": self.peak,
            "warmup": self.warmup,
            "steps": self.steps,
            "final": self.final,
            "decay": self.decay,
        }


class Adam(keras.optimizers.Adam):
    """Adam with decay of the weights apart (AdamW), with or without bias correction, and LAMB.

    m ← β₁m + (1-β₁)g; v ← β₂v + (1-β₂)g²; u ← m / (√v + ε) + decay · w; w ← w - rate · u. Without
    correction that is google-research/bert's optimization.py. Keras's own decays before it looks at
    m and v, and by the rate of all layers.

    As LAMB the step on a variable is, at rate 1, as long as the variable itself: u is multiplied by
    ‖w‖ / ‖u‖, unless either is 0. Variables that do not decay have no such ratio (You et al., 2020,
    "Large Batch Optimization for Deep Learning", and its BERT). Keras's own leaves the decay out of
    the ratio.

    Args:
        decay: of the weights.
        exclude_from_weight_decay: see `OptimizerConfig.exclude_from_weight_decay`.
        bias_correction: divides m by 1 - β₁ᵗ and v by 1 - β₂ᵗ at step t, from 1.
        trust_ratio: LAMB.
        adam: what Keras's Adam takes.
    """

    def __init__(
        self,
        *,
        decay: float,
        exclude_from_weight_decay: Sequence[str],
        bias_correction: bool,
        trust_ratio: bool,
        **adam: Any,
    ) -> None:
        super().__init__(**adam)
        self.decay = decay
        self.excluded = tuple(exclude_from_weight_decay)
        self.bias_correction = bias_correction
        self.trust_ratio = trust_ratio

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Makes the moments of the variables, and finds those that do not decay."""
        # Here, as `update_step` gets TensorFlow's variables, whose names are paths that end in ":0"
        self.exclude_from_weight_decay(
            [v for v in variables if any(re.search(name, v.name) for name in self.excluded)]
        )
        super().build(variables)

    def update_step(
        self, gradient: tf.Tensor, variable: keras.Variable, learning_rate: tf.Tensor
    ) -> None:
        """Updates one variable."""
        rate = tf.cast(learning_rate, variable.dtype)
        gradient = tf.cast(gradient, variable.dtype)
        if self.trust_ratio:
            self._lamb_step(gradient, variable, rate)
            return
        if self.decay and decays(self, variable):
            self.assign_sub(variable, rate * self.decay * tf.convert_to_tensor(variable))
        means, squares = adam_moments(self, variable)
        of_means, of_squares = self._corrections(variable.dtype)
        # TensorFlow's kernel goes through the numbers once; with a power of 0 it corrects nothing.
        # Where it corrects, its epsilon is beside the root of the squares as they are.
        tf.raw_ops.ResourceApplyAdam(
            var=_handle(variable),
            m=_handle(means),
            v=_handle(squares),
            beta1_power=1.0 - of_means,
            beta2_power=1.0 - of_squares,
            lr=rate,
            beta1=tf.cast(self.beta_1, variable.dtype),
            beta2=tf.cast(self.beta_2, variable.dtype),
            epsilon=tf.cast(self.epsilon, variable.dtype) * tf.sqrt(of_squares),
            grad=gradient,
        )

    def _corrections(self, dtype: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """What the mean of gradients, and that of their squares, are divided by."""
        if not self.bias_correction:
            return tf.ones([], dtype), tf.ones([], dtype)
        step = tf.cast(self.iterations + 1, dtype)
        first, second = (1.0 - tf.pow(tf.cast(b, dtype), step) for b in (self.beta_1, self.beta_2))
        return first, second

    def _lamb_step(self, gradient: tf.Tensor, variable: keras.Variable, rate: tf.Tensor) -> None:
        means, squares = adam_moments(self, variable)
        self.assign_add(means, (gradient - means) * (1.0 - self.beta_1))
        self.assign_add(squares, (tf.square(gradient) - squares) * (1.0 - self.beta_2))
        of_means, of_squares = self._corrections(variable.dtype)
        m = tf.convert_to_tensor(means) / of_means
        update = m / (tf.sqrt(tf.convert_to_tensor(squares) / of_squares) + self.epsilon)
        if decays(self, variable):
            weight = tf.convert_to_tensor(variable)
            update += self.decay * weight
            length, step_length = tf.norm(weight), tf.norm(update)
            known = (length > 0) & (step_length > 0)
            update *= tf.where(known, length / tf.where(known, step_length, 1.0), 1.0)
        self.assign_sub(variable, rate * update)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "decay": self.decay,
            "exclude_from_weight_decay": list(self.excluded),
            "bias_correction": self.bias_correction,
            "trust_ratio": self.trust_ratio,
        }


def _handle(variable: Any) -> tf.Tensor:
    """What TensorFlow's kernels know a variable by, on the device at hand."""
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle


class Adagrad(keras.optimizers.Adagrad):
    """Keras's Adagrad by TensorFlow's kernels, which go through the numbers once.

    Of a gradient of some rows they read and change these rows only.
    """

    def update_step(
        self, gradient: Any, variable: keras.Variable, learning_rate: tf.Tensor
    ) -> None:
        """Updates one variable, or the rows of it that a `tf.IndexedSlices` has, each row once.

        A row without a gradient stays as it is in the dense update too.
        """
        state = {
            "var": _handle(variable),
            "accum": _handle(adagrad_sums(self, variable)),
            "lr": tf.cast(learning_rate, variable.dtype),
            "epsilon": tf.cast(self.epsilon, variable.dtype),
        }
        if isinstance(gradient, tf.IndexedSlices):
            tf.raw_ops.ResourceSparseApplyAdagradV2(
                grad=gradient.values, indices=gradient.indices, **state
            )
        else:
            tf.raw_ops.ResourceApplyAdagradV2(grad=tf.cast(gradient, variable.dtype), **state)


def build_optimizer(
    config: OptimizerConfig, steps: int, layers: Sequence[Sequence[keras.Variable]] = ()
) -> keras.optimizers.Optimizer:
    """The optimizer of a run of `steps` steps. Gradients are clipped by the training loop.

    Args:
        layers: variables of each layer, the token layer first, for `config.layerwise_lr_decay`;
            others are above them, and have the whole rate.
    """
    own: Any = config.resolved(steps)
    schedule = WarmupDecay(
        config.learning_rate,
        own.warmup_steps,
        steps,
        config.final_learning_rate,
        config.schedule,
    )
    optimizer: keras.optimizers.Optimizer
    if config.kind == "adagrad":  # as bilm-tf trains: no decay of weights
        optimizer = Adagrad(
            schedule,
            initial_accumulator_value=own.initial_accumulator_value,
            epsilon=0.0,
        )
    else:
        optimizer = Adam(
            learning_rate=schedule,
            beta_1=own.beta_1,
            beta_2=own.beta_2,
            epsilon=own.epsilon,
            decay=own.weight_decay,
            exclude_from_weight_decay=own.exclude_from_weight_decay or (),
            bias_correction=config.bias_correction,
            trust_ratio=config.kind == "lamb",
        )
    if config.layerwise_lr_decay != 1.0:
        shares = {
            variable_key(optimizer, variable): config.layerwise_lr_decay ** (len(layers) - depth)
            for depth, variables in enumerate(layers)
            for variable in variables
        }
        _slow_down(optimizer, shares)
    return optimizer


def _slow_down(optimizer: keras.optimizers.Optimizer, shares: Mapping[Hashable, float]) -> None:
    """Gives the variables that are named by their keys a share of the rate only."""
    update = optimizer.update_step

    def update_step(gradient: tf.Tensor, variable: Any, learning_rate: tf.Tensor) -> None:
        share = shares.get(variable_key(optimizer, variable), 1.0)
        update(gradient, variable, learning_rate * share)

    optimizer.update_step = update_step
