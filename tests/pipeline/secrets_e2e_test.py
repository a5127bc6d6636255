"""A secret in a Beam flag reaches the step, but no file in the pipeline's folder."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

from tests.testdata.small_corpus import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.one_stack]

SECRET = "correct horse battery"


def test_a_secret_is_in_no_file_of_the_pipeline(tmp_path: pathlib.Path) -> None:
    """Beam logs unknown flags with their values."""
    (tmp_path / "one.jsonl").write_text('{"text": "A text alone is refused at once."}\n')
    runs = tmp_path / "runs"
    arguments = ["run", "bert_tiny", f"--input={tmp_path}/one.jsonl", f"--runs={runs}"]
    arguments += ["--set", "beam.args=--s3_session_token=${WORD},--nobody_knows=<${WORD}>"]
    arguments += ["--set", "beam.step_args=TextExampleGen:--nor_this=${WORD}"]
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments],
        cwd=ROOT,
        env={**os.environ, "WORD": SECRET},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert SECRET not in done.stdout + done.stderr
    (log,) = runs.glob("bert_tiny/logs/*.log")
    assert "unparseable args: ['--nobody_knows=<${WORD}>', '--nor_this=${WORD}']" in log.read_text()
    assert "${WORD}" in (runs / "bert_tiny" / "config.json").read_text()
    assert (runs / "bert_tiny" / "metadata.sqlite").stat().st_size
    for path in runs.rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path
