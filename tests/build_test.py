"""BUILD files agree with the sources: each file is in one library, each import is in `deps`."""

import ast
import fnmatch
import functools
import itertools
import pathlib
import re
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
FLOORS = ("models", "components", "pipeline")
FOLDERS = sorted(
    str(build.parent.relative_to(ROOT))
    for floor in (*FLOORS, "tests")
    for build in (ROOT / floor).rglob("BUILD")
)

LAZY_IMPORT = re.compile(r"(?:models|components)(?:\.\w+)+:\w+")  # see models/registry.py

# Import names that differ from the names of their distributions.
DISTRIBUTIONS = {
    "apache_beam": "apache-beam",
    "google": "protobuf",
    "absl": "absl-py",
    "google_crc32c": "google-crc32c",
    "keras_hub": "keras-hub",
    "keras_tuner": "keras-tuner",
    "ml_metadata": "ml-metadata",
    "tensorflow_data_validation": "tensorflow-data-validation",
    "tensorflow_metadata": "tensorflow-metadata",
    "tensorflow_model_analysis": "tensorflow-model-analysis",
    "tensorflow_serving": "tensorflow-serving-api",
    "tensorflow_text": "tensorflow-text",
}


def evaluate(node: ast.expr, folder: str) -> list[str]:
    """The strings that a Starlark expression of our BUILD files evaluates to."""
    if isinstance(node, ast.List):
        return [item for element in node.elts for item in evaluate(element, folder)]
    if isinstance(node, ast.BinOp):
        return evaluate(node.left, folder) + evaluate(node.right, folder)
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "glob":
        exclude = next((k.value for k in node.keywords if k.arg == "exclude"), None)
        excluded = evaluate(exclude, folder) if exclude else []
        names = sorted(path.name for path in (ROOT / folder).glob("*.py"))
        patterns = evaluate(node.args[0], folder)
        return [
            name
            for name in names
            if name not in excluded and any(fnmatch.fnmatch(name, p) for p in patterns)
        ]
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "requirement":
        return [f"@pypi//{ast.literal_eval(node.args[0])}"]
    return [ast.literal_eval(node)]


def absolute(label: str, folder: str) -> str:
    """`:a` in x/y → //x/y:a;  //x/y → //x/y:y."""
    if label.startswith("@"):
        return label
    if label.startswith(":"):
        return f"//{folder}{label}"
    return label if ":" in label else f"{label}:{label.rsplit('/', 1)[-1]}"


@functools.cache
def targets(folder: str) -> dict[str, tuple[list[str], list[str]]]:
    """Label → (files, deps) of the libraries and tests of one BUILD file."""
    found = {}
    for statement in ast.parse((ROOT / folder / "BUILD").read_text(encoding="utf-8")).body:
        call = getattr(statement, "value", None)
        rule = getattr(getattr(call, "func", None), "id", "")
        if rule not in ("py_library", "pytest_test"):
            continue
        fields = {keyword.arg: evaluate(keyword.value, folder) for keyword in call.keywords}
        (name,) = fields["name"]
        files = [f"{name}.py"] if rule == "pytest_test" else fields["srcs"]
        deps = [absolute(label, folder) for label in fields.get("deps", [])]
        assert f"//{folder}:{name}" not in found, f"{folder}/BUILD has two targets named {name}"
        found[f"//{folder}:{name}"] = ([f"{folder}/{file}" for file in files], deps)
    return found


@functools.cache
def visibility(folder: str) -> dict[str, list[str]]:
    """Label → the visibility of the targets of one BUILD file."""
    found, default = {}, ["//visibility:private"]
    for statement in ast.parse((ROOT / folder / "BUILD").read_text(encoding="utf-8")).body:
        call = getattr(statement, "value", None)
        if not isinstance(call, ast.Call):
            continue
        fields = {keyword.arg: keyword.value for keyword in call.keywords}
        if "default_visibility" in fields:
            default = evaluate(fields["default_visibility"], folder)
        if "name" in fields:
            own = evaluate(fields["visibility"], folder) if "visibility" in fields else default
            found[f"//{folder}:{ast.literal_eval(fields['name'])}"] = own
    return found


