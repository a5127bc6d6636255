"""No source runs code that data names, and nothing is installed without its hash."""

import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
SOURCES = sorted(
    path for floor in ("models", "components", "pipeline") for path in (ROOT / floor).rglob("*.py")
)

# Modules that run code which their data contains, and functions that run a text as code.
MODULES = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "yaml", "runpy", "code"}
CALLS = {
    "eval", "exec", "compile", "__import__", "importlib.import_module", "os.system", "os.popen",
    "tf.keras.models.load_model", "keras.models.load_model", "keras.saving.load_model",
}  # fmt: skip
FLAGS = {"allow_pickle": True, "shell": True, "safe_mode": False}


def unsafe(source: str) -> list[str]:
    """The unsafe imports and calls of a source."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            found.append(str(node.module))
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            found += [name] if name in CALLS else []
            found += [
                f"{name}({keyword.arg}=…)"
                for keyword in node.keywords
                if isinstance(keyword.value, ast.Constant)
                and keyword.arg in FLAGS
                and keyword.value.value == FLAGS[keyword.arg]
            ]
    return found


def test_unsafe_imports_and_calls_are_recognised() -> None:
    assert unsafe("import pickle\nfrom yaml import load") == ["pickle", "yaml"]
    assert unsafe("import importlib\nimportlib.import_module(name)") == ["importlib.import_module"]
    assert unsafe("np.load(path, allow_pickle=True)") == ["np.load(allow_pickle=…)"]
    assert unsafe("subprocess.run(text, shell=True)") == ["subprocess.run(shell=…)"]
    assert unsafe("re.compile('a')\nsession.eval()\njson.loads(text)") == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_source_has_unsafe_imports_or_calls(path: pathlib.Path) -> None:
    assert not unsafe(path.read_text(encoding="utf-8"))


def test_the_tests_in_the_table_of_threats_exist() -> None:
    table = (ROOT / "docs" / "safety.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", table)
    assert len(named) > 10
    for path, test in named:
        assert f"def {test or 'test_'}" in (ROOT / path).read_text(encoding="utf-8")


def test_nothing_is_installed_without_its_hash() -> None:
    """The only exception is the project itself, which is installed from this checkout."""
    text = "".join((ROOT / name).read_text() for name in ("setup.sh", "Makefile", ".ci/run"))
    commands = re.findall(
        r"(?:pip (?:install|sync) |pip install$)[^\n]*", text.replace("\\\n", " "), re.M
    )
    commands = [command for command in commands if "then run the same command" not in command]
    assert len(commands) == 3
    for command in commands:
        assert "--require-hashes" in command or (
            "--no-deps" in command and "--editable ." in command
        )
    pins = re.findall(r'"(uv==[^"]*)"', text)
    assert len(pins) == 1
    assert re.fullmatch(r"uv==[0-9.]+ --hash=sha256:[0-9a-f]{64}", pins[0])
