"""Optimizer steps as a compiled graph, on one device or several, with gradient accumulation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from models.objective import Objective
from models.private_api import is_dropout_seed, take_gradients_as_summed
from models.training.config import TrainingConfig
from models.training.devices import Devices, Features
from models.training.optimizer import Adagrad
from models.training.rematerialization import rematerialized

Steps = Callable[[Features, bool], Mapping[str, tf.Tensor]]
"""Runs some steps.

Args: features `[steps, rows, *shape]` of this process's rows of some batches; whether this process
asks to terminate the run. Returns the outputs of each step, `[steps]`: the loss, its terms,
`gradient_norm`, `learning_rate`, `tokens` (without padding), `positions`, and
`termination_requests`, the number of processes that ask to terminate.
"""

_REPLICA_SEED_DISTANCE = 1_000_003

COUNTS = ("tokens", "positions", "termination_requests")
"""Outputs that are int32 and no metrics; the others are float32."""

_State = Mapping[str, tf.Tensor]
"""Values of variables that are not trained, by their index in `model.non_trainable_variables`."""
_Updates = dict[str, tf.Tensor]
"""New values of such variables, by the same index."""


def compile_steps(
    model: keras.Model,
    objective: Objective,
    optimizer: keras.optimizers.Optimizer,
    config: TrainingConfig,
    devices: Devices,
) -> Steps:
    """The function that trains a model; it is compiled for each number and shape of batches.

    Each loss term is divided by its denominator over the *whole* batch before any micro-batch is
    computed. So a batch in micro-batches, on one device or several, has the gradient of the batch
    as a whole. Each replica may change other variables (dropout's seeds, the states of streams)
    only for its own rows; dropout differs between replicas.

    Raises:
        ValueError: `jit_compile` is "auto"; see `models.training.platform.with_xla_chosen`.
    """
    if config.jit_compile == "auto":
        raise ValueError("jit_compile is still 'auto'")
    if devices.replicas > 1:  # Keras would sum the gradients a second time
        take_gradients_as_summed(optimizer)
    replica_step = _ReplicaStep(model, objective, optimizer, config, devices)
    run_step = _on_all_replicas(replica_step, model.non_trainable_variables, devices)
    single_device = devices.config.strategy == "one"

    @tf.function(jit_compile=config.jit_compile and single_device, autograph=False)
    def run_steps(batches: Features, steps: int, terminate: tf.Tensor) -> dict[str, tf.Tensor]:
        if steps == 1:
            outputs = run_step(batches, 0, terminate)
            return {name: value[tf.newaxis] for name, value in outputs.items()}

        def body(index: tf.Tensor, arrays: dict[str, Any]) -> tuple[tf.Tensor, dict[str, Any]]:
            outputs = run_step(batches, index, terminate)
            return index + 1, {k: array.write(index, outputs[k]) for k, array in arrays.items()}

        arrays = _output_arrays(objective, steps)
        _, arrays = tf.while_loop(lambda index, _: index < steps, body, (0, arrays))
        return {name: array.stack() for name, array in arrays.items()}

    def run(batches: Features, terminate: bool) -> Mapping[str, tf.Tensor]:
        (steps, *_), *_ = (value.shape for value in batches.values())
        shares = devices.split_over_replicas(batches, axis=1)
        return run_steps(shares, steps, tf.constant(int(terminate)))

    return run


def _on_all_replicas(
    replica_step: _ReplicaStep, others: Sequence[keras.Variable], devices: Devices
) -> Callable[[Features, int | tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]:
    """The function that runs one step of an execution: (batches, index, terminate) → outputs."""

    def run_step(
        batches: Features, index: int | tf.Tensor, terminate: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        def replica(batches: Features) -> tuple[_Updates, dict[str, tf.Tensor]]:
            return replica_step({name: v[index] for name, v in batches.items()}, terminate)

        updates, outputs = devices.strategy.run(replica, args=(batches,))
        with devices.scope():
            for variable, value in updates.items():
                others[int(variable)].value.assign(devices.first_replica(value))
        return {name: devices.first_replica(value) for name, value in outputs.items()}

    return run_step


def _output_arrays(objective: Objective, steps: int) -> dict[str, tf.TensorArray]:
    """Empty arrays for the outputs of some steps; see `Steps`."""
    terms = [term.numerator for term in objective.losses()]
    return {
        name: tf.TensorArray(tf.int32 if name in COUNTS else tf.float32, steps, element_shape=())
        for name in ("loss", *terms, "gradient_norm", "learning_rate", *COUNTS)
    }


class _ReplicaStep:
    """What each replica does in a step: features of its rows → new values, and the step's outputs.

    All replicas update the weights equally. The new values are those of the other variables.
    """

    def __init__(
        self,
        model: keras.Model,
        objective: Objective,
        optimizer: keras.optimizers.Optimizer,
        config: TrainingConfig,
        devices: Devices,
    ) -> None:
        self._objective = objective
        self._optimizer = optimizer
        self._config = config
        self._devices = devices
        self._weights = model.trainable_variables
        self._others = model.non_trainable_variables
        layers = model.backbone.rematerialized_layers if devices.config.rematerialize else ()
        sparse = _stays_sparse(optimizer, config, devices)
        self._gradients = _gradient_function(model, objective, layers, sparse=sparse)
        # XLA cannot compile a program that sums over devices, but it can compile the part between
        # the sums. On a TPU the whole step is compiled anyway.
        if config.jit_compile and devices.config.strategy in ("mirrored", "multi_worker"):
            self._gradients = tf.function(self._gradients, jit_compile=True, autograph=False)

    def __call__(
        self, features: Features, terminate: tf.Tensor
    ) -> tuple[_Updates, dict[str, tf.Tensor]]:
        mask = features["padding_mask"]
        sums = self._sums(features, terminate)
        denominators = {name: tf.maximum(value, 1.0) for name, value in sums.items()}
        before = {str(i): tf.convert_to_tensor(v.value) for i, v in enumerate(self._others)}
        state = {i: self._shifted(i, value, 1) for i, value in before.items()}
        if self._config.gradient_accumulation_steps == 1:
            gradients, losses, updates = self._gradients(features, denominators, state)
        else:
            gradients, losses, updates = self._accumulated(features, denominators, state)
        gradients, losses = self._total([gradients, losses])
        updates = self._merged(before, updates)
        norm = tf.linalg.global_norm(gradients)
        if clip_norm := self._config.optimizer.clip_norm:
            scale = clip_norm / tf.maximum(norm, clip_norm)
            gradients = [_scaled(gradient, scale) for gradient in gradients]
        rate = tf.convert_to_tensor(self._optimizer.learning_rate)
        self._optimizer.apply(gradients, self._weights)
        return updates, {
            **losses,
            "gradient_norm": norm,
            "learning_rate": rate,
            "tokens": tf.cast(sums["tokens"], tf.int32),
            "positions": tf.size(mask) * self._devices.replicas,
            "termination_requests": tf.cast(sums["termination_requests"], tf.int32),
        }

    def _sums(self, features: Features, terminate: tf.Tensor) -> dict[str, tf.Tensor]:
        """Over the whole batch: tokens, termination requests, the loss terms' denominators."""
        own = {
            "tokens": tf.reduce_sum(tf.cast(features["padding_mask"], tf.float32)),
            "termination_requests": tf.cast(terminate, tf.float32),
            **{k: tf.reduce_sum(v) for k, v in self._objective.denominators(features).items()},
        }
        return dict(zip(own, tf.unstack(self._total(tf.stack([*own.values()]))), strict=True))

    def _total(self, values: Any) -> Any:
        """Sums over all replicas."""
        if self._devices.replicas == 1:
            return values
        return tf.distribute.get_replica_context().all_reduce("SUM", values)

    def _accumulated(
        self, features: Features, denominators: Mapping[str, tf.Tensor], state: _State
    ) -> tuple[list[tf.Tensor], dict[str, tf.Tensor], _Updates]:
        """Gradients and losses summed over the micro-batches, computed one after the other."""
        steps = self._config.gradient_accumulation_steps
        rows = self._devices.micro_batch_size(self._config.batch_size, steps)
        micro_batches = {
            name: tf.reshape(value, [steps, rows, *value.shape[1:]])
            for name, value in features.items()
        }
        changed: dict[str, None] = {}  # no set: its order differs between processes; see `_merged`

        def body(index: tf.Tensor, sums: Any, state: dict[str, tf.Tensor]) -> Any:
            micro_batch = {name: value[index] for name, value in micro_batches.items()}
            *summands, updates = self._gradients(micro_batch, denominators, state)
            changed.update(dict.fromkeys(updates))
            # The order of the sum decides its rounding.
            return index + 1, tf.nest.map_structure(tf.add, sums, summands), {**state, **updates}

        terms = [term.numerator for term in self._objective.losses()]
        zeros = [
            [tf.zeros(weight.shape, weight.dtype) for weight in self._weights],
            dict.fromkeys(["loss", *terms], tf.zeros([])),
        ]
        # By default TensorFlow may compute ten iterations at once, in the memory of all of them.
        _, (gradients, losses), after = tf.while_loop(
            lambda index, *_: index < steps, body, (0, zeros, dict(state)), parallel_iterations=1
        )
        return gradients, losses, {index: after[index] for index in changed}

    def _merged(self, before: _State, updates: _Updates) -> _Updates:
        """The new values on which all replicas agree.

        A number of a stream's state is changed by one replica at most, and the others take its
        value. Processes match their sums by the order in which they ask for them.
        """
        merged = {}
        for index, value in updates.items():
            if is_dropout_seed(self._others[int(index)]):
                merged[index] = self._shifted(index, value, -1)
            elif self._devices.replicas > 1:
                changed = value != before[index]
                numbers = self._total(tf.where(changed, value, tf.zeros_like(value)))
                any_changed = self._total(tf.cast(changed, tf.float32)) > 0
                merged[index] = tf.where(any_changed, numbers, before[index])
            else:
                merged[index] = value
        return merged

    def _shifted(self, index: str, value: tf.Tensor, direction: int) -> tf.Tensor:
        """A dropout seed shifted to the replica's own seed (1) or back to the shared one (-1).

        The value of another variable is returned as it is.
        """
        if not is_dropout_seed(self._others[int(index)]) or self._devices.replicas == 1:
            return value
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        distance = tf.cast(tf.stack([replica * _REPLICA_SEED_DISTANCE, 0]), value.dtype)
        return value + distance if direction > 0 else value - distance


def _gradient_function(
    model: keras.Model,
    objective: Objective,
    rematerialized_layers: Sequence[keras.layers.Layer],
    *,
    sparse: bool,
) -> Callable[..., Any]:
    """The function that computes the gradients of some rows.

    Args:
        model: what is trained.
        objective: its losses.
        rematerialized_layers: layers whose inner values are recomputed for the gradient.
        sparse: whether to keep the sparse gradient of a variable, of which few rows have one.
    """
    terms = objective.losses()
    weights = model.trainable_variables
    others = model.non_trainable_variables
    finalize = _deduplicated if sparse else tf.convert_to_tensor

    def gradients_of(
        features: Features, denominators: Mapping[str, tf.Tensor], state: _State
    ) -> tuple[list[tf.Tensor], dict[str, tf.Tensor], _Updates]:
        """Gradients and losses of some rows, and the new values of other variables.

        Args:
            features: `[rows, *shape]`.
            denominators: the denominators of the loss terms, over the whole batch.
            state: values of all variables that are not trained.
        """
        values = [(variable, state[str(i)]) for i, variable in enumerate(others)]
        with keras.StatelessScope(values) as scope, tf.GradientTape() as tape:
            before = [scope.get_current_value(variable) for variable in others]
            with rematerialized(rematerialized_layers):
                sums = model(features, training=True)
            losses = {
                term.numerator: tf.reduce_sum(sums[term.numerator]) / denominators[term.denominator]
                for term in terms
            }
            loss = tf.add_n([term.weight * losses[term.numerator] for term in terms])
        gradients = tape.gradient(loss, [weight.value for weight in weights])
        updates = {}
        for i, variable in enumerate(others):
            if (value := scope.get_current_value(variable)) is not before[i]:
                updates[str(i)] = value
        # Some weights have no gradient, such as BERT's pooler if no loss uses it.
        finalized = [
            tf.zeros_like(weight.value) if gradient is None else finalize(gradient)
            for weight, gradient in zip(weights, gradients, strict=True)
        ]
        return finalized, {"loss": loss, **losses}, updates

    return gradients_of


def _stays_sparse(
    optimizer: keras.optimizers.Optimizer, config: TrainingConfig, devices: Devices
) -> bool:
    """Whether the optimizer gets the gradient of ELMo's softmax as the rows of the sampled words.

    Sums over micro-batches and over devices need dense gradients. XLA needs to know every shape,
    and so cannot find the distinct rows.
    """
    no_sums = config.gradient_accumulation_steps == 1 and devices.config.strategy == "one"
    return no_sums and not config.jit_compile and isinstance(optimizer, Adagrad)


def _deduplicated(gradient: Any) -> Any:
    """A sparse gradient in which each row occurs once, as the sum of its occurrences."""
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    rows, positions = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, positions, tf.size(rows))
    return tf.IndexedSlices(values, rows, gradient.dense_shape)


def _scaled(gradient: Any, scale: tf.Tensor) -> Any:
    """A dense or sparse gradient times a factor."""
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient * scale
    return tf.IndexedSlices(gradient.values * scale, gradient.indices, gradient.dense_shape)
