"""Errors of the commands about spans and versions."""

from __future__ import annotations

import pathlib

import pytest

from pipeline.cli import main


@pytest.mark.parametrize("command", ["lineage", "spans", "prune", "rollback"])
def test_a_pipeline_that_is_not_there_is_told_in_a_message(
    command: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--name", "mine", "--runs", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert "there is no pipeline 'mine'" in told
    assert str(tmp_path) in told.replace("\n", "")
