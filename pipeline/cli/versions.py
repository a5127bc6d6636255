"""The commands for one pipeline's spans and versions: lineage, spans, status, prune, rollback."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, Positional, arg

from pipeline.cli import display
from pipeline.cli.exit_codes import EXIT_OK
from pipeline.cli.lineage_tree import print_lineage
from pipeline.config import PipelineConfig, pipeline_folder
from pipeline.terminal.output import say, say_json

Runs = Annotated[str, arg(metavar="FOLDER", help="Folder that contains one folder per pipeline.")]
Name = Annotated[
    str | None,
    arg(
        metavar="NAME",
        help="Name of the pipeline.",
        help_behavior_hint="(default: the one that ran last)",
    ),
]


def lineage(
    version: Annotated[Positional[str], arg(metavar="[VERSION]")] = "latest",
    name: Name = None,
    runs: Runs = "runs",
    json: FlagCreatePairsOff[bool] = False,
) -> int:
    """Show what a pushed version was made from: text, configuration, code and earlier models.

    Args:
        version: A version of --name, the folder of a pushed version, or `latest`.
        json: Print the lineage as JSON.
    """
    from pipeline.metadata.lineage import find_pipeline, lineage_of
    from pipeline.metadata.queries import RunHistory

    path = pathlib.Path(version).expanduser()
    if path.is_dir():
        folder, version = find_pipeline(path), path.absolute().name
    else:
        folder = pipeline_folder(runs, name)
    chain = lineage_of(RunHistory(folder), version)
    if json:
        say_json(dataclasses.asdict(chain))
    else:
        print_lineage(chain)
    return EXIT_OK


def spans(name: Name = None, runs: Runs = "runs", json: FlagCreatePairsOff[bool] = False) -> int:
    """List the spans of a pipeline's input and the state of each, as new, refused or pushed.

    Args:
        json: Print the spans as JSON.
    """
    folder = pipeline_folder(runs, name)
    config = PipelineConfig.read(folder)
    from pipeline.span_history import span_states  # ML Metadata

    states, following = span_states(folder, config)
    if json:
        say_json({"spans": [*map(dataclasses.asdict, states)], "next": following})
    else:
        display.print_spans(states, following)
    return EXIT_OK


def status(name: Name = None, runs: Runs = "runs", json: FlagCreatePairsOff[bool] = False) -> int:
    """Show what is running, how the last run ended, which version is served, and the spans left.

    Args:
        json: Print the status as JSON.
    """
    from pipeline.status import find_folder, lines, status_of  # ML Metadata

    current = status_of(find_folder(runs, name))
    if json:
        say_json(dataclasses.asdict(current))
    else:
        display.print_lines(lines(current))
    return EXIT_OK


def prune(
    keep: int = 3,
    dry_run: FlagCreatePairsOff[bool] = False,
    name: Name = None,
    runs: Runs = "runs",
) -> int:
    """Remove the files of old runs that the newest pushed versions do not need.

    Args:
        keep: How many of the newest versions to keep.
        dry_run: Only list what would be removed.
    """
    from pipeline import prune as pruning  # ML Metadata

    pruned = pruning.prune(pipeline_folder(runs, name), keep, dry_run=dry_run)
    display.print_pruned(pruned, dry_run=dry_run)
    return EXIT_OK


def rollback(
    version: Annotated[
        Positional[str | None],
        arg(metavar="[VERSION]", help_behavior_hint="(default: the served version)"),
    ] = None,
    undo: FlagCreatePairsOff[bool] = False,
    name: Name = None,
    runs: Runs = "runs",
) -> int:
    """Take a pushed version out of service; the version before it is served again. Later runs
    neither start from the model nor are compared with it. Its files stay.

    Args:
        version: A pushed version.
        undo: Put a version back into service; by default the newest one that was rolled back.
    """
    from pipeline.rollback import roll_back  # ML Metadata

    rolled_back = roll_back(pipeline_folder(runs, name), version, undo=undo)
    say(f"version {rolled_back.version} is {'back in service' if undo else 'rolled back'}")
    say(f"served now: version {rolled_back.served}")
    return EXIT_OK
