"""Pusher: makes a blessed model the newest served version, unless the served model is newer."""

import json
import logging
import os
import pathlib
import shutil
import time
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
from tfx.utils import proto_utils

from components.lineage.model_origin import spans_of
from components.lineage.properties import REASON
from components.lineage.span_label import span_label
from components.storage.publish import published_folder

_log = logging.getLogger("polyseme.pusher")
_SERVED = "served_model"
_OLDER = "push_older"


class Executor(executor.Executor):
    """Makes a blessed model the newest version in a folder that TF Serving watches.

    Unlike TFX's executor, it compares the spans that the models have seen, links files instead of
    copying them, publishes a version atomically, and gives each version a higher number than all
    earlier versions, even if the clock was set back.
    """

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Pushes the model, or records on the PushedModel artifact why it was not pushed."""
        pushed = artifact_utils.get_single_instance(output_dict["pushed_model"])
        pushed.set_int_custom_property("pushed", 0)
        if not self.CheckBlessing(input_dict):
            return
        served = input_dict.get(_SERVED)
        if served and not json.loads(exec_properties["custom_config"])[_OLDER]:
            reason = _reason_against_push(input_dict["model"][0], served[0])
            if reason:
                _log.warning("not pushed: %s", reason)
                pushed.set_string_custom_property(REASON, reason)
                return
        destination = tfx.proto.PushDestination()
        proto_utils.json_to_proto(exec_properties["push_destination"], destination)
        source = self.GetModelPath(input_dict)
        _link_tree(source, pushed.uri)
        version = _push(source, pathlib.Path(destination.filesystem.base_directory))
        _log.info("pushed as %s", version)
        pushed.set_int_custom_property("pushed", 1)
        pushed.set_string_custom_property("pushed_version", version.name)
        pushed.set_string_custom_property("pushed_destination", str(version))


def _push(source: str, serving: pathlib.Path) -> pathlib.Path:
    """Makes a model the newest version in a folder; returns the version's folder."""
    # Includes versions that were rolled back, whose names start with a dot.
    names = [each.name.split(".") for each in serving.glob("*")]
    versions = [int(part) for name in names for part in name if part.isdecimal()]
    version = serving / str(max(int(time.time()), max(versions, default=0) + 1))
    with published_folder(version) as partial:
        _link_tree(source, partial)
    return version


def _link_tree(source: str, target: str | pathlib.Path) -> None:
    """Links a folder's files into another folder, or copies them where links are not possible."""
    shutil.copytree(source, target, copy_function=_link, dirs_exist_ok=True)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # the target is on another file system, or on one without links
        shutil.copy2(source, target)


class PusherSpec(component_spec.ComponentSpec):
    """TFX's specification, with the served model as a further input."""

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
        served_model: the pushed model that it would replace, if there is one.
        push_destination: folder of the versions.
        push_older: push the model even if the served model has seen newer text.
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


def _reason_against_push(model: types.Artifact, served: types.Artifact) -> str:
    """Why a model must not replace the served model; empty if it may."""
    new, old = max(spans_of(model), default=0), max(spans_of(served), default=0)
    if new >= old:
        return ""
    return (
        f"it has seen text up to span {span_label(new)}, and the served model up to span "
        f"{span_label(old)}; set push_older=True to push it anyway"
    )
