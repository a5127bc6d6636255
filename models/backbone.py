"""The protocol of a backbone: token ids in, every layer's hidden state out (law "One contract")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


class Backbone(Protocol):
    """A `keras.Model` that pretraining models, serving and tasks are built on."""

    @property
    def input(self) -> Mapping[str, Any]:
        """The inputs by name, `[batch, time, …]`; `padding_mask` is one of them.

        `frame` of the family's `inputs.py` makes them from token ids.
        """

    @property
    def hidden_size(self) -> int:
        """Width of the hidden states."""

    @property
    def max_length(self) -> int | None:
        """The largest `time`, in tokens; None if there is no limit."""

    @property
    def layer_variables(self) -> Sequence[Sequence[keras.Variable]]:
        """The trainable variables of each layer, in the order of `hidden_states`.

        Variables above the last layer, such as a pooler's, are left out.
        """

    @property
    def rematerialized_layers(self) -> Sequence[keras.layers.Layer]:
        """The layers that hold most of the activations that training keeps for the gradient.

        `devices.rematerialize` computes these layers a second time instead.
        """

    def __call__(
        self, features: Mapping[str, tf.Tensor], *, training: bool | None = None
    ) -> Mapping[str, tf.Tensor]:
        """Runs the backbone.

        Args:
            features: the inputs by name.
            training: whether there is dropout.

        Returns:
            hidden_states: `[batch, layers + 1, time, hidden_size]`; index 0 is the token layer,
                which knows no context.
            sequence_output: `[batch, time, hidden_size]`, the last layer alone. Code that needs no
                other layer reads this output, so that the stack is pruned from the compiled step.
            pooled: `[batch, hidden_size]`, a vector of the whole row.
            padding_mask: int32 `[batch, time]`, the input of that name, 1 = a real token.
        """
