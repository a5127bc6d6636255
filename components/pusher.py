"""TFX's Pusher, which leaves a served model in place that has seen newer text than the new one."""

import json
import logging
from typing import Any, ClassVar

from tfx import types
from tfx import v1 as tfx
from tfx.components.pusher import executor
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import (
    artifact_utils,
    channel,
    component_spec,
    standard_artifacts,
    standard_component_specs,
)

from components.properties import REASON
from components.resolvers import spans_of
from components.span_label import span_label

_log = logging.getLogger("polyseme.pusher")
_SERVED = "served_model"
_OLDER = "push_older"


class Executor(executor.Executor):
    """TFX's executor, which also compares the spans that both models have seen."""

    _older = ""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Pushes, or says on the PushedModel artifact why it does not."""
        served = input_dict.get(_SERVED)
        (model,) = input_dict["model"]
        if served and not json.loads(exec_properties["custom_config"])[_OLDER]:
            self._older = _older(model, served[0])
        super().Do(input_dict, output_dict, exec_properties)
        if self._older and self.CheckBlessing(input_dict, whatever_it_saw=True):
            _log.warning("not pushed: %s", self._older)
            pushed = artifact_utils.get_single_instance(output_dict["pushed_model"])
            pushed.set_string_custom_property(REASON, self._older)

    def CheckBlessing(
        self, input_dict: dict[str, list[types.Artifact]], whatever_it_saw: bool = False
    ) -> bool:
        """Whether the model may be pushed: both blessings, and no older text than is served.

        Args:
            input_dict: TFX's.
            whatever_it_saw: look at the blessings alone.
        """
        return (whatever_it_saw or not self._older) and super().CheckBlessing(input_dict)


class PusherSpec(component_spec.ComponentSpec):
    """TFX's, with the served model among the inputs."""

    PARAMETERS = standard_component_specs.PusherSpec.PARAMETERS
    INPUTS: ClassVar = {
        **standard_component_specs.PusherSpec.INPUTS,
        _SERVED: component_spec.ChannelParameter(type=standard_artifacts.Model, optional=True),
    }
    OUTPUTS = standard_component_specs.PusherSpec.OUTPUTS
    TYPE_ANNOTATION = standard_component_specs.PusherSpec.TYPE_ANNOTATION


class Pusher(base_component.BaseComponent):
    """Pushes a blessed model where TF Serving looks for versions.

    Args:
        model: the model.
        model_blessing: the Evaluator's.
        infra_blessing: the serving check's.
        served_model: the pushed model that it would take the place of, if there is one.
        push_destination: the folder of the versions.
        push_older: push it also where it has seen less recent text than the served model.
    """

    SPEC_CLASS = PusherSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        model: channel.BaseChannel,
        model_blessing: channel.BaseChannel,
        infra_blessing: channel.BaseChannel,
        served_model: channel.BaseChannel,
        push_destination: tfx.proto.PushDestination,
        push_older: bool,
    ) -> None:
        super().__init__(
            spec=PusherSpec(
                model=model,
                model_blessing=model_blessing,
                infra_blessing=infra_blessing,
                served_model=served_model,
                push_destination=push_destination,
                custom_config=json.dumps({_OLDER: push_older}),
                pushed_model=types.Channel(type=standard_artifacts.PushedModel),
            )
        )


def _older(model: types.Artifact, served: types.Artifact) -> str:
    """Why a model is not to take the served one's place; empty where it may."""
    new, old = max(spans_of(model), default=0), max(spans_of(served), default=0)
    if new >= old:
        return ""
    return (
        f"it has seen text up to span {span_label(new)}, and the served model up to span "
        f"{span_label(old)}; set push_older=True to push it all the same"
    )
