"""The pipeline as a graph of components, independent of where and when it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tfx import v1 as tfx
from tfx.dsl.placeholder.placeholder import Placeholder, environment_variable

from components import beam_flags
from components.config import BeamConfig
from pipeline.config import PipelineConfig
from pipeline.data_phases import RunInputs, clean, find_earlier_models, ingest, make_examples
from pipeline.layout import ARTIFACTS
from pipeline.metadata.store import DATABASE
from pipeline.model_phases import evaluate_and_push, train
from pipeline.provenance import Provenance


def create_pretraining_pipeline(
    config: PipelineConfig,
    provenance: Provenance,
    files: Sequence[str],
    code: Mapping[str, str],
    *,
    docker: bool = False,
) -> tfx.dsl.Pipeline:
    """The graph from a span of raw text to a blessed and pushed model.

    Args:
        config: the run's configuration.
        provenance: the text, the span and the code; recorded in the model.
        files: the span's files.
        code: versions of the code by step, see pipeline/code_versions.py.
        docker: whether a container can be started here, for `config.serving_image`.
    """
    run = RunInputs(config, provenance, files, code, docker)
    ingestion = ingest(run)
    cleaning = clean(run, ingestion)
    earlier = find_earlier_models(run)
    made = make_examples(run, cleaning, earlier)
    training = train(run, made, earlier)
    components = [
        *ingestion.components,
        *cleaning.components,
        *earlier.components,
        *made.components,
        *training.components,
        *evaluate_and_push(run, made, training, earlier),
    ]
    flags_by_step = beam_flags.flags_by_step(config.beam.step_args)
    for component in components:
        if component.id in flags_by_step:
            component.with_beam_pipeline_args(map(_with_variables, flags_by_step[component.id]))
    return tfx.dsl.Pipeline(
        pipeline_name=config.name,
        pipeline_root=str(config.folder / ARTIFACTS),
        components=components,
        enable_cache=True,
        metadata_connection_config=(
            tfx.orchestration.metadata.sqlite_metadata_connection_config(
                str(config.folder / DATABASE)
            )
        ),
        beam_pipeline_args=beam_arguments(config.beam),
    )


def beam_arguments(config: BeamConfig) -> list[str | Placeholder]:
    """The flags of every step on Beam; a step's own flags follow them."""
    arguments = [f"--runner={config.runner}"]
    if config.runner == "DirectRunner":
        mode = "in_memory" if config.workers == 1 else "multi_processing"
        arguments += [
            f"--direct_running_mode={mode}",
            f"--direct_num_workers={config.workers}",
            # The workers are processes of this machine and import the installed packages, so no
            # image is ever started. But where no flag names the workers' software, TFX packs a
            # copy of itself (52 MB) into the temporary folder at every step on Beam.
            "--sdk_container_image=none",
        ]
    return [*arguments, *map(_with_variables, config.args)]


def _with_variables(flag: str) -> str | Placeholder:
    """A flag as a placeholder: the environment variables in it are read when the step starts."""
    if not beam_flags.variables([flag]):
        return flag
    result: str | Placeholder = ""
    for text, variable in beam_flags.split_at_variables(flag):
        result += text
        if variable:
            result += environment_variable(variable)
    return result
