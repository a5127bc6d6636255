"""The keys under which ML Metadata knows a finished step again.

TFX's own key holds whatever a step was given: folders, the places of its inputs, and the time at
which their records were last changed. So a corpus or a pipeline's folder that was moved, or another
interval between checkpoints, would make every step again. These keys hold what a step's output
depends on: the version of its code, its parameters but `UNKEYED`, and what its inputs are.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tfx.orchestration.portable import cache_utils
from tfx.orchestration.portable.mlmd import context_lib

from components.lineage.properties import CONTENT

UNKEYED = "unkeyed"
"""The parameter of a step, or the entry of a Trainer's custom configuration, that no key holds."""
_UNKEYED = frozenset({UNKEYED, "push_destination", "quarantine_dir"})
_CUSTOM = "custom_config"
_BLESSINGS = ("ModelBlessing", "InfraBlessing")


@contextlib.contextmanager
def keys_by_content(code: Mapping[str, str]) -> Iterator[None]:
    """Has TFX know finished steps by these keys while the block runs.

    Args:
        code: the version of the code of each step, see pipeline/code_versions.py.
    """

    def context(
        metadata_handle: Any,
        pipeline_node: Any,
        pipeline_info: Any,
        executor_spec: Any = None,
        input_artifacts: Mapping[str, Sequence[Any]] | None = None,
        output_artifacts: Mapping[str, Sequence[Any]] | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> Any:
        node = pipeline_node.node_info
        key = cache_key(
            [node.id, _executor(executor_spec), code.get(node.id, "")],
            input_artifacts or {},
            parameters or {},
        )
        return context_lib.register_context_if_not_exists(
            metadata_handle, context_lib.CONTEXT_TYPE_EXECUTION_CACHE, key
        )

    original = cache_utils.get_cache_context
    cache_utils.get_cache_context = context
    try:
        yield
    finally:
        cache_utils.get_cache_context = original


def cache_key(
    step: Sequence[str], inputs: Mapping[str, Sequence[Any]], parameters: Mapping[str, Any]
) -> str:
    """A SHA-256, in hexadecimal, of what a step's output depends on.

    Args:
        step: what the step is, and the version of its code.
        inputs: its artifacts by name. One that has a fingerprint of its bytes (`CONTENT`) is known
            by that, a blessing by what it says, any other by its number in ML Metadata.
        parameters: by name, without what is no part of the key.
    """
    parts = {
        "step": list(step),
        "inputs": {
            name: [_identity(artifact) for artifact in artifacts]
            for name, artifacts in inputs.items()
            if artifacts
        },
        "parameters": {
            name: _keyed(name, value) for name, value in parameters.items() if name not in _UNKEYED
        },
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _identity(artifact: Any) -> str | int:
    if artifact.type_name in _BLESSINGS:
        # Judged once more with the same result, a model is not pushed once more.
        return f"blessed: {artifact.get_int_custom_property('blessed')}"
    return artifact.get_string_custom_property(CONTENT) or artifact.id


def _executor(spec: Any) -> str:
    """The name of the class that a step runs, without the flags of Beam that its spec holds too."""
    return str(getattr(getattr(spec, "python_executor_spec", spec), "class_path", spec))


def _keyed(name: str, value: Any) -> Any:
    """A parameter's part of the key."""
    if name == _CUSTOM and value:
        entries = json.loads(value) or {}
        return {entry: entries[entry] for entry in entries if entry != UNKEYED}
    return value if isinstance(value, (int, float, str)) or value is None else str(value)
