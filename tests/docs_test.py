"""The documentation: its names exist, its commands are valid, and its stories run as shown."""

from __future__ import annotations

import ast
import functools
import itertools
import json
import pathlib
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence

import pytest

from pipeline.cli import main
from pipeline.overrides import apply_overrides
from pipeline.recipes import RECIPES, resolve_recipe
from tests import build_test
from tests.testdata import commands

ROOT = pathlib.Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
DECISIONS = sorted(DOCS.glob("decisions/0*.md"))
STORIES = sorted(DOCS.glob("stories/*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md")), *STORIES]
SECTIONS = (
    "ingestion|validation|cleaning|vocabulary|training|devices|tuning|evaluation|beam"
    "|model\\.backbone|model\\.objective|model\\.tokenizer"
)


def named(path: pathlib.Path) -> str:
    return str(path.relative_to(ROOT))


def read(path: pathlib.Path) -> str:
    return path.read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """The contents of the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md", *DECISIONS], ids=named)
def test_links_lead_to_files(page: pathlib.Path) -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)", read(page))
    assert not [link for link in links if not (page.parent / link).exists()]


@pytest.mark.parametrize("page", [*PAGES, *DECISIONS], ids=named)
def test_files_that_are_named_exist(page: pathlib.Path) -> None:
    places = re.findall(
        r"`((?:components|models|pipeline|tests|benchmarks)/[\w/.]+\.py)(?:::(\w+))?`", read(page)
    )
    missing = [
        f"{path}::{test}"
        for path, test in places
        if not path.startswith(
            ("tests/a/", "models/bag/", "tests/testdata/little_bag")
        )  # examples of docs/extending.md
        and not ((ROOT / path).is_file() and f"def {test}" in read(ROOT / path) + "def ")
    ]
    assert not missing


@pytest.mark.parametrize("page", [*PAGES, *DECISIONS], ids=named)
def test_names_are_in_the_files_that_pages_say(page: pathlib.Path) -> None:
    """Where a page says "`name` in `folder/file.py`"."""
    claims = re.findall(
        r"`(\w+)`\s+(?:in|of)\s+`((?:models|components|pipeline|tests)/[\w/]+\.py)`", read(page)
    )
    assert not [f"{name} in {file}" for name, file in claims if name not in read(ROOT / file)]


def test_pages_that_sources_name_exist() -> None:
    sources = [path for floor in ("models", "components", "pipeline", "tests", "benchmarks")
               for path in (ROOT / floor).rglob("*.py")]  # fmt: skip
    found = {page for path in sources for page in re.findall(r"\bdocs/[\w/-]+\.md", read(path))}
    assert not {page for page in found if not (ROOT / page).is_file()}


def test_every_page_is_in_the_index() -> None:
    index = read(DOCS / "README.md")
    pages = [path for path in DOCS.rglob("*.md") if path.parent.name != "decisions"]
    links = {(DOCS / link).resolve() for link in re.findall(r"\]\(([^)#]+)", index)}
    assert {path.resolve() for path in pages} - {DOCS / "README.md"} <= links


def test_every_decision_is_in_its_index() -> None:
    titles = [re.fullmatch(r"# (\d{4})\. (.+)", read(path).splitlines()[0]) for path in DECISIONS]
    rows = [
        f"- [{title[1]}]({path.name}) {title[2]}"
        for path, title in zip(DECISIONS, titles, strict=True)
        if title
    ]
    assert re.findall(r"^- \[.*$", read(DOCS / "decisions" / "README.md"), re.M) == rows


# Rooms: the table of docs/architecture.md and the BUILD files.


def rooms() -> Mapping[str, Sequence[str]]:
    """Folder → the folders of the same floor that it imports, the floor's root left out."""
    found = {}
    for folder in build_test.FOLDERS:
        floor = folder.split("/")[0]
        if floor != "tests":
            deps = {dep for _, some in build_test.targets(folder).values() for dep in some}
            others = {dep[2:].split(":")[0] for dep in deps if dep.startswith(f"//{floor}/")}
            found[folder] = sorted(others - {folder})
    return found


def test_the_table_of_rooms_is_what_the_build_files_say() -> None:
    table = read(DOCS / "architecture.md").partition("<!-- rooms -->")[2]
    rows = re.findall(r"^\| `([\w/]+)/` \| (.+) \| (.*) \|$", table.partition("<!-- /")[0], re.M)
    shown = {room: re.findall(r"`(\w+)`", imports) for room, _, imports in rows}
    assert shown == {
        room: [other.split("/", 1)[1] for other in imports] for room, imports in rooms().items()
    }


# Settings and commands.


