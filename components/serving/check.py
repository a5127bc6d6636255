"""The last gate before a push: would TF Serving load this model and answer from it?"""

import json
import logging
import os
import pathlib
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from tfx import v1 as tfx
from tfx.dsl.components.base.base_node import BaseNode
from tfx.types import standard_artifacts
from tfx.types.channel import BaseChannel
from tfx.utils import path_utils

from components.layout import SERVING_CHECK_FILE, TEST
from components.serving import probe as serving_probe
from models.errors import ServingCheckFailed

_log = logging.getLogger("polyseme.serving_check")

_TIMEOUT_SECONDS = 900
_REMEDY = "Nothing was pushed. Mend the signature and train again; finished steps are not repeated."


@tfx.dsl.components.component
def ServingCheck(
    model: tfx.dsl.components.InputArtifact[standard_artifacts.Model],
    blessing: tfx.dsl.components.OutputArtifact[standard_artifacts.InfraBlessing],
) -> None:
    """Blesses a model that a process with only tensorflow and tensorflow_text can serve.

    Every op in every graph must be one that TF Serving has; every warmup request must be answered
    with finite numbers, the batch dimension first, as the model answered where it was exported.
    The blessing is what TFX's Pusher reads, as if InfraValidator had written it.

    Raises:
        ServingCheckFailed: names the signature and the op or the output.
    """
    seconds = check_serving(path_utils.serving_model_path(model.uri))
    folder = pathlib.Path(blessing.uri)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SERVING_CHECK_FILE).write_text(json.dumps({"seconds": seconds}), encoding="utf-8")
    (folder / "INFRA_BLESSED").touch()
    blessing.set_int_custom_property("blessed", 1)


def check_serving(folder: str | pathlib.Path) -> Mapping[str, float]:
    """Runs components/serving/probe.py on a SavedModel in a fresh process, on the CPU.

    Returns:
        Seconds that each signature took for its warmup requests, the first call included.

    Raises:
        ServingCheckFailed: as `ServingCheck`.
    """
    environment = {
        **os.environ,
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "CUDA_VISIBLE_DEVICES": "-1",  # the trainer's process still holds the GPU's memory
    }
    command = [sys.executable, "-I", serving_probe.__file__, str(folder)]
    try:
        process = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ServingCheckFailed(
            f"The exported model did not load and answer in {_TIMEOUT_SECONDS} seconds.",
            where=str(folder),
            remedy=_REMEDY,
        ) from error
    lines = process.stdout.strip().splitlines()
    if process.returncode != 0 or not lines:
        last = process.stderr.strip().splitlines()[-3:]
        raise ServingCheckFailed(
            f"A fresh process could not load the exported model (exit {process.returncode}): "
            + " ".join(last),
            where=str(folder),
            remedy=_REMEDY,
        )
    result: dict[str, Any] = json.loads(lines[-1])
    if result["problems"]:
        raise ServingCheckFailed(
            "The exported model would not serve:\n"
            + "\n".join(
                f"  signature {p['signature']}: {p['problem']}"
                if p["signature"]
                # an op outside every signature, or an import: the model as a whole
                else f"  the model {p['problem']}"
                for p in result["problems"]
            ),
            where=str(folder),
            remedy=_REMEDY,
        )
    _log.info(
        "serving check passed: %s",
        ", ".join(f"{name} {taken:.2f} s" for name, taken in sorted(result["seconds"].items())),
    )
    return result["seconds"]


def docker_available() -> bool:
    """Whether TFX's InfraValidator could start TF Serving in a container on this machine."""
    try:
        import docker

        docker.from_env(timeout=5).ping()
    except Exception:  # no package, no daemon, no permission: all mean no
        return False
    return True


def serving_gate(
    model: BaseChannel, examples: BaseChannel, *, image: str
) -> tuple[list[BaseNode], BaseChannel]:
    """The nodes that must bless a model's serving before a push.

    `ServingCheck` always; with an image then TFX's InfraValidator, which starts TF Serving itself
    and sends it training examples through `evaluate`.

    Args:
        model: the Trainer's `model`.
        examples: the ExampleBuilder's `examples`.
        image: TF Serving's image with its digest; empty where none is to be started.

    Returns:
        The nodes, and the channel for Pusher's `infra_blessing`.
    """
    check = ServingCheck(model=model)
    if not image:
        return [check], check.outputs["blessing"]
    name, _, digest = image.partition("@")
    proto = tfx.proto
    validator = tfx.components.InfraValidator(
        model=model,
        examples=examples,
        serving_spec=proto.ServingSpec(
            tensorflow_serving=proto.TensorFlowServing(image_name=name, digests=[digest]),
            local_docker=proto.LocalDockerConfig(),
        ),
        request_spec=proto.RequestSpec(
            tensorflow_serving=proto.TensorFlowServingRequestSpec(signature_names=["evaluate"]),
            split_name=TEST,
            num_examples=3,
        ),
        validation_spec=proto.ValidationSpec(max_loading_time_seconds=300, num_tries=2),
    )
    validator.add_upstream_node(check)
    return [check, validator], validator.outputs["blessing"]
