"""The commands about the spans and the versions of one pipeline."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, Positional, arg

from pipeline.cli import display
from pipeline.cli.exit_codes import EXIT_OK
from pipeline.config import PipelineConfig, pipeline_folder
from pipeline.terminal.output import say, say_json

Runs = Annotated[str, arg(help="Folder that holds a folder per pipeline.")]
Name = Annotated[str | None, arg(help="Name of the pipeline; the one that ran last if not given.")]


def lineage(
    version: Positional[str] = "latest",
    name: Name = None,
    runs: Runs = "runs",
    json: FlagCreatePairsOff[bool] = False,
) -> int:
    """Show what a pushed version was made of, back to the text, the configuration and the code.

    Args:
        version: A pushed version's folder, or a version of --name, or `latest`.
        json: Print it as JSON.
    """
    from pipeline.metadata.lineage import find_pipeline, lineage_of
    from pipeline.metadata.queries import RunHistory

    path = pathlib.Path(version).expanduser()
    if path.is_dir():
        folder, version = find_pipeline(path), path.absolute().name
    else:
        folder = pipeline_folder(runs, name)
    found = lineage_of(RunHistory(folder), version)
    if json:
        say_json(dataclasses.asdict(found))
    else:
        display.print_lineage(found)
    return EXIT_OK


def spans(name: Name = None, runs: Runs = "runs", json: FlagCreatePairsOff[bool] = False) -> int:
    """List the spans of a pipeline's input: new, failed, refused, not blessed or pushed.

    Args:
        json: Print them as JSON.
    """
    folder = pipeline_folder(runs, name)
    config = PipelineConfig.read(folder)
    from pipeline.span_history import span_states  # ML Metadata

    states, following = span_states(folder, config)
    if json:
        found = {"spans": [*map(dataclasses.asdict, states)], "next": following}
        say_json(found)
    else:
        display.print_spans(states, following)
    return EXIT_OK


def status(name: Name = None, runs: Runs = "runs", json: FlagCreatePairsOff[bool] = False) -> int:
    """Say what is running, how the last run ended, which version is served and what spans are left.

    Args:
        json: Print it as JSON.
    """
    from pipeline.status import find_folder, lines, status_of  # ML Metadata

    found = status_of(find_folder(runs, name))
    if json:
        say_json(dataclasses.asdict(found))
    else:
        display.print_lines(lines(found))
    return EXIT_OK


def prune(
    keep: int = 3,
    dry_run: FlagCreatePairsOff[bool] = False,
    name: Name = None,
    runs: Runs = "runs",
) -> int:
    """Remove the files of old runs that the newest pushed versions do not need.

    Args:
        keep: How many of the newest versions stay.
        dry_run: Only say what would be removed.
    """
    from pipeline import prune as pruning  # ML Metadata

    found = pruning.prune(pipeline_folder(runs, name), keep, dry_run=dry_run)
    display.print_pruned(found, dry_run=dry_run)
    return EXIT_OK


def rollback(
    version: Positional[str | None] = None,
    undo: FlagCreatePairsOff[bool] = False,
    name: Name = None,
    runs: Runs = "runs",
) -> int:
    """Take a pushed version out of service; the one before is served again.

    Later runs neither start from its model nor are compared with it. Its files stay.

    Args:
        version: A pushed version; the one that is served if not given.
        undo: Put it back; the newest one that was rolled back if none is given.
    """
    from pipeline.rollback import roll_back  # ML Metadata

    found = roll_back(pipeline_folder(runs, name), version, undo=undo)
    say(f"version {found.version} {'is put back' if undo else 'is rolled back'}")
    say(f"served now: version {found.served}")
    return EXIT_OK