@functools.cache
def settings() -> set[str]:
    """The dotted names of all settings of the three families, and of their sections."""

    def inside(fields: Mapping[str, object], place: str) -> Iterator[str]:
        for name, value in fields.items():
            yield f"{place}{name}"
            if isinstance(value, dict):
                yield from inside(value, f"{place}{name}.")

    recipes = ("bert_tiny", "elmo_tiny", "gpt_tiny")
    return {n for r in recipes for n in inside(json.loads(RECIPES[r]().to_json()), "")}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_settings_that_are_named_exist(page: pathlib.Path) -> None:
    found = re.findall(rf"`((?:{SECTIONS})(?:\.[a-z_0-9]+)+)(?:=[^`]*)?`", read(page))
    assert (
        not {name for name in found if not name.endswith((".py", ".json", ".jsonl"))} - settings()
    )


def pipeline_commands(text: str) -> Iterator[list[str]]:
    """The arguments of each `python -m pipeline` in a page's shell blocks."""
    for block in blocks(text, "sh"):
        lexer = shlex.shlex(block.replace("\\\n", " ").replace("\n", " ; "), posix=True,
                            punctuation_chars=True)  # fmt: skip
        lexer.commenters, lexer.whitespace_split = "", True
        command: list[str] = []
        for token in [*lexer, ";"]:
            if not set(token) <= set("|;&<>()"):
                command.append(token)
                continue
            if "pipeline" in command:
                yield command[command.index("pipeline") + 1 :]
            command = []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_commands_are_valid(page: pathlib.Path) -> None:
    """They parse, and recipes accept their settings; nothing is run."""
    for arguments in pipeline_commands(re.sub(r" *(?<!\S)#.*", "", read(page))):
        if "--help" in arguments or "--version" in arguments:
            continue
        main._parse(arguments)
        pairs = [value for flag, value in itertools.pairwise(arguments) if flag == "--set"]
        if arguments[0] == "run" and arguments[1] in RECIPES and "RUNNER" not in str(pairs):
            apply_overrides(resolve_recipe(arguments[1]), pairs)


# Messages.


@functools.cache
def messages() -> Sequence[str]:
    """The texts in the sources, with … for every value."""
    found = []
    for floor in ("models", "components", "pipeline"):
        for path in (ROOT / floor).rglob("*.py"):
            for node in ast.walk(ast.parse(read(path))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
                elif isinstance(node, ast.JoinedStr):
                    parts = [part.value if isinstance(part, ast.Constant) else "…"
                             for part in node.values]  # fmt: skip
                    found.append("".join(map(str, parts)))
    return found


def test_messages_are_those_of_the_sources() -> None:
    """Where a message has a value, docs/footguns.md has … or the value."""
    text = read(DOCS / "footguns.md").partition("## Messages of libraries")[0]
    shown = [*re.findall(r"^\| `([^`]+)`", text, re.M), *re.findall(r"^> `([^`]+)`", text, re.M)]
    assert len(shown) > 30
    missing = []
    for message in shown:
        pattern = re.compile(".*".join(map(re.escape, message.split("…"))), re.S)
        if not any(pattern.search(text) for text in messages()):
            missing.append(message)
    assert not missing


# Stories: each continues in the folder of the one before.

_MARK = "@@@ block {} @@@"
_VARYING = re.compile(r"[0-9a-f]{12,}|\d[\d,.:+T-]*")


def steady(text: str) -> str:
    """A text without what differs from run to run: numbers, hashes, and where lines end."""
    return " ".join(_VARYING.sub("#", text).split())


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return tmp_path_factory.mktemp("desk")


@pytest.mark.e2e
@pytest.mark.one_stack
@pytest.mark.parametrize("story", STORIES, ids=lambda path: path.stem)
def test_stories_run_as_they_are_shown(story: pathlib.Path, desk: pathlib.Path) -> None:
    """Every line of a ```text block is in the output of the commands above it, numbers aside.

    A block ```text weights shows what a model answers, which depends on the processor and on the
    versions of libraries. Only which model answered is compared.
    """
    parts = re.findall(r"^```(sh|text|text weights)\n(.*?)^```", read(story), re.M | re.S)
    scripts = [content for language, content in parts if language == "sh"]
    script = "\n".join(f"echo '{_MARK.format(n)}'\n{part}" for n, part in enumerate(scripts))
    printed = commands.shell(script, desk, env={"COLUMNS": "120"}).replace(str(desk), "…")
    missing, number = [], -1
    for language, content in parts:
        if language == "sh":
            number += 1
            output = printed.partition(_MARK.format(number))[2]
            rest = steady(output.partition(_MARK.format(number + 1))[0])
            continue
        for line in content.splitlines():
            if line.startswith("answered by") or (language == "text" and line.strip() != "…"):
                _, found, after = rest.partition(steady(line))
                if found:
                    rest = after
                else:
                    missing.append(f"block {number}: {line}")
    assert not missing, "\n".join(missing) + "\n" + printed[-6000:]
