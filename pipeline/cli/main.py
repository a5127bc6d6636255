"""The command line. Parses and checks everything before TensorFlow is imported."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import tyro
from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes, Positional

from models.errors import ConfigError, PolysemeError
from pipeline.cli import display
from pipeline.cli.exit_codes import EXIT_INTERRUPTED, EXIT_OK, error_code
from pipeline.cli.run import run
from pipeline.cli.versions import Name, Runs, lineage, prune, rollback, spans, status
from pipeline.config import pipeline_folder
from pipeline.predict import Generation, Task
from pipeline.recipes import RECIPES, resolve_recipe
from pipeline.spans import NothingNew
from pipeline.terminal.failures import shown
from pipeline.terminal.output import guard, say, say_json
from pipeline.terminal.streams import carried_out, check_encoding, show, standard_streams

_DESCRIPTION = """Contextual language models, from raw text to a served model.

Exit codes: 0 ok, 1 failed, 2 usage or configuration, 3 data refused, 4 not blessed, 5 nothing
new (no span is left for `next`), 75 give the same command again later: training received SIGTERM
and saved a checkpoint, or another process is at work there."""


def recipes(name: Positional[str | None] = None) -> int:
    """List the recipes, or print one recipe's resolved configuration as JSON.

    Args:
        name: A recipe.
    """
    if name:
        say(resolve_recipe(name).to_json().rstrip("\n"))
        return EXIT_OK
    for key, recipe in RECIPES.items():
        display.print_recipe(key, inspect.cleandoc(recipe.__doc__ or ""))
    return EXIT_OK


def corpus(name: Positional[str], folder: str = "corpora") -> int:
    """Fetch a sample corpus and write it as JSON Lines by span.

    Args:
        name: The corpus: sotu.
        folder: Where corpora are written.
    """
    from pipeline.corpus import fetch

    display.print_corpus(fetch(name, folder))
    return EXIT_OK


def predict(
    task: Positional[Task],
    texts: Positional[tuple[str, ...]] = (),
    name: Name = None,
    runs: Runs = "runs",
    model: str | None = None,
    json: FlagCreatePairsOff[bool] = False,
    generation: OmitArgPrefixes[Generation] = Generation(),  # noqa: B008  frozen
) -> int:
    """Ask the newest pushed model. Every family answers embed; BERT answers fill-mask and
    next-sentence (pairs of texts), GPT score and generate. Standard error says which model it was.

    Args:
        task: What to ask.
        texts: Raw texts; lines of standard input if none are given.
        model: A SavedModel's folder, instead of the newest version of --name.
        json: Print a JSON list with everything the model answered, and which model it was.
        generation: How generate goes on; no other task looks at it.
    """
    from pipeline import predict as asking
    from pipeline.answering_model import describe
    from pipeline.cli.given_texts import given_texts
    from pipeline.terminal.console import quiet_errors, quiet_imports

    asking.check_generation(task, generation)
    given = given_texts(texts, sys.stdin.buffer if sys.stdin else None)
    asking.check_texts(task, given)
    folder = asking.model_folder(model, runs, name)
    quiet_imports()
    with quiet_errors():
        answers = asking.predict(folder, task, given, generation)
    answering = describe(folder)
    if json:
        told = [answer | {"model": dataclasses.asdict(answering)} for answer in answers]
        say_json(asking.finite(told))
    else:
        display.print_model(answering)
        display.print_answers(task, answers)
    asking.check_answers(task, answers)
    return EXIT_OK


def report(name: Name = None, runs: Runs = "runs") -> int:
    """Write the report of the last run anew, and print where it is. That of a run that is still at
    work says so, and is a file of its own: report.running.html."""
    folder = pipeline_folder(runs, name)
    from pipeline.terminal.console import quiet_errors, quiet_imports

    quiet_imports()
    from pipeline.reporting import last_run, report_run

    with quiet_errors():
        config, history, summary, at_work = last_run(folder)
        path = report_run(config, history, summary, at_work=at_work)
    if at_work:
        display.print_at_work(summary.run_id)
    say(path)
    return EXIT_OK


def compare(names: Positional[tuple[str, ...]], runs: Runs = "runs") -> int:
    """Write a page that shows the last runs of pipelines side by side, and print where it is.

    Args:
        names: Names of two or more pipelines.
    """
    if len(names) < 2:
        raise ConfigError("a comparison needs two pipelines", remedy="name them")
    folders = [pipeline_folder(runs, name) for name in names]
    from pipeline.terminal.console import quiet_errors, quiet_imports

    quiet_imports()
    from pipeline.reporting import compare_runs

    with quiet_errors():
        path = compare_runs(folders)
    say(path)
    return EXIT_OK


def examples(
    folder: Positional[str | None] = None,
    split: Literal["train", "eval", "test"] = "train",
    show: int = 3,
    limit: int = 10_000,
    name: Name = None,
    runs: Runs = "runs",
) -> int:
    """Show training examples in words, and how long and how full they are.

    Args:
        folder: An ExampleBuilder artifact's folder; the newest one of --name if not given.
        split: Which examples.
        show: How many are shown in words.
        limit: How many are counted, at most.
    """
    from pipeline import inspection
    from pipeline.metadata.queries import RunHistory
    from pipeline.terminal.console import quiet_errors, quiet_imports

    if folder:
        path = pathlib.Path(folder).expanduser()
    else:
        path = inspection.newest_examples(RunHistory(pipeline_folder(runs, name)))
    quiet_imports()
    with quiet_errors():
        found = inspection.inspect(path, split, show=show, limit=limit)
    display.print_examples(found)
    return EXIT_OK


def worker(
    name: Positional[str], runs: Runs = "runs", once: FlagCreatePairsOff[bool] = False
) -> int:
    """Train together with the machine that runs the pipeline, as TF_CONFIG says; see
    docs/operations.md.

    Args:
        name: Name of the pipeline.
        once: End with the first training that comes to its end; each of `training.seeds` is one.
    """
    from pipeline.worker import work

    work(pathlib.Path(runs).expanduser().absolute() / name, once=once)
    return EXIT_OK


_COMMANDS: Mapping[str, Callable[..., int]] = {
    "run": run,
    "recipes": recipes,
    "corpus": corpus,
    "predict": predict,
    "report": report,
    "compare": compare,
    "lineage": lineage,
    "spans": spans,
    "status": status,
    "prune": prune,
    "rollback": rollback,
    "examples": examples,
    "worker": worker,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Parses a command and carries it out.

    Args:
        arguments: without the program's name; those of the process if None.

    Returns:
        The exit code. A usage error leaves by SystemExit with code 2, from the parser.
    """
    given = sys.argv[1:] if arguments is None else arguments
    guard()
    with standard_streams():
        try:
            check_encoding(given)
            return carried_out(_command(given))
        except NothingNew as nothing:
            show(functools.partial(display.print_nothing_new, nothing))
            return error_code(nothing)
        except BrokenPipeError:  # whoever read the output has seen enough, as `head` has
            return EXIT_OK
        except Exception as error:
            told = shown(error)
            if _wants_an_object(given):
                _print_object(told)
            show(functools.partial(display.print_error, told))
            return error_code(told)
        except KeyboardInterrupt:
            sys.stderr.write("interrupted; give the same command again to go on\n")
            return EXIT_INTERRUPTED


def _command(given: Sequence[str]) -> Callable[[], int]:
    """The command that was given, parsed."""
    try:
        return tyro.extras.subcommand_cli_from_dict(
            {name: _parsed(function) for name, function in _COMMANDS.items()},
            prog="python -m pipeline",
            description=_DESCRIPTION,
            args=given,
        )
    except SystemExit as left:
        if left.code and _wants_an_object(given):
            _print_object(
                ConfigError(
                    "the command line cannot be parsed",
                    where="standard error names the argument",
                    remedy="python -m pipeline run --help",
                )
            )
        raise


def _wants_an_object(given: Sequence[str]) -> bool:
    """Whether it is `run --json`, which prints one whatever happens."""
    return given[:1] == ["run"] and "--json" in given


def _print_object(error: PolysemeError) -> None:
    from pipeline.cli.run_json import error_object

    show(functools.partial(say, error_object(error)))


def _parsed(function: Callable[..., int]) -> Callable[..., Callable[[], int]]:
    """The function, to be called once parsing is over: its errors are not the parser's."""

    @functools.wraps(function)
    def parse(*positional: object, **named: object) -> Callable[[], int]:
        return functools.partial(function, *positional, **named)

    return parse
