"""The command `run`: its options, and the configuration that they make."""

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
    recipe: Positional[str | None] = None,
    config: str | None = None,
    input: str | None = None,
    span: str = "next",
    runs: str | None = None,
    name: str | None = None,
    set: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="FIELD=VALUE")] = (),
    until: Until | None = None,
    json: FlagCreatePairsOff[bool] = False,
    profile: FlagCreatePairsOff[bool] = False,
) -> int:
    """Run a recipe's pipeline on one span of text. Given again, it goes on where it stopped.

    Args:
        recipe: Name of a recipe; `python -m pipeline recipes` lists them.
        config: A file with a configuration, in place of RECIPE: what `recipes NAME` prints, or the
            config.json of a run. The other options count before what it says.
        input: Required, unless --config has it: file, folder or pattern of .jsonl, .txt, .csv, .tsv
            (.gz or .zst after it) or .parquet; {SPAN} in it stands for a number, or a date as
            2024-05-01 or 2024-05.
        span: A span, `latest`, or `next`: the first one that was not pushed yet. One that was
            refused or not blessed is passed over until its files or the configuration change.
        runs: Folder that holds a folder per pipeline; "runs" if not given.
        name: Name of the pipeline and of the served model; the recipe's name if not given.
        set: Override a field of the configuration, as training.steps=100; may be repeated.
        until: End after validation, the checks of the text, or after examples, the checks of the
            training examples; nothing is trained, and a later run takes the steps from the cache.
        json: Print how the run ended as one JSON object on standard output, and progress on
            standard error; docs/operations.md has its keys.
        profile: Leave a trace of some training steps beside the training's figures.
    """
    if profile:
        os.environ[PROFILE] = "1"

    def settings() -> PipelineConfig:
        return _settings(recipe, config, input, runs, name, set)

    def work(resolved: PipelineConfig) -> Outcome:
        from pipeline.run import run_pipeline

        return run_pipeline(resolved, span, until)

    if json:
        from pipeline.cli.run_json import run_as_json

        text, code = run_as_json(settings, work)
        show(functools.partial(say, text))
        return code
    outcome = work(settings())
    show(functools.partial(display.print_outcome, outcome))
    return exit_code(outcome)


def _settings(
    recipe: str | None,
    file: str | None,
    input: str | None,
    runs: str | None,
    name: str | None,
    pairs: Sequence[str],
) -> PipelineConfig:
    """The configuration of a run: a recipe's or a file's, with what the command line sets."""
    if (recipe is None) == (file is None):
        raise ConfigError(
            "a run takes a recipe or a configuration" + (", not both" if recipe else ""),
            where="RECIPE and --config",
            remedy="give one of them; `python -m pipeline recipes` lists the recipes",
        )
    settings = read_config(file) if file else resolve_recipe(recipe or "")
    settings = apply_overrides(settings, pairs)
    input = input or settings.ingestion.input
    if not input:
        raise ConfigError(
            "there is no input", where="--input", remedy="give a file, a folder or a pattern"
        )
    settings = dataclasses.replace(
        settings,
        name=name or settings.name,
        runs=str(pathlib.Path(runs or settings.runs).expanduser()),
        ingestion=dataclasses.replace(
            settings.ingestion, input=str(pathlib.Path(input).expanduser())
        ),
    )
    if not re.fullmatch(r"[A-Za-z0-9_-]+", settings.name):
        raise ConfigError(
            f"{settings.name!r} cannot be a name", remedy="use letters, digits, _ and - only"
        )
    devices = settings.devices
    if devices.strategy == "multi_worker" and not (devices.processes or "TF_CONFIG" in os.environ):
        raise devices.refused(
            "strategy",
            "nothing tells which processes train together",
            "set devices.processes for processes of this machine, or the variable TF_CONFIG",
        )
    return settings
