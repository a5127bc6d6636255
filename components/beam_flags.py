"""Flags of Beam as settings: which step they are for, and secrets that are in none of them.

A configuration is written to `config.json` and into every model, and TFX logs the flags of each
step. So a flag names an environment variable where it needs a secret, as in
`--s3_secret_access_key=${S3_KEY}`, and the value is put in when the step starts. Free of Beam.
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
"""Beam's own names. Beam would also import any class by its full name, which is code that a
configuration must not choose."""

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


def of_steps(settings: Iterable[str]) -> dict[str, list[str]]:
    """The flags of each step, of settings as `StatisticsGen:--num_workers=4`.

    Raises:
        ValueError: a setting does not begin with one of `STEPS`.
    """
    flags: dict[str, list[str]] = {}
    for setting in settings:
        step, _, flag = setting.partition(":")
        if step not in STEPS or not flag.startswith("-"):
            raise ValueError(setting)
        flags.setdefault(step, []).append(flag)
    return flags


def with_secret(flags: Sequence[str]) -> str | None:
    """The name of the first flag that seems to hold a secret itself; never its value."""
    for number, flag in enumerate(flags):
        if any(pattern.search(flag) for pattern in _SECRETS):
            return flag.partition("=")[0]
        value = flags[number + 1] if number + 1 < len(flags) else "-"
        if _SECRET_FLAG.match(flag) and not (value.startswith("-") or _VARIABLE.search(value)):
            return flag
    return None


def other_runners(flags: Iterable[str]) -> list[str]:
    """What `--runner` is set to that is none of `RUNNERS`."""
    named = (flag.partition("=")[2] for flag in flags if flag.split("=")[0] == "--runner")
    return [name for name in named if name not in RUNNERS]


def variables(flags: Iterable[str]) -> set[str]:
    """The environment variables that flags name as `${NAME}`."""
    return {name for flag in flags for name in _VARIABLE.findall(flag)}


def split(flag: str) -> Iterator[tuple[str, str]]:
    """A flag in pieces, each a text and the variable behind it, "" behind the last."""
    pieces = _VARIABLE.split(flag)
    return zip(pieces[::2], [*pieces[1::2], ""], strict=True)


def values(flags: Iterable[str]) -> Mapping[str, str]:
    """The values of the variables in flags, as far as they are set, and how each is written."""
    found = {os.environ.get(name): f"${{{name}}}" for name in sorted(variables(flags))}
    return {value: name for value, name in found.items() if value}
