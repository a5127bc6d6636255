"""Optimizer steps as a graph: on one device or many, a batch whole or in parts."""

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
"""Features `[steps, rows, *shape]` of this process's rows of some batches → what came of each step,
`[steps]`: the loss, its terms, `gradient_norm`, `learning_rate`, `tokens` (real ones), `positions`,
and `asked`, the number of processes that were called with true."""

_SEEDS_APART = 1_000_003

_Updates = dict[str, tf.Tensor]  # new values of variables, by their places in the list


def compile_steps(
    model: keras.Model,
    objective: Objective,
    optimizer: keras.optimizers.Optimizer,
    config: TrainingConfig,
    devices: Devices,
) -> Steps:
    """The function that trains a model; each number of batches and each shape is compiled apart.

    Each loss term is divided by its denominator over the *whole* batch before any part is
    computed, so that a batch in parts, on one device or on many, has the gradient of the batch in
    one. What else training changes (dropout's seeds, streams' states) each replica may change for
    its own rows only; dropout differs from replica to replica.

    Raises:
        ValueError: nobody has chosen whether XLA compiles; see
        `models.training.platform.with_xla_chosen`.
    """
    if config.jit_compile == "auto":
        raise ValueError("jit_compile is still 'auto'")
    if devices.replicas > 1:  # gradients come summed already; Keras would sum them once more
        take_gradients_as_summed(optimizer)
    alone = devices.config.strategy == "one"
    step = _replica_step(model, objective, optimizer, config, devices)
    others = model.non_trainable_variables

    def one(batches: Features, place: int | tf.Tensor, asked: tf.Tensor) -> dict[str, tf.Tensor]:
        def replica(batches: Features) -> tuple[_Updates, dict[str, tf.Tensor]]:
            return step({name: value[place] for name, value in batches.items()}, asked)

        updates, state = devices.strategy.run(replica, args=(batches,))
        with devices.scope():
            for index, value in updates.items():
                others[int(index)].value.assign(devices.first(value))
        return {name: devices.first(value) for name, value in state.items()}

    @tf.function(jit_compile=config.jit_compile and alone, autograph=False)
    def call(batches: Features, steps: int, asked: tf.Tensor) -> dict[str, tf.Tensor]:
        if steps == 1:
            return {name: value[tf.newaxis] for name, value in one(batches, 0, asked).items()}

        def body(place: tf.Tensor, arrays: dict[str, Any]) -> tuple[tf.Tensor, dict[str, Any]]:
            state = one(batches, place, asked)
            return place + 1, {k: array.write(place, state[k]) for k, array in arrays.items()}

        whole = {"tokens", "positions", "asked"}
        arrays = {
            name: tf.TensorArray(tf.int32 if name in whole else tf.float32, steps, element_shape=())
            for name in _figures(objective)
        }
        _, arrays = tf.while_loop(lambda place, _: place < steps, body, (0, arrays))
        return {name: array.stack() for name, array in arrays.items()}

    def run(batches: Features, asked: bool) -> Mapping[str, tf.Tensor]:
        (steps, *_), *_ = (value.shape for value in batches.values())
        return call(devices.spread(batches, axis=1), steps, tf.constant(int(asked)))

    return run


def _figures(objective: Objective) -> list[str]:
    terms = [term.numerator for term in objective.losses()]
    return [
        "loss", *terms, "gradient_norm", "learning_rate", "tokens", "positions", "asked"
    ]  # fmt: skip


