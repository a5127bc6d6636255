"""A runner that Polyseme takes for none of the DirectRunners: `--runner=` its path."""

from __future__ import annotations

from typing import Any

from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.runner import PipelineRunner

PATH = f"{__name__}.AnotherRunner"
"""What `--runner` takes."""


class AnotherRunner(PipelineRunner):
    """Does its work as Beam's in-memory runner does, and is not one by its class."""

    def is_fnapi_compatible(self) -> bool:
        return True

    def run_pipeline(self, pipeline: Any, options: Any) -> Any:
        return FnApiRunner().run_pipeline(pipeline, options)
