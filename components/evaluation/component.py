"""TFX's Evaluator, which compares with the served model only if both have the same vocabulary."""

import logging
from typing import Any

from tfx import types
from tfx import v1 as tfx
from tfx.components.evaluator import executor
from tfx.dsl.components.base import executor_spec
from tfx.types import artifact_utils

from components.evaluation.served_model import same_vocabulary

_BASELINE = "baseline_model"
_log = logging.getLogger("polyseme.evaluator")


class Executor(executor.Executor):
    """TFX's executor, without the baseline model if that cannot read the examples' ids."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Evaluates the model, and blesses it or not."""
        examples = artifact_utils.get_single_instance(input_dict["examples"])
        for served in input_dict.get(_BASELINE) or ():
            if not same_vocabulary(served.uri, examples.uri):
                input_dict = {
                    name: artifacts for name, artifacts in input_dict.items() if name != _BASELINE
                }
                _log.warning(
                    "the model is not compared with the served model, which has another vocabulary"
                )
        super().Do(input_dict, output_dict, exec_properties)


class Evaluator(tfx.components.Evaluator):
    """TFX's Evaluator with `Executor`."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)
