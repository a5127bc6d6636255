"""Cache keys of steps: a hash of the step's code, its parameters and the content of its inputs.

TFX's own cache key holds everything that a step is given: folders, the paths of its inputs, and
when their records were last changed. With it, a moved corpus, a moved pipeline folder or another
interval between checkpoints would run every step again. These keys hold what a step's output
depends on: the version of its code, its parameters except `UNKEYED`, and the identity of its
inputs.
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
"""The step parameter, or entry of a Trainer's custom configuration, that no cache key holds."""
_UNKEYED_PARAMETERS = frozenset({UNKEYED, "push_destination", "quarantine_dir"})
_CUSTOM_CONFIG = "custom_config"
_BLESSINGS = ("ModelBlessing", "InfraBlessing")


@contextlib.contextmanager
def keys_by_content(code: Mapping[str, str]) -> Iterator[None]:
    """Makes TFX look up finished steps by these keys while the block runs.

    Args:
        code: the version of the code of each step, see pipeline/code_versions.py.
    """

    def get_cache_context(
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
            [node.id, _executor_class(executor_spec), code.get(node.id, "")],
            input_artifacts or {},
            parameters or {},
        )
        return context_lib.register_context_if_not_exists(
            metadata_handle, context_lib.CONTEXT_TYPE_EXECUTION_CACHE, key
        )

    original = cache_utils.get_cache_context
    cache_utils.get_cache_context = get_cache_context
    try:
        yield
    finally:
        cache_utils.get_cache_context = original


def cache_key(
    step: Sequence[str], inputs: Mapping[str, Sequence[Any]], parameters: Mapping[str, Any]
) -> str:
    """The cache key of a step: a SHA-256, in hexadecimal, of what its output depends on.

    Args:
        step: the step's name, its executor and the version of its code.
        inputs: its input artifacts by name. An artifact with a fingerprint of its bytes (`CONTENT`)
            is identified by that, a blessing by its verdict, any other by its ML Metadata id.
        parameters: its execution properties by name; those that no key holds are skipped.
    """
    parts = {
        "step": list(step),
        "inputs": {
            name: [_identity(artifact) for artifact in artifacts]
            for name, artifacts in inputs.items()
            if artifacts
        },
        "parameters": {
            name: _keyed_value(name, value)
            for name, value in parameters.items()
            if name not in _UNKEYED_PARAMETERS
        },
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _identity(artifact: Any) -> str | int:
    if artifact.type_name in _BLESSINGS:
        # A model that is evaluated again with the same verdict is not pushed again.
        return f"blessed: {artifact.get_int_custom_property('blessed')}"
    return artifact.get_string_custom_property(CONTENT) or artifact.id


def _executor_class(spec: Any) -> str:
    """The name of a step's executor class, without the Beam flags that its spec also holds."""
    return str(getattr(getattr(spec, "python_executor_spec", spec), "class_path", spec))


def _keyed_value(name: str, value: Any) -> Any:
    """The part of a parameter's value that the cache key holds."""
    if name == _CUSTOM_CONFIG and value:
        entries = json.loads(value) or {}
        return {entry: entries[entry] for entry in entries if entry != UNKEYED}
    return value if isinstance(value, (int, float, str)) or value is None else str(value)
