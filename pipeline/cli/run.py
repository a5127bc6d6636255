"""The command `run`: its options, and how they are turned into a configuration."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from tyro.conf import FlagCreatePairsOff, Positional, UseAppendAction, arg

from models.errors import ConfigError
from models.training.config import PROFILE
from pipeline.cli import display
from pipeline.cli.config_file import read_config
from pipeline.cli.exit_codes import exit_code
from pipeline.config import PipelineConfig
from pipeline.overrides import apply_overrides
from pipeline.recipes import resolve_recipe
from pipeline.steps import Until
from pipeline.terminal.output import say
from pipeline.terminal.streams import show

if TYPE_CHECKING:
    from pipeline.run import Outcome


def run(
    recipe: Annotated[
        Positional[str | None], arg(metavar="[RECIPE]", help_behavior_hint="")
    ] = None,
    config: Annotated[str | None, arg(metavar="FILE", help_behavior_hint="")] = None,
    input: Annotated[str | None, arg(metavar="PATTERN", help_behavior_hint="")] = None,
    span: Annotated[str, arg(metavar="SPAN")] = "next",
    runs: Annotated[str | None, arg(metavar="FOLDER", help_behavior_hint="(default: runs)")] = None,
    name: Annotated[
        str | None, arg(metavar="NAME", help_behavior_hint="(default: the recipe's name)")
    ] = None,
    set: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="FIELD=VALUE")] = (),
    until: Annotated[
        Until | None, arg(metavar="{validation,examples}", help_behavior_hint="")
    ] = None,
    json: FlagCreatePairsOff[bool] = False,
    profile: FlagCreatePairsOff[bool] = False,
) -> int:
    """Run a recipe's pipeline on one span of text. The same command resumes a run that stopped.

    Args:
        recipe: Name of a recipe; `python -m pipeline recipes` lists them.
        config: Configuration file to use instead of RECIPE: the output of `recipes NAME`, or the
            config.json of a run. The other options take precedence over it.
        input: Required unless --config has it: a file, folder or pattern of .jsonl, .txt, .csv or
            .tsv (each also with .gz or .zst) or .parquet files. {SPAN} in it stands for the number
            or date (2024-05-01 or 2024-05) of a span.
        span: The span to run on: a number or date, `latest`, or `next`, which is the first span
            that was not pushed. `next` skips a span that was refused or not blessed until its
            files or the configuration change.
        runs: Folder that contains one folder per pipeline.
        name: Name of the pipeline and of the served model.
        set: Override one field of the configuration, as training.steps=100; may be repeated.
        until: Stop early: validation stops after the text is checked, examples after the training
            examples are checked. Nothing is trained; a later run takes the steps from the cache.
        json: Print the outcome as one JSON object on standard output, and progress on standard
            error; docs/operate.md lists the keys.
        profile: Record a profile of a few training steps, next to the training log.
    """
    if profile:
        os.environ[PROFILE] = "1"

    def configure() -> PipelineConfig:
        return _configuration(recipe, config, input, runs, name, set)

    def execute(resolved: PipelineConfig) -> Outcome:
        from pipeline.run import run_pipeline

        return run_pipeline(resolved, span, until)

    if json:
        from pipeline.cli.run_json import run_as_json

        text, code = run_as_json(configure, execute)
        show(functools.partial(say, text))
        return code
    outcome = execute(configure())
    show(functools.partial(display.print_outcome, outcome))
    return exit_code(outcome)


def _configuration(
    recipe: str | None,
    file: str | None,
    input: str | None,
    runs: str | None,
    name: str | None,
    overrides: Sequence[str],
) -> PipelineConfig:
    """The configuration of a run: that of a recipe or a file, with the options applied."""
    if (recipe is None) == (file is None):
        raise ConfigError(
            "a run takes a recipe or a configuration file" + (", not both" if recipe else ""),
            where="RECIPE and --config",
            remedy="give one of them; `python -m pipeline recipes` lists the recipes",
        )
    config = read_config(file) if file else resolve_recipe(recipe or "")
    config = apply_overrides(config, overrides)
    input = input or config.ingestion.input
    if not input:
        raise ConfigError(
            "there is no input", where="--input", remedy="give a file, a folder or a pattern"
        )
    config = dataclasses.replace(
        config,
        name=name or config.name,
        runs=str(pathlib.Path(runs or config.runs).expanduser()),
        ingestion=dataclasses.replace(
            config.ingestion, input=str(pathlib.Path(input).expanduser())
        ),
    )
    if not re.fullmatch(r"[A-Za-z0-9_-]+", config.name):
        raise ConfigError(
            f"{config.name!r} is not a valid name",
            where="--name",
            remedy="use only letters, digits, _ and -",
        )
    devices = config.devices
    if devices.strategy == "multi_worker" and not (devices.processes or "TF_CONFIG" in os.environ):
        raise devices.refused(
            "strategy",
            "nothing says which processes train together",
            "set devices.processes to train with several processes on this machine, or set the "
            "environment variable TF_CONFIG",
        )
    return config
