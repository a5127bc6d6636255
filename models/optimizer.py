"""The optimizer and schedule of google-research/bert, as Keras classes."""

from __future__ import annotations

import keras
import tensorflow as tf

from models.config import OptimizerConfig

_NOT_DECAYED = ("bias", "gamma", "beta")  # biases and LayerNorm's two, by Keras's names


class WarmupLinearDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Linear growth from 0 to `peak` over `warmup` steps, then a straight line to `final`.

    Follows google-research/bert: at step s after warmup the rate is the polynomial decay (power 1)
    of the whole run, so it does not start again at `peak` when warmup ends.
    """

    def __init__(self, peak: float, warmup: int, steps: int, final: float = 0.0) -> None:
        self.peak = peak
        self.warmup = warmup
        self.steps = steps
        self.final = final

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """The rate of a step, float32 scalar; `step` counts from 0."""
        step = tf.cast(step, tf.float32)
        grown = self.peak * step / max(self.warmup, 1)
        left = 1.0 - tf.minimum(step / self.steps, 1.0)
        decayed = self.final + (self.peak - self.final) * left
        return tf.where(step < self.warmup, grown, decayed)

    def get_config(self) -> dict[str, float | int]:
        """The constructor's arguments."""
        return {
            "peak": self.peak,
            "warmup": self.warmup,
            "steps": self.steps,
            "final": self.final,
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
        gradient = tf.cast(gradient, variable.dtype)
        index = self._get_variable_index(variable)
        m, v = self._momentums[index], self._velocities[index]
        self.assign_add(m, (gradient - m) * (1.0 - self.beta_1))
        self.assign_add(v, (tf.square(gradient) - v) * (1.0 - self.beta_2))
        self.assign_sub(variable, rate * m / (tf.sqrt(v) + self.epsilon))


def build_optimizer(config: OptimizerConfig, steps: int) -> keras.optimizers.Optimizer:
    """The optimizer of a run of `steps` steps. Gradients are clipped by the training loop."""
    schedule = WarmupLinearDecay(
        config.learning_rate, config.warmup_steps, steps, config.final_learning_rate
    )
    kind = keras.optimizers.Adam if config.bias_correction else AdamWeightDecay
    optimizer = kind(
        schedule,
        beta_1=config.beta_1,
        beta_2=config.beta_2,
        epsilon=config.epsilon,
        weight_decay=config.weight_decay,
    )
    optimizer.exclude_from_weight_decay(var_names=list(_NOT_DECAYED))
    return optimizer
