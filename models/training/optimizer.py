"""The optimizers and learning-rate schedules of google-research/bert, nanoGPT and bilm-tf."""

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
    """Linear warmup from 0 to `peak` over `warmup` steps, then a decay to `final` at step `steps`.

    "linear" follows google-research/bert: after warmup the rate is on the straight line from `peak`
    at step 0 to `final`, so it drops when warmup ends. "cosine" follows nanoGPT: half a cosine
    wave from `peak` at the end of warmup (Loshchilov and Hutter, 2017). "constant" stays at `peak`.
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
        """The learning rate of a step, float32 scalar; `step` counts from 0."""
        step = tf.cast(step, tf.float32)
        warmup_rate = self.peak * step / max(self.warmup, 1)
        return tf.where(step < self.warmup, warmup_rate, self._after_warmup(step))

    def _after_warmup(self, step: tf.Tensor) -> tf.Tensor:
        if self.decay == "constant":
            return tf.fill(tf.shape(step), self.peak)
        if self.decay == "linear":
            remaining = 1.0 - tf.minimum(step / self.steps, 1.0)
        else:
            progress = (step - self.warmup) / max(self.steps - self.warmup, 1)
            remaining = 0.5 * (1.0 + tf.cos(math.pi * tf.minimum(progress, 1.0)))
        return self.final + (self.peak - self.final) * remaining

    def get_config(self) -> dict[str, float | int | str]:
        """The constructor's arguments."""
        return {
            "peak": self.peak,
            "warmup": self.warmup,
            "steps": self.steps,
            "final": self.final,
            "decay": self.decay,
        }


class AdamW(keras.optimizers.Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019), with or without correction.

    m ← β₁m + (1-β₁)g; v ← β₂v + (1-β₂)g²; u ← m / (√v + ε) + decay · w; w ← w - rate · u. Without
    bias correction this is google-research/bert's optimization.py. Keras's AdamW decays before it
    updates the moments, and by the global rate, so that layerwise rates would not scale its decay.

    Args:
        decay: weight decay.
        exclude_from_weight_decay: see `OptimizerConfig.exclude_from_weight_decay`.
        bias_correction: whether to divide m by 1 - β₁ᵗ and v by 1 - β₂ᵗ at step t, from 1.
        adam: arguments of Keras's Adam.
    """

    def __init__(
        self,
        *,
        decay: float,
        exclude_from_weight_decay: Sequence[str],
        bias_correction: bool,
        **adam: Any,
    ) -> None:
        super().__init__(**adam)
        self.decay = decay
        self.excluded = tuple(exclude_from_weight_decay)
        self.bias_correction = bias_correction

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Creates the moments of the variables, and finds the variables that do not decay."""
        # Here, because `update_step` gets TensorFlow's variables, whose names are paths with ":0".
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
        if self.decay and decays(self, variable):
            self.assign_sub(variable, rate * self.decay * tf.convert_to_tensor(variable))
        means, squares = adam_moments(self, variable)
        mean_correction, square_correction = self._corrections(variable.dtype)
        # TensorFlow's kernel passes over the memory once. A power of 0 turns its correction off.
        # Its epsilon is added to the root of the uncorrected squares, hence the factor.
        tf.raw_ops.ResourceApplyAdam(
            var=_handle(variable),
            m=_handle(means),
            v=_handle(squares),
            beta1_power=1.0 - mean_correction,
            beta2_power=1.0 - square_correction,
            lr=rate,
            beta1=tf.cast(self.beta_1, variable.dtype),
            beta2=tf.cast(self.beta_2, variable.dtype),
            epsilon=tf.cast(self.epsilon, variable.dtype) * tf.sqrt(square_correction),
            grad=gradient,
        )

    def _corrections(self, dtype: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """The divisors of the mean of gradients and of the mean of their squares."""
        if not self.bias_correction:
            return tf.ones([], dtype), tf.ones([], dtype)
        step = tf.cast(self.iterations + 1, dtype)
        first, second = (1.0 - tf.pow(tf.cast(b, dtype), step) for b in (self.beta_1, self.beta_2))
        return first, second

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "decay": self.decay,
            "exclude_from_weight_decay": list(self.excluded),
            "bias_correction": self.bias_correction,
        }


