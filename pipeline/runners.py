"""Where a pipeline runs. Each runner imports its orchestrator when it is used."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from models.errors import PolysemeError

if TYPE_CHECKING:
    from tfx.orchestration.pipeline import Pipeline


def run_locally(pipeline: Pipeline, run_id: str, steps: Collection[str] | None = None) -> None:
    """Runs every component in this process, one after the other.

    Args:
        pipeline: see pipeline/dag.py.
        run_id: name of the run in ML Metadata.
        steps: the components to run, and whatever these need; None: all.

    Raises:
        Exception: whatever a component or a resolver raised; see pipeline/terminal/failures.py.
            Nothing is raised when a model is not blessed: read ML Metadata afterwards.
    """
    from tfx.dsl.compiler import compiler, constants
    from tfx.orchestration.local.local_dag_runner import LocalDagRunner
    from tfx.orchestration.portable import runtime_parameter_utils

    from models.memory import keep_freed_memory

    keep_freed_memory()
    compiled = compiler.Compiler().compile(pipeline)
    runtime_parameter_utils.substitute_runtime_parameter(
        compiled, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: run_id}
    )
    for node in compiled.nodes:
        if steps is not None and node.pipeline_node.node_info.id not in steps:
            node.pipeline_node.execution_options.skip.SetInParent()
    arguments = sys.argv
    sys.argv = arguments[:1]  # TFX hands them to its executors, and Beam would take some as its own
    try:
        with _bytes_before_records(), _errors_of_resolvers():
            LocalDagRunner().run_with_ir(compiled)
    finally:
        sys.argv = arguments


@contextlib.contextmanager
def _bytes_before_records() -> Iterator[None]:
    """Has TFX record a step as done once its files are on the disk, and not only in memory.

    ML Metadata's database is written through. Without this a power cut could leave a step that is
    done and whose files are empty.
    """
    from tfx.orchestration.portable import execution_publish_utils

    original = execution_publish_utils.publish_succeeded_execution

    def publish(*args: Any, **named: Any) -> Any:
        os.sync()
        return original(*args, **named)

    execution_publish_utils.publish_succeeded_execution = publish
    try:
        yield
    finally:
        execution_publish_utils.publish_succeeded_execution = original


@contextlib.contextmanager
def _errors_of_resolvers() -> Iterator[None]:
    """Has a resolver that refuses end the run.

    TFX only records the error and runs the later steps as if the resolver had found nothing, so
    training would start with new weights.
    """
    from tfx.orchestration.portable import execution_publish_utils
    from tfx.orchestration.portable.input_resolution.exceptions import InputResolutionError

    original = execution_publish_utils.publish_failed_execution

    def publish(*args: Any, **named: Any) -> Any:
        original(*args, **named)
        error = sys.exc_info()[1]
        if not isinstance(error, InputResolutionError):
            return  # of a component: it is raised anyway
        cause: BaseException | None = error
        while cause and not isinstance(cause, PolysemeError):
            cause = cause.__cause__ or cause.__context__
        raise cause or error

    execution_publish_utils.publish_failed_execution = publish
    try:
        yield
    finally:
        execution_publish_utils.publish_failed_execution = original