def _replica_step(
    model: keras.Model,
    objective: Objective,
    optimizer: keras.optimizers.Optimizer,
    config: TrainingConfig,
    devices: Devices,
) -> Callable[[Features, tf.Tensor], tuple[_Updates, dict[str, tf.Tensor]]]:
    """What a replica does in a step: its rows' features → new values, and what came of it."""
    rows = devices.rows_at_once(config.batch_size, config.gradient_accumulation_steps)
    weights = model.trainable_variables
    others = model.non_trainable_variables
    inner = model.backbone.rematerialized_layers if devices.config.rematerialize else ()
    gradients_of = _gradients(
        model, objective, inner, sparse=_stays_sparse(optimizer, config, devices)
    )
    # A program that sums over devices can't be compiled by XLA; between the sums there is one that
    # can. A TPU's whole step is compiled as it is.
    if config.jit_compile and devices.config.strategy in ("mirrored", "multi_worker"):
        gradients_of = tf.function(gradients_of, jit_compile=True, autograph=False)

    def total(values: Any) -> Any:
        """Sums over all replicas."""
        if devices.replicas == 1:
            return values
        return tf.distribute.get_replica_context().all_reduce("SUM", values)

    def in_parts(
        features: Features, totals: Mapping[str, tf.Tensor], state: Mapping[str, tf.Tensor]
    ) -> tuple[Any, _Updates]:
        """What `gradients_of` gives, summed over the parts of a batch, one after the other."""
        parts = {
            name: tf.reshape(value, [config.gradient_accumulation_steps, rows, *value.shape[1:]])
            for name, value in features.items()
        }
        changed: dict[str, None] = {}  # a set has another order in each process: see `_merged`

        def body(place: tf.Tensor, sums: Any, state: dict[str, tf.Tensor]) -> Any:
            part = {name: value[place] for name, value in parts.items()}
            *found, updates = gradients_of(part, totals, state)
            changed.update(dict.fromkeys(updates))
            # The parts' order decides the rounding.
            return place + 1, tf.nest.map_structure(tf.add, sums, found), {**state, **updates}

        zeros = [
            [tf.zeros(weight.shape, weight.dtype) for weight in weights],
            dict.fromkeys(["loss", *(term.numerator for term in objective.losses())], tf.zeros([])),
        ]
        # TensorFlow would compute ten parts at once, if it could, in the memory of all of them.
        _, found, after = tf.while_loop(
            lambda place, *_: place < config.gradient_accumulation_steps,
            body,
            (0, zeros, dict(state)),
            parallel_iterations=1,
        )
        return found, {index: after[index] for index in changed}

    def step(features: Features, asked: tf.Tensor) -> tuple[_Updates, dict[str, tf.Tensor]]:
        mask = features["padding_mask"]
        own = {
            "tokens": tf.reduce_sum(tf.cast(mask, tf.float32)),
            "asked": tf.cast(asked, tf.float32),
            **{k: tf.reduce_sum(v) for k, v in objective.denominators(features).items()},
        }
        sums = dict(zip(own, tf.unstack(total(tf.stack([*own.values()]))), strict=True))
        totals = {name: tf.maximum(value, 1.0) for name, value in sums.items()}
        before = {str(i): tf.convert_to_tensor(v.value) for i, v in enumerate(others)}
        state = {i: _apart(others[int(i)], value, devices, 1) for i, value in before.items()}
        if config.gradient_accumulation_steps == 1:
            *found, updates = gradients_of(features, totals, state)
        else:
            found, updates = in_parts(features, totals, state)
        gradients, losses = total(found)
        for index, value in updates.items():
            if is_dropout_seed(others[int(index)]):
                updates[index] = _apart(others[int(index)], value, devices, -1)
            elif devices.replicas > 1:
                updates[index] = _merged(before[index], value, total)
        norm = tf.linalg.global_norm(gradients)
        if clip_norm := config.optimizer.clip_norm:
            scale = clip_norm / tf.maximum(norm, clip_norm)
            gradients = [_scaled(gradient, scale) for gradient in gradients]
        rate = tf.convert_to_tensor(optimizer.learning_rate)
        optimizer.apply(gradients, weights)
        return updates, {
            **losses,
            "gradient_norm": norm,
            "learning_rate": rate,
            "tokens": tf.cast(sums["tokens"], tf.int32),
            "positions": tf.size(mask) * devices.replicas,
            "asked": tf.cast(sums["asked"], tf.int32),
        }

    return step


