"""Tests of the names in a pipeline's folder."""

from __future__ import annotations

import pathlib

from pipeline.layout import log_file, versions_folder


def test_names_in_a_pipelines_folder() -> None:
    folder = pathlib.Path("runs", "news")
    assert versions_folder(folder) == pathlib.Path("runs/news/serving/news")
    assert log_file(folder, "2024-05-01") == pathlib.Path("runs/news/logs/2024-05-01.log")
