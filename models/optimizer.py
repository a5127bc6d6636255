"""The optimizers and schedules of google-research/bert, nanoGPT and bilm-tf, as Keras classes."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

from models.config import OptimizerConfig


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


class AdamWeightDecay(keras.optimizers.Adam):
    """AdamW without Adam's bias correction, as google-research/bert's optimization.py.

    m ← β₁m + (1-β₁)g; v ← β₂v + (1-β₂)g²; w ← w - rate · (m / (√v + ε) + decay · w).
    """

    def update_step(
        self, gradient: tf.Tensor, variable: keras.Variable, learning_rate: tf.Tensor
    ) -> None:
        """Updates one variable; the decay of w is applied by Keras before this is called."""
        rate = tf.cast(learning_rate, variable.dtype)
        m, v = _moments(self, gradient, variable)
        self.assign_sub(variable, rate * m / (tf.sqrt(v) + self.epsilon))


class Lamb(keras.optimizers.Adam):
    """LAMB: AdamW whose step on each variable is as long, at rate 1, as the variable itself.

    u ← m / (√v + ε) + decay · w; w ← w - rate · (‖w‖ / ‖u‖) · u, where either norm is 0 without the
    ratio. Variables that do not decay have no ratio either (You et al., 2020, "Large Batch
    Optimization for Deep Learning", and its BERT). Keras's own leaves the decay out of the ratio.

    Args:
        decay: of the weights.
        bias_correction: divides m by 1 - β₁ᵗ and v by 1 - β₂ᵗ at step t, from 1.
        adam: what Keras's Adam takes.
    """

    def __init__(self, *, decay: float, bias_correction: bool, **adam: Any) -> None:
        super().__init__(**adam)
        self.decay = decay
        self.bias_correction = bias_correction

    def update_step(
        self, gradient: tf.Tensor, variable: keras.Variable, learning_rate: tf.Tensor
    ) -> None:
        """Updates one variable."""
        rate = tf.cast(learning_rate, variable.dtype)
        m, v = _moments(self, gradient, variable)
        if self.bias_correction:
            step = tf.cast(self.iterations + 1, variable.dtype)
            m /= 1.0 - tf.pow(tf.cast(self.beta_1, variable.dtype), step)
            v /= 1.0 - tf.pow(tf.cast(self.beta_2, variable.dtype), step)
        update = m / (tf.sqrt(v) + self.epsilon)
        if self._use_weight_decay(variable):
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
            "bias_correction": self.bias_correction,
        }


def _moments(
    adam: keras.optimizers.Adam, gradient: tf.Tensor, variable: keras.Variable
) -> tuple[tf.Tensor, tf.Tensor]:
    """Takes a gradient into the means of a variable's gradients and squares; returns both."""
    gradient = tf.cast(gradient, variable.dtype)
    index = adam._get_variable_index(variable)
    m, v = adam._momentums[index], adam._velocities[index]
    adam.assign_add(m, (gradient - m) * (1.0 - adam.beta_1))
    adam.assign_add(v, (tf.square(gradient) - v) * (1.0 - adam.beta_2))
    return tf.convert_to_tensor(m), tf.convert_to_tensor(v)


def build_optimizer(config: OptimizerConfig, steps: int) -> keras.optimizers.Optimizer:
    """The optimizer of a run of `steps` steps. Gradients are clipped by the training loop."""
    schedule = WarmupDecay(
        config.learning_rate,
        config.warmup_steps,
        steps,
        config.final_learning_rate,
        config.decay,
    )
    if config.kind == "adagrad":  # as bilm-tf trains: no decay of weights
        return keras.optimizers.Adagrad(
            schedule,
            initial_accumulator_value=config.initial_accumulator,
            epsilon=0.0,
        )
    adam = {
        "learning_rate": schedule,
        "beta_1": config.beta_1,
        "beta_2": config.beta_2,
        "epsilon": config.epsilon,
    }
    if config.kind == "lamb":
        optimizer = Lamb(decay=config.weight_decay, bias_correction=config.bias_correction, **adam)
    else:
        kind = keras.optimizers.Adam if config.bias_correction else AdamWeightDecay
        optimizer = kind(weight_decay=config.weight_decay, **adam)
    if config.not_decayed:
        optimizer.exclude_from_weight_decay(var_names=list(config.not_decayed))
    return optimizer
