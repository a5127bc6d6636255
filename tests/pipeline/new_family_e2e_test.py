"""A new family is a folder and a line: docs/extending.md, followed literally.

The test writes the files that the page prints into an overlay of this repository, adds the page's
line to the registry, and runs the page's commands.
"""

from __future__ import annotations

import os
import pathlib
import re
import shlex
import subprocess
import sys

import pytest

from tests.testdata.small_corpus import ROOT, write_corpus

pytestmark = [pytest.mark.e2e, pytest.mark.one_stack]

PAGE = (ROOT / "docs/extending.md").read_text(encoding="utf-8").partition("## A new family")[2]
SECTION = PAGE.partition("\n## ")[0]
FILES = dict(re.findall(r"`(models/bag/\w+\.py|bag\.json)`:\n\n```\w+\n(.*?)```", SECTION, re.S))
(REGISTRY_LINE,) = re.findall(r"`models/registry\.py`:\n\n```python\n(.*?)```", SECTION, re.S)
COMMANDS = re.findall(r"^python -m pipeline .*$", SECTION, re.M)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Links to this repository's files, with the page's files and its line in the registry."""
    folder = tmp_path_factory.mktemp("checkout")
    (folder / "models").mkdir()
    for name in ("components", "pipeline"):
        (folder / name).symlink_to(ROOT / name)
    for path in (ROOT / "models").iterdir():
        if path.name not in ("registry.py", "__pycache__"):
            (folder / "models" / path.name).symlink_to(path)
    registry = (ROOT / "models/registry.py").read_text(encoding="utf-8")
    last = '        "gpt": "models.gpt.family:GPT",\n'
    assert last in registry
    (folder / "models/registry.py").write_text(registry.replace(last, last + REGISTRY_LINE))
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    write_corpus(folder / "mine.jsonl", range(60))
    return folder


def run(checkout: pathlib.Path, command: str) -> str:
    python, *arguments = shlex.split(command)
    assert python == "python"
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=checkout,
        env=os.environ | {"PYTHONPATH": str(checkout)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_page_has_every_file_of_the_family() -> None:
    modules = ("config", "inputs", "backbone", "objective", "family")
    assert set(FILES) == {"bag.json", *(f"models/bag/{name}.py" for name in modules)}
    assert REGISTRY_LINE.count("\n") == 1
    assert [command.split()[3] for command in COMMANDS] == ["run", "examples", "predict"]


def test_the_family_is_trained_pushed_and_asked(checkout: pathlib.Path) -> None:
    trained, shown, answered = (run(checkout, command) for command in COMMANDS)
    assert "blessed and pushed as version 1" in trained
    assert "[CLS]→" in shown
    assert "vectors of 32 dimensions" in answered
    assert list((checkout / "runs/bag/serving/bag").glob("*/saved_model.pb"))
