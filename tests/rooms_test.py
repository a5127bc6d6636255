"""Tests of the rooms of components/, and that every file and folder says what it is."""

from __future__ import annotations

import ast
import graphlib
import pathlib
import re

from tests.house_test import ROOT, files, imports, sources, tree

ROOMS = {
    "cleaning": {"lineage", "readers", "storage"},
    "evaluation": {"lineage"},
    "examples": {"evaluation", "lineage", "storage", "validation"},
    "ingestion": {"lineage", "readers", "storage"},
    "lineage": {"storage"},
    "readers": {"storage"},
    "reporting": {"evaluation", "storage", "training", "tuning", "validation"},
    "serving": {"lineage", "storage"},
    "storage": set[str](),
    "training": {"examples", "lineage", "serving", "storage"},
    "tuning": {"storage", "training"},
    "validation": {"lineage", "readers", "storage"},
    "vocabulary": {"lineage", "storage"},
}
"""The rooms of components/, and the rooms that each imports. In addition, a room may import the
modules at the root of components/, which import no room. docs/architecture.md has the same table.
"""


def room_imports() -> dict[str, set[str]]:
    """The rooms that each room of components/ imports; "" stands for the modules at the root."""
    found: dict[str, set[str]] = {"": set()}
    for file in sources():
        if not file.startswith("components/"):
            continue
        room = str(pathlib.PurePath(file).parent.relative_to("components")).removeprefix(".")
        modules = [name.split(".") for name in imports(tree(file))]
        rooms = {name[1] for name in modules if name[0] == "components" and name[1] in ROOMS}
        found.setdefault(room, set()).update(rooms - {room})
    return found


def test_rooms_import_the_rooms_of_the_table() -> None:
    assert room_imports() == {"": set(), **ROOMS}


def test_rooms_have_no_cycle() -> None:
    graphlib.TopologicalSorter(ROOMS).prepare()


def introduction(name: str) -> str:
    """The first line of a file's docstring; "" if there is no file or no docstring."""
    path = ROOT / name
    if not path.is_file():
        return ""
    return (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").partition("\n")[0]


def is_sentence(line: str) -> bool:
    """Whether a line begins like a sentence and does not end in the middle of one."""
    return bool(re.match(r"[A-Z`\"].{15,}[.:…]$", line))


def test_every_file_has_a_docstring() -> None:
    undocumented = [name for name in files() if name.endswith(".py") and not introduction(name)]
    assert not undocumented, "no docstring: " + ", ".join(undocumented)


def test_every_folder_says_what_it_contains() -> None:
    folders = {str(pathlib.PurePath(name).parent) for name in files() if name.endswith(".py")}
    undocumented = [
        folder
        for folder in sorted(folders)
        if not is_sentence(introduction(f"{folder}/__init__.py") or introduction(f"{folder}/BUILD"))
    ]
    assert not undocumented, f"no sentence about {undocumented}"
