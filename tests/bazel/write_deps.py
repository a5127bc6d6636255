"""Writes the `deps` of all BUILD files from what the sources import, and adds missing tests.

    python -m tests.bazel.write_deps

tests/build_test.py checks BUILD files; this command repairs what it reports. Comments, visibility,
size and tags stay as they are.
"""

from __future__ import annotations

import ast
import pathlib

from tests import build_test

LOADS = {
    "requirement": 'load("@pypi//:requirements.bzl", "requirement")\n',
    "py_library": 'load("@rules_python//python:defs.bzl", "py_library")\n',
    "pytest_test": 'load("//tests/bazel:pytest.bzl", "pytest_test")\n',
}


def shortened(label: str, folder: str) -> str:
    """The label as a BUILD file of `folder` writes it."""
    if label.startswith("@pypi//"):
        return f'requirement("{label.removeprefix("@pypi//")}")'
    package, name = label.removeprefix("//").split(":")
    if package == folder:
        return f'":{name}"'
    return f'"//{package}"' if package.rsplit("/", 1)[-1] == name else f'"{label}"'


def deps_list(labels: set[str], folder: str) -> str:
    """The value of `deps`, in the order that buildifier gives it."""
    texts = [shortened(label, folder) for label in labels]
    order = sorted(texts, key=lambda it: (it.startswith("req"), not it.startswith('":'), it))
    if len(order) < 2:
        return f"[{''.join(order)}]"
    return "[\n" + "".join(f"        {text},\n" for text in order) + "    ]"


def without_repeated_tests(text: str, folder: str) -> str:
    """The BUILD file with only the first target of each name: a merge may leave several."""
    lines = text.splitlines(keepends=True)
    seen: set[str] = set()
    repeated: list[ast.Call] = []
    for statement in ast.parse(text).body:
        call = getattr(statement, "value", None)
        if not isinstance(call, ast.Call) or not call.keywords:
            continue
        name = next((k.value.value for k in call.keywords if k.arg == "name"), None)
        if name is None:
            continue
        if name in seen:
            repeated.append(call)
        seen.add(name)
    for call in reversed(repeated):
        assert call.end_lineno is not None
        del lines[call.lineno - 1 : call.end_lineno + 1]  # and the empty line after it
    return "".join(lines).rstrip("\n") + "\n"


def with_loads(text: str, folder: str) -> str:
    """The BUILD file with a `load` for each rule that it calls, after the leading comments."""
    missing = [
        load for rule, load in LOADS.items() if f"{rule}(" in text and f'"{rule}")' not in text
    ]
    start = text.index("load(") if "load(" in text else 0
    return text[:start] + "".join(sorted(missing)) + text[start:]


def with_missing_tests(text: str, folder: str) -> str:
    """The BUILD file with an entry for each test file that has none."""
    named = {
        name for files, _ in build_test.targets(folder).values() for name in files
    }  # fmt: skip
    for path in sorted((build_test.ROOT / folder).glob("*_test.py")):
        if f"{folder}/{path.name}" not in named:
            marks = '    size = "large",\n    tags = ["e2e"],\n' if "_e2e_" in path.name else ""
            text += f'\npytest_test(\n    name = "{path.stem}",\n{marks}    deps = [],\n)\n'
    return text


def with_deps(text: str, folder: str) -> str:
    """The BUILD file with the `deps` that its files need."""
    lines = text.splitlines(keepends=True)
    statements = [node.value for node in ast.parse(text).body if isinstance(node, ast.Expr)]
    for call in reversed(statements):
        if not isinstance(call, ast.Call):
            continue
        fields = {keyword.arg: keyword.value for keyword in call.keywords}
        if "deps" not in fields:
            continue
        label = f"//{folder}:{ast.literal_eval(fields['name'])}"
        files, _ = build_test.targets(folder)[label]
        needed = set().union(*map(build_test.needed, files)) - {label, "@pypi//pytest"}
        first, last = fields["deps"].lineno - 1, fields["deps"].end_lineno
        assert last is not None
        lines[first:last] = [f"    deps = {deps_list(needed, folder)},\n"]
    return "".join(lines)


def write_all() -> None:
    """Rewrites all BUILD files, step by step, since each step reads what the step before wrote."""
    for rewrite in (without_repeated_tests, with_missing_tests, with_deps, with_loads):
        build_test.targets.cache_clear()
        build_test.owners.cache_clear()
        for folder in build_test.FOLDERS:
            build: pathlib.Path = build_test.ROOT / folder / "BUILD"
            build.write_text(rewrite(build.read_text(), folder))


def main() -> None:
    builds = [build_test.ROOT / folder / "BUILD" for folder in build_test.FOLDERS]
    before = {build: build.read_text() for build in builds}
    try:
        write_all()
    except BaseException:
        for build, text in before.items():  # no half-written state is left
            build.write_text(text)
        raise


if __name__ == "__main__":
    main()
