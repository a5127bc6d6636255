"""Tests of Beam flags: flags by step, secrets, and environment variables."""

from __future__ import annotations

import pytest

from components.beam_flags import (
    find_secret,
    flags_by_step,
    split_at_variables,
    variable_values,
    variables,
)


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        (["--password=a"], "--password"),
        (["--fine=1", "--s3_secret_access_key=a"], "--s3_secret_access_key"),
        (["--s3_session_token=a"], "--s3_session_token"),
        (["--azure_connection_string=AccountKey=a"], "--azure_connection_string"),
        (["--api-key=a"], "--api-key"),
        (["--my_key=a"], "--my_key"),
        (["--credentials", "a"], "--credentials"),
        (['--environment_config={"env": {"DB_PASSWORD": "a"}}'], "--environment_config"),
        (["--proxy=http://me:word@proxy:80"], "--proxy"),
        (["--password=a${B}"], "--password"),
    ],
)
def test_flags_with_a_secret(flags: list[str], name: str) -> None:
    assert find_secret(flags) == name


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["--password=${WORD}"],
        ["--password", "${WORD}"],
        ['--environment_config={"env": {"DB_PASSWORD": "${WORD}"}}'],
        ["--proxy=http://me:${WORD}@proxy:80"],
        ["--proxy=http://proxy:80", "--temp_location=gs://a/b@c"],
        ["--s3_access_key_id=AKIA", "--dataflow_kms_key=projects/p/locations/l/keyRings/r"],
        ["--enable_hot_key_logging", "--allow_non_deterministic_key_coders"],
        ["--gbek=type:GcpSecret;version_name:my_secret/versions/latest"],
        ["--use_token", "--parallelism=2"],
    ],
)
def test_flags_without_a_secret(flags: list[str]) -> None:
    assert find_secret(flags) is None


def test_flags_by_step() -> None:
    assert flags_by_step(["Evaluator:--a=b:c", "TextCleaner:--x", "Evaluator:--d"]) == {
        "Evaluator": ["--a=b:c", "--d"],
        "TextCleaner": ["--x"],
    }
    for setting in ("Trainer:--a", "--a", "Evaluator:a", "evaluator:--a"):
        with pytest.raises(ValueError, match=setting):
            flags_by_step([setting])


def test_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    flags = ["--a=${ONE}-${TWO}", "--b=$THREE", "--c=${not one}", "${NONE}", "${EMPTY}"]
    assert variables(flags) == {"ONE", "TWO", "NONE", "EMPTY"}
    assert [*split_at_variables(flags[0])] == [("--a=", "ONE"), ("-", "TWO"), ("", "")]
    for name, value in (("ONE", "1st"), ("TWO", "2nd"), ("EMPTY", "")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NONE", raising=False)
    assert variable_values(flags) == {"1st": "${ONE}", "2nd": "${TWO}"}
