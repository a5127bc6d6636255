"""A step's version changes with the code it runs and with libraries that can change its bytes."""

from __future__ import annotations

import importlib.metadata
import pathlib
import sys
import unicodedata

import pytest

from models.registry import FAMILIES
from pipeline.code_versions import (
    DECISIVE,
    INDIFFERENT,
    ROOT,
    STEPS,
    TRAINING,
    code_versions,
    commit,
    imported,
)
from pipeline.model_phases import RUN_FN, TUNER_FN


@pytest.fixture
def source(tmp_path: pathlib.Path) -> pathlib.Path:
    """A copy of the sources of `models` and `components`."""
    for floor in ("models", "components"):
        for file in (ROOT / floor).rglob("*.py"):
            copy = tmp_path / file.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    return tmp_path


def changed(source: pathlib.Path, file: str, old: str, new: str, family: str = "bert") -> set[str]:
    """The steps whose versions change when a text in a file is replaced."""
    before = code_versions(family, source)
    text = (source / file).read_text()
    assert old in text
    (source / file).write_text(text.replace(old, new, 1))
    after = code_versions(family, source)
    return {step for step in before if before[step] != after[step]}


def test_code_of_masking_changes_examples_and_not_documents(
    source: pathlib.Path,
) -> None:
    found = changed(source, "models/bert/masking.py", "0.8", "0.9")
    assert {"ExampleBuilder", "Trainer", TRAINING} <= found
    assert not found & {"TextExampleGen", "TextCleaner", "StatisticsGen", "DataGate"}


def test_code_of_other_families_changes_no_version(source: pathlib.Path) -> None:
    assert not changed(source, "models/bert/masking.py", "0.8", "0.9", family="gpt")
    assert not changed(source, "models/gpt/generation.py", "import", "import os\nimport")


def test_another_line_of_the_registry_changes_no_version(source: pathlib.Path) -> None:
    line = '        "gpt": "models.gpt.family:GPT",\n'
    other = line.replace('"gpt"', '"gpt2"')
    assert not changed(source, "models/registry.py", line, line + other)


def test_docstrings_comments_layout_and_git_change_no_version(source: pathlib.Path) -> None:
    before = code_versions("bert", source)
    for file in (*(source / "models").rglob("*.py"), *(source / "components").rglob("*.py")):
        text = file.read_text().replace('    """', '    """Other words. ', 1)
        file.write_text(f'"""Other words."""\n# a comment\n{text}')
    (source / "models" / "untracked.py").write_text("A = 1\n")
    (source / ".git").mkdir()
    assert code_versions("bert", source) == before


def test_code_that_judges_or_reports_is_not_part_of_training(
    source: pathlib.Path,
) -> None:
    for file in (
        "cleaning/component",
        "evaluation/component",
        "reporting/report",
        "serving/check",
        "validation/component",
    ):
        assert TRAINING not in changed(source, f"components/{file}.py", "import ", "import os, ")
    assert TRAINING not in changed(source, "components/config.py", "import ", "import os, ")
    assert TRAINING in changed(source, "models/training/step.py", "import ", "import os, ")


@pytest.mark.parametrize(
    ("library", "steps"),
    [
        ("numpy", {"TextExampleGen", "ExampleBuilder", "Trainer", "Evaluator", TRAINING}),
        ("deflate", {"TextExampleGen", "TextCleaner", "ExampleBuilder"}),
        ("pyarrow", {"TextExampleGen"}),
        ("datasketch", {"TextCleaner"}),
        ("py3langid", {"TextCleaner"}),
        ("jieba", {"ExampleBuilder"}),
        ("apache-beam", {"TextExampleGen", "TextCleaner", "VocabularyTrainer", "ExampleBuilder"}),
        ("tensorflow", {"ExampleBuilder", "Trainer", TRAINING}),
        ("keras-hub", {"Trainer", TRAINING}),
        ("keras-tuner", {"Tuner"}),
    ],
)
def test_another_version_of_a_library_changes_the_steps_that_use_it(
    library: str, steps: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = code_versions("bert")
    installed = importlib.metadata.version

    def version(name: str) -> str:
        return "9.9.9" if name == library else installed(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    after = code_versions("bert")
    found = {step for step in before if before[step] != after[step]}
    assert steps <= found
    if library in ("datasketch", "py3langid", "keras-tuner"):
        # DataGate imports cleaning to check its counts, and its module configures TFX's steps.
        assert found - {"DataGate", "StatisticsGen", "TextSchema", "ExampleValidator"} == steps


def test_another_version_of_unicode_changes_every_version(monkeypatch: pytest.MonkeyPatch) -> None:
    before = code_versions("bert")
    monkeypatch.setattr(unicodedata, "unidata_version", "99.0.0")
    after = code_versions("bert")
    assert all(before[step] != after[step] for step in before)


def test_every_imported_library_is_listed_as_decisive_or_indifferent() -> None:
    found: set[str] = set()
    for family in FAMILIES:
        for modules in STEPS.values():
            found |= imported(modules, family)
    libraries = {name for name in found if name.split(".")[0] not in ("models", "components")}
    unknown = libraries - set(DECISIVE) - INDIFFERENT - sys.stdlib_module_names
    assert not unknown, "say in pipeline/code_versions.py whether these can change a step's bytes"


def test_the_steps_are_what_the_graph_runs() -> None:
    for step, function in (("Trainer", RUN_FN), ("Tuner", TUNER_FN)):
        assert function.rpartition(".")[0] in STEPS[step]
    for modules in STEPS.values():
        for module in modules:
            assert (ROOT / (module.replace(".", "/") + ".py")).exists()


def test_the_commit_is_unknown_outside_of_a_repository(tmp_path: pathlib.Path) -> None:
    assert commit(tmp_path / "nowhere") == "unknown"