def is_visible_to(folder: str, label: str) -> bool:
    """Whether targets of a folder may depend on a target."""
    home = label.removeprefix("//").split(":")[0]
    above = ["", *itertools.accumulate(folder.split("/"), "{}/{}".format)]
    allowed = {"//visibility:public", f"//{folder}:__pkg__"}
    allowed |= {f"//{parent}:__subpackages__" for parent in above}
    return home == folder or not allowed.isdisjoint(visibility(home)[label])


@functools.cache
def owners() -> dict[str, str]:
    """File → the library it is in."""
    found: dict[str, str] = {}
    for folder in FOLDERS:
        for label, (files, _) in targets(folder).items():
            for file in files:
                assert file not in found, f"{file} is in {found[file]} and in {label}"
                found[file] = label
    return found


def needed(file: str) -> set[str]:
    """Labels of everything that a file imports, at its top or inside of functions."""
    labels = set()
    for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            labels |= {label_of(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            labels |= {label_of(f"{node.module}.{alias.name}") for alias in node.names}
        elif isinstance(node, ast.Constant) and LAZY_IMPORT.fullmatch(str(node.value)):
            labels.add(label_of(str(node.value).replace(":", ".")))
    return labels - {""}


def label_of(imported: str) -> str:
    """The label whose sources contain a dotted name; empty for the standard library."""
    parts = imported.split(".")
    if parts[0] in sys.stdlib_module_names:
        return ""
    if parts[0] not in (*FLOORS, "tests"):
        return f"@pypi//{DISTRIBUTIONS.get(parts[0], parts[0])}"
    for length in range(len(parts), 0, -1):
        for file in ("/".join(parts[:length]) + ".py", "/".join(parts[:length]) + "/__init__.py"):
            if file in owners():
                return owners()[file]
    raise LookupError(f"no BUILD target contains {imported}")


@pytest.mark.parametrize("folder", FOLDERS)
def test_deps_are_the_imports(folder: str) -> None:
    wrong = []
    for label, (files, deps) in targets(folder).items():
        # pytest itself comes with the rule.
        wanted = set().union(*map(needed, files)) - {label, "@pypi//pytest"}
        if wanted != set(deps):
            missing, unused = sorted(wanted - set(deps)), sorted(set(deps) - wanted)
            wrong.append(f"{label}: missing {missing}, not imported {unused}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("folder", FOLDERS)
def test_rules_are_loaded(folder: str) -> None:
    text = (ROOT / folder / "BUILD").read_text(encoding="utf-8")
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    called = {call.func.id for call in calls if isinstance(call.func, ast.Name)}
    loaded = {
        ast.literal_eval(name)
        for call in calls
        if getattr(call.func, "id", "") == "load"
        for name in call.args[1:]
    }
    native = {"load", "glob", "package", "exports_files", "filegroup", "test_suite"}
    assert called - native == loaded


@pytest.mark.parametrize("folder", FOLDERS)
def test_deps_are_visible(folder: str) -> None:
    hidden = [
        f"{label} may not depend on {dep}"
        for label, (_, deps) in targets(folder).items()
        for dep in deps
        if dep.startswith("//") and not is_visible_to(folder, dep)
    ]
    assert not hidden, "\n".join(hidden)


def test_every_source_is_in_a_library() -> None:
    sources = {
        str(path.relative_to(ROOT)) for floor in FLOORS for path in (ROOT / floor).rglob("*.py")
    }
    assert sources == {file for file in owners() if not file.startswith("tests/")}


def test_every_test_file_is_a_test() -> None:
    tests = {str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("*_test.py")}
    assert tests == {file for file in owners() if file.endswith("_test.py")}


def test_required_packages_are_locked() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    locked = set(re.findall(r"^([a-z0-9._-]+)==", lock, flags=re.MULTILINE))
    required = {
        dep.removeprefix("@pypi//")
        for folder in FOLDERS
        for _, deps in targets(folder).values()
        for dep in deps
        if dep.startswith("@pypi//")
    }
    assert required <= locked, sorted(required - locked)