def _gradients(
    model: keras.Model,
    objective: Objective,
    inner: Sequence[keras.layers.Layer],
    *,
    sparse: bool,
) -> Callable[..., Any]:
    """Computes gradients of some rows.

    Args:
        inner: layers to compute again for the gradient.
        sparse: whether a gradient of few rows of a variable is given as these rows.
    """
    terms = objective.losses()
    weights = model.trainable_variables
    others = model.non_trainable_variables
    whole = _once_each if sparse else tf.convert_to_tensor

    def gradients_of(
        features: Features, totals: Mapping[str, tf.Tensor], state: Mapping[str, tf.Tensor]
    ) -> tuple[list[tf.Tensor], dict[str, tf.Tensor], _Updates]:
        """Gradients and losses of some rows, and the new values of what else has changed.

        Args:
            features: `[rows, *shape]`.
            totals: denominators over the whole batch.
            state: values of all variables that are not trained.
        """
        given = [(variable, state[str(i)]) for i, variable in enumerate(others)]
        with keras.StatelessScope(given) as scope, tf.GradientTape() as tape:
            held = [scope.get_current_value(variable) for variable in others]
            with rematerialized(inner):
                sums = model(features, training=True)
            losses = {
                term.numerator: tf.reduce_sum(sums[term.numerator]) / totals[term.denominator]
                for term in terms
            }
            loss = tf.add_n([term.weight * losses[term.numerator] for term in terms])
        gradients = tape.gradient(loss, [weight.value for weight in weights])
        updates = {}
        for i, variable in enumerate(others):
            if (value := scope.get_current_value(variable)) is not held[i]:
                updates[str(i)] = value
        # A weight that no loss reaches has no gradient, as BERT's pooler where there are no pairs.
        found = [
            tf.zeros_like(weight.value) if gradient is None else whole(gradient)
            for weight, gradient in zip(weights, gradients, strict=True)
        ]
        return found, {"loss": loss, **losses}, updates

    return gradients_of


def _stays_sparse(
    optimizer: keras.optimizers.Optimizer, config: TrainingConfig, devices: Devices
) -> bool:
    """Whether the optimizer gets ELMo's softmax's gradient as the rows of the words in the sample.

    Sums over parts and devices are of whole variables. XLA has to know every shape, and can't find
    the distinct rows.
    """
    alone = config.gradient_accumulation_steps == 1 and devices.config.strategy == "one"
    return alone and not config.jit_compile and isinstance(optimizer, Adagrad)


def _once_each(gradient: Any) -> Any:
    """A gradient with each of its rows once, the sum of what there is of it."""
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    rows, places = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, places, tf.size(rows))
    return tf.IndexedSlices(values, rows, gradient.dense_shape)


def _scaled(gradient: Any, scale: tf.Tensor) -> Any:
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient * scale
    return tf.IndexedSlices(gradient.values * scale, gradient.indices, gradient.dense_shape)


def _apart(
    variable: keras.Variable, value: tf.Tensor, devices: Devices, direction: int
) -> tf.Tensor:
    """A seed's value as the replica's own (1), whose dropout is not the others', or back (-1).

    Another variable's value stays as it is.
    """
    if not is_dropout_seed(variable) or devices.replicas == 1:
        return value
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    apart = tf.cast(tf.stack([replica * _SEEDS_APART, 0]), value.dtype)
    return value + apart if direction > 0 else value - apart


def _merged(
    before: tf.Tensor, after: tf.Tensor, total: Callable[[tf.Tensor], tf.Tensor]
) -> tf.Tensor:
    """The value of which each replica has changed some numbers, each number one replica at most.

    Processes match their sums by the order in which they ask for them.
    """
    changed = after != before
    numbers = total(tf.where(changed, after, tf.zeros_like(after)))
    return tf.where(total(tf.cast(changed, tf.float32)) > 0, numbers, before)
