"""Executes a pipeline's graph: the local runner, with corrections to what TFX does by default."""

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
    """Runs the components in this process, one after the other.

    Args:
        pipeline: the graph, see pipeline/dag.py.
        run_id: name of the run in ML Metadata.
        steps: names of the components to run, including all that these need; None runs all.

    Raises:
        Exception: what a component or a resolver raised; see pipeline/terminal/failures.py. Nothing
            is raised if the model is not blessed: ML Metadata records that.
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
    sys.argv = arguments[:1]  # TFX passes them on, and Beam would parse some as its own flags
    try:
        with _sync_before_records(), _stop_on_resolver_errors():
            LocalDagRunner().run_with_ir(compiled)
    finally:
        sys.argv = arguments


@contextlib.contextmanager
def _sync_before_records() -> Iterator[None]:
    """Makes TFX record a step as complete only when its files are on the disk, not just in memory.

    ML Metadata writes its database to the disk at once. Without this, a power cut could leave a
    step that is recorded as complete and whose files are empty.
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
def _stop_on_resolver_errors() -> Iterator[None]:
    """Makes the error of a resolver end the run.

    TFX only records the error and runs the later steps as if the resolver had found nothing;
    training would start with new weights.
    """
    from tfx.orchestration.portable import execution_publish_utils
    from tfx.orchestration.portable.input_resolution.exceptions import InputResolutionError

    original = execution_publish_utils.publish_failed_execution

    def publish(*args: Any, **named: Any) -> Any:
        original(*args, **named)
        error = sys.exc_info()[1]
        if not isinstance(error, InputResolutionError):
            return  # the error of a component is raised anyway
        cause: BaseException | None = error
        while cause and not isinstance(cause, PolysemeError):
            cause = cause.__cause__ or cause.__context__
        raise cause or error

    execution_publish_utils.publish_failed_execution = publish
    try:
        yield
    finally:
        execution_publish_utils.publish_failed_execution = original
