"""A Beam runner that Polyseme does not recognize as a DirectRunner."""

from __future__ import annotations

from typing import Any

from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.runner import PipelineRunner

PATH = f"{__name__}.AnotherRunner"
"""The value of `--runner` that selects it."""


class AnotherRunner(PipelineRunner):
    """Runs pipelines on Beam's in-memory runner, without being of its class."""

    def is_fnapi_compatible(self) -> bool:
        return True

    def run_pipeline(self, pipeline: Any, options: Any) -> Any:
        return FnApiRunner().run_pipeline(pipeline, options)
