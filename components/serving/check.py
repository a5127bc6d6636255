"""ServingCheck: checks before a push that TF Serving could load the model and answer requests."""

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

from components.layout import EVALUATE_SIGNATURE, SERVING_CHECK_FILE, TEST
from components.serving import probe
from models.errors import ServingCheckFailed

_log = logging.getLogger("polyseme.serving_check")

_TIMEOUT_SECONDS = 900
_REMEDY = "Nothing was pushed. Correct the signature and run again; finished steps are cached."


@tfx.dsl.components.component
def ServingCheck(
    model: tfx.dsl.components.InputArtifact[standard_artifacts.Model],
    blessing: tfx.dsl.components.OutputArtifact[standard_artifacts.InfraBlessing],
) -> None:
    """Blesses a model that can be served with only tensorflow and tensorflow_text.

    TF Serving must have every op of every graph. Every warm-up request must be answered with finite
    numbers, batch dimension first, as the model answered when it was exported. TFX's Pusher reads
    the blessing as it would read InfraValidator's.

    Raises:
        ServingCheckFailed: the error names the signature and the op or the output.
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
        Seconds that each signature took for its warm-up requests, including the first call.

    Raises:
        ServingCheckFailed: see `ServingCheck`.
    """
    result = _run_probe(folder)
    if result["problems"]:
        lines = [
            f"  signature {each['signature']}: {each['problem']}"
            if each["signature"]
            # an op outside of all signatures, or an import
            else f"  the model {each['problem']}"
            for each in result["problems"]
        ]
        message = "\n".join(["The exported model could not be served:", *lines])
        raise ServingCheckFailed(message, where=str(folder), remedy=_REMEDY)
    seconds: dict[str, float] = result["seconds"]
    _log.info(
        "serving check passed: %s",
        ", ".join(f"{name} {taken:.2f} s" for name, taken in sorted(seconds.items())),
    )
    return seconds


def _run_probe(folder: str | pathlib.Path) -> dict[str, Any]:
    """The JSON that the probe prints.

    Raises:
        ServingCheckFailed: the probe takes too long, or ends without printing it.
    """
    environment = {
        **os.environ,
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "CUDA_VISIBLE_DEVICES": "-1",  # the Trainer's process still holds the GPU's memory
    }
    try:
        process = subprocess.run(
            [sys.executable, "-I", probe.__file__, str(folder)],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ServingCheckFailed(
            f"The exported model did not load and answer within {_TIMEOUT_SECONDS} seconds.",
            where=str(folder),
            remedy=_REMEDY,
        ) from error
    lines = process.stdout.strip().splitlines()
    if process.returncode != 0 or not lines:
        errors = process.stderr.strip().splitlines()[-3:]
        raise ServingCheckFailed(
            "A fresh process could not load the exported model (exit code "
            f"{process.returncode}): {' '.join(errors)}",
            where=str(folder),
            remedy=_REMEDY,
        )
    result: dict[str, Any] = json.loads(lines[-1])
    return result


def docker_available() -> bool:
    """Whether TFX's InfraValidator could start TF Serving in a container on this machine."""
    try:
        import docker

        docker.from_env(timeout=5).ping()
    except Exception:  # no package, no daemon or no permission
        return False
    return True


def serving_gate(
    model: BaseChannel, examples: BaseChannel, *, image: str
) -> tuple[list[BaseNode], BaseChannel]:
    """The nodes that must bless a model before it is pushed.

    Always `ServingCheck`; with an image also TFX's InfraValidator, which starts TF Serving and
    sends examples to the signature `evaluate`.

    Args:
        model: the Trainer's `model`.
        examples: the ExampleBuilder's `examples`.
        image: TF Serving's image with its digest; empty to start none.

    Returns:
        The nodes, and the channel for the Pusher's `infra_blessing`.
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
            tensorflow_serving=proto.TensorFlowServingRequestSpec(
                signature_names=[EVALUATE_SIGNATURE]
            ),
            split_name=TEST,
            num_examples=3,
        ),
        validation_spec=proto.ValidationSpec(max_loading_time_seconds=300, num_tries=2),
    )
    validator.add_upstream_node(check)
    return [check, validator], validator.outputs["blessing"]
