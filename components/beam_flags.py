"""Beam flags in the settings: flags of single steps, and environment variables for secrets.

The configuration is written to `config.json` and into every model, and TFX logs the flags of each
step. A flag that needs a secret therefore names an environment variable, as in
`--s3_secret_access_key=${S3_KEY}`, and the value is inserted when the step starts. This module does
not import Beam.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

STEPS = (
    "TextExampleGen",
    "StatisticsGen",
    "TextCleaner",
    "VocabularyTrainer",
    "ExampleBuilder",
    "Evaluator",
)
"""The steps that run on Beam."""
RUNNERS = (
    "DirectRunner",
    "FlinkRunner",
    "SparkRunner",
    "DataflowRunner",
    "PortableRunner",
    "PrismRunner",
)
"""Runners by Beam's names. Beam also accepts the full name of any class and imports it; a
configuration must not choose which code is run, so such names are refused."""

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SENSITIVE = (
    r"(?:passw(?:or)?d|passphrase|secret|token|credential|private_?key|access_?key(?!_id)|"
    r"account_?key|api_?key|(?<!kms)[_-]key\b|connection_?string)[\w-]*"
)
_SECRETS = (
    # `--password=abc`, and `"PASSWORD": "abc"` in a flag that holds JSON
    re.compile(rf"{_SENSITIVE}[\"']?\s*[=:]\s*[\"']?(?!\$\{{)[^\s\"',}}]", re.IGNORECASE),
    re.compile(r"://[^/@\s:]+:(?!\$\{)[^/@\s]+@"),  # https://name:password@host
)
_SECRET_FLAG = re.compile(rf"--[\w-]*{_SENSITIVE}$", re.IGNORECASE)


def flags_by_step(settings: Iterable[str]) -> dict[str, list[str]]:
    """The flags of each step, from settings such as `StatisticsGen:--num_workers=4`.

    Raises:
        ValueError: a setting is not one of `STEPS`, a colon and a flag.
    """
    flags: dict[str, list[str]] = {}
    for setting in settings:
        step, _, flag = setting.partition(":")
        if step not in STEPS or not flag.startswith("-"):
            raise ValueError(setting)
        flags.setdefault(step, []).append(flag)
    return flags


def find_secret(flags: Sequence[str]) -> str | None:
    """The name, without the value, of the first flag whose value seems to be a secret."""
    for number, flag in enumerate(flags):
        if any(pattern.search(flag) for pattern in _SECRETS):
            return flag.partition("=")[0]
        value = flags[number + 1] if number + 1 < len(flags) else "-"
        if _SECRET_FLAG.match(flag) and not (value.startswith("-") or _VARIABLE.search(value)):
            return flag
    return None


def unknown_runners(flags: Iterable[str]) -> list[str]:
    """The values of `--runner` that are not in `RUNNERS`."""
    runners = (flag.partition("=")[2] for flag in flags if flag.split("=")[0] == "--runner")
    return [runner for runner in runners if runner not in RUNNERS]


def variables(flags: Iterable[str]) -> set[str]:
    """The names of the environment variables in flags, written `${NAME}`."""
    return {name for flag in flags for name in _VARIABLE.findall(flag)}


def split_at_variables(flag: str) -> Iterator[tuple[str, str]]:
    """The pieces of a flag: each a text and the variable that follows it, "" after the last."""
    pieces = _VARIABLE.split(flag)
    return zip(pieces[::2], [*pieces[1::2], ""], strict=True)


def variable_values(flags: Iterable[str]) -> Mapping[str, str]:
    """Maps the values of the variables in flags to their names, written `${NAME}`.

    Variables that are not set or empty are left out.
    """
    names = {os.environ.get(name): f"${{{name}}}" for name in sorted(variables(flags))}
    return {value: name for value, name in names.items() if value}
