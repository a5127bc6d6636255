"""Which changes .ci/run treats as documentation only; if it is not sure, it runs all tests."""

import pathlib
import subprocess

import pytest

from models.registry import FAMILIES
from tests.pipeline import families_e2e_test

RUN = pathlib.Path(__file__).resolve().parents[1] / ".ci" / "run"
FUNCTION = RUN.read_text().partition("documentation_only() {")[2].partition("\n}\n")[0]


def git(folder: pathlib.Path, *arguments: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@localhost"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def documentation_only(folder: pathlib.Path) -> bool:
    """The result of the function of .ci/run in a clone."""
    script = f"set -euo pipefail\ndocumentation_only() {{{FUNCTION}\n}}\ndocumentation_only"
    code = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True).returncode
    assert code in (0, 1)
    return code == 0


@pytest.fixture(name="clone")
def _clone(tmp_path: pathlib.Path) -> pathlib.Path:
    """A clone of a repository whose main has one commit."""
    origin = tmp_path / "origin"
    origin.mkdir()
    git(origin, "init", "--initial-branch=main")
    git(origin, "commit", "--allow-empty", "--message=first")
    git(tmp_path, "clone", str(origin), "clone")
    return tmp_path / "clone"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["README.md", "docs/a/b.svg", "benchmarks/README.md"], True),
        (["README.md", "models/a.py"], False),
        (["docs.py"], False),
        (["requirements.txt"], False),
        (["components/reporting/templates/docs/a.html"], False),
        ([], False),
    ],
)
def test_changed_files_decide(clone: pathlib.Path, files: list[str], expected: bool) -> None:
    for name in files:
        path = clone / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a")
    git(clone, "add", ".")
    git(clone, "commit", "--allow-empty", "--message=second")
    assert documentation_only(clone) == expected


def test_without_a_remote_everything_is_run(clone: pathlib.Path) -> None:
    (clone / "README.md").write_text("a")
    git(clone, "add", ".")
    git(clone, "commit", "--message=second")
    assert documentation_only(clone)
    git(clone, "remote", "remove", "origin")
    assert not documentation_only(clone)


def test_a_pipeline_of_every_family_runs_on_both_stacks() -> None:
    both = {recipe for recipe, *_ in families_e2e_test.RUNS} - {*families_e2e_test.ONE_STACK}
    assert {recipe.split("_")[0] for recipe in both} == {*FAMILIES}