class Lamb(AdamW):
    """LAMB (You et al., 2020, "Large Batch Optimization for Deep Learning").

    AdamW's update u is multiplied by the trust ratio ‖w‖ / ‖u‖, unless either norm is 0. So at rate
    1 the step of a variable is as long as the variable itself. Variables that are excluded from
    weight decay have no trust ratio, as in the paper's BERT. Keras's LAMB leaves the decay out of
    the ratio.

    The arguments are those of `AdamW`.
    """

    def update_step(
        self, gradient: tf.Tensor, variable: keras.Variable, learning_rate: tf.Tensor
    ) -> None:
        """Updates one variable."""
        rate = tf.cast(learning_rate, variable.dtype)
        gradient = tf.cast(gradient, variable.dtype)
        means, squares = adam_moments(self, variable)
        self.assign_add(means, (gradient - means) * (1.0 - self.beta_1))
        self.assign_add(squares, (tf.square(gradient) - squares) * (1.0 - self.beta_2))
        mean_correction, square_correction = self._corrections(variable.dtype)
        m = tf.convert_to_tensor(means) / mean_correction
        root = tf.sqrt(tf.convert_to_tensor(squares) / square_correction)
        update = m / (root + self.epsilon)
        if decays(self, variable):
            weight = tf.convert_to_tensor(variable)
            update += self.decay * weight
            weight_norm, update_norm = tf.norm(weight), tf.norm(update)
            defined = (weight_norm > 0) & (update_norm > 0)
            update *= tf.where(defined, weight_norm / tf.where(defined, update_norm, 1.0), 1.0)
        self.assign_sub(variable, rate * update)


class Adagrad(keras.optimizers.Adagrad):
    """Keras's Adagrad by TensorFlow's kernels, which pass over the memory once.

    For a sparse gradient they read and change only its rows.
    """

    def update_step(
        self, gradient: Any, variable: keras.Variable, learning_rate: tf.Tensor
    ) -> None:
        """Updates one variable, or the rows that a `tf.IndexedSlices` has, each of them once.

        Rows without a gradient would not change in a dense update either.
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


def _handle(variable: Any) -> tf.Tensor:
    """The resource handle of a variable on the current device, for TensorFlow's kernels."""
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle


def build_optimizer(
    config: OptimizerConfig, steps: int, layers: Sequence[Sequence[keras.Variable]] = ()
) -> keras.optimizers.Optimizer:
    """The optimizer of a run of `steps` steps. The training step clips the gradients before.

    Args:
        config: kind, schedule and hyperparameters.
        steps: optimizer steps of the whole run.
        layers: variables of each layer, the token layer first, for `config.layerwise_lr_decay`.
            All other variables are above the layers and have the full rate.
    """
    resolved: Any = config.resolved(steps)
    schedule = WarmupDecay(
        config.learning_rate,
        resolved.warmup_steps,
        steps,
        config.final_learning_rate,
        config.schedule,
    )
    optimizer: keras.optimizers.Optimizer
    if config.kind == "adagrad":  # as in bilm-tf: no weight decay
        optimizer = Adagrad(
            schedule,
            initial_accumulator_value=resolved.initial_accumulator_value,
            epsilon=0.0,
        )
    else:
        optimizer_class = Lamb if config.kind == "lamb" else AdamW
        optimizer = optimizer_class(
            learning_rate=schedule,
            beta_1=resolved.beta_1,
            beta_2=resolved.beta_2,
            epsilon=resolved.epsilon,
            decay=resolved.weight_decay,
            exclude_from_weight_decay=resolved.exclude_from_weight_decay or (),
            bias_correction=config.bias_correction,
        )
    if config.layerwise_lr_decay != 1.0:
        factors = {
            variable_key(optimizer, variable): config.layerwise_lr_decay ** (len(layers) - depth)
            for depth, variables in enumerate(layers)
            for variable in variables
        }
        _scale_learning_rates(optimizer, factors)
    return optimizer


def _scale_learning_rates(
    optimizer: keras.optimizers.Optimizer, factors: Mapping[Hashable, float]
) -> None:
    """Multiplies the learning rate of each variable by its factor.

    Args:
        optimizer: the optimizer to change.
        factors: the factors by `variable_key`; other variables have the factor 1.
    """
    update = optimizer.update_step

    def update_step(gradient: tf.Tensor, variable: Any, learning_rate: tf.Tensor) -> None:
        factor = factors.get(variable_key(optimizer, variable), 1.0)
        update(gradient, variable, learning_rate * factor)

    optimizer.update_step = update_step
