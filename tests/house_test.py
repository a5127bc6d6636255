"""The laws of docs/architecture.md and the rules for files, checked on the sources."""

import ast
import fnmatch
import functools
import pathlib
import re
import subprocess
import sys

import pytest
from setuptools.config.pyprojecttoml import read_configuration

from models import registry

ROOT = pathlib.Path(__file__).resolve().parents[1]
FLOORS = ("models", "components", "pipeline")
FAMILIES = tuple(registry.FAMILIES)
LAZY_IMPORT = re.compile(r"(?:models|components)(?:\.\w+)+:\w+")  # see models/registry.py

MAX_LINES = 350
NO_TEST_OF_THEIR_OWN = {
    "components/artifacts.py": "declares types only",
    **{f"models/{name}/family.py": "registry_test.py tests every family" for name in FAMILIES},
    "models/metric.py": "declares a dataclass only",
    "models/objective.py": "declares the protocol only",
    "models/training/layout.py": "contains names only",
    "models/tokenizers/tokenizer.py": "declares the interface; wordpiece_test.py tests it",
    "pipeline/__main__.py": "calls cli.main; readme_test.py runs it",
}

# Libraries that only some files may import, and libraries that no file of a floor may import.
ONLY_IN = {
    "keras_tuner": {"components/tuning/oracles.py", "components/tuning/component.py"},
    "matplotlib": {
        "components/reporting/charts.py",
        "components/reporting/svg.py",
        "components/reporting/word_charts.py",
    },
    "airflow": {"pipeline/runners.py"},
    "kfp": {"pipeline/runners.py"},
    "grpc": {"pipeline/client.py"},
}
NEVER_IN = {
    "models": {
        "apache_beam", "ml_metadata", "tensorflow_data_validation", "tensorflow_metadata",
        "tensorflow_model_analysis", "tensorflow_transform", "tfx", "tfx_bsl", "rich", "tyro",
    },
    "components": {"tensorflow_transform", "rich", "tyro"},
    "pipeline": {"tensorflow_transform"},
}  # fmt: skip

# Private names of libraries, by the files that use them: a new version may lack them.
PRIVATE_MODULES = ("tensorflow.python", "keras.src", "keras_hub.src", "tensorflow_text.python")
MAY_USE_PRIVATE = {
    "models/private_api.py": {
        "_accumulators", "_all_reduce_sum_gradients", "_get_variable_index", "_momentums",
        "_resource", "_use_weight_decay", "_var_key", "_velocities",
        "tensorflow.python.ops.control_flow_util.GraphOrParentsInXlaContext",
    },
    # This program is run without Polyseme's modules, because TF Serving has none of them.
    "components/serving/probe.py": {"tensorflow.python.framework.op_def_registry"},
    "components/tuning/component.py": {"_get_tmp_dir"}, # TFX's executors; its own Tuner does so too
}  # fmt: skip
PUBLIC = {"os._exit", "_asdict", "_replace"}  # documented, although they begin with an underscore


@functools.cache
def files() -> tuple[str, ...]:
    """The files that git tracks or would track, relative to the repository's root."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    return tuple(sorted(name for name in listing.split("\0") if name and (ROOT / name).is_file()))


def sources() -> list[str]:
    return [name for name in files() if name.endswith(".py") and name.split("/", 1)[0] in FLOORS]


def suite() -> list[str]:
    return [name for name in files() if name.startswith("tests/") and name.endswith("_test.py")]


@functools.cache
def tree(name: str) -> ast.Module:
    return ast.parse((ROOT / name).read_text(encoding="utf-8"), name)


def imports(module: ast.Module) -> set[str]:
    """Dotted names that a module imports, also in functions; `from a import b` gives a.b."""
    names = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide which module is imported"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Constant) and LAZY_IMPORT.fullmatch(str(node.value)):
            names.add(str(node.value).replace(":", "."))
    return names


def forbidden(file: str, imported: str) -> str | None:
    """Why `file` may not import the dotted name, or None if it may."""
    floor, library = file.split("/", 1)[0], imported.split(".", 1)[0]
    if library in FLOORS:
        if FLOORS.index(library) > FLOORS.index(floor):
            return f"{floor} is below {library}"
        if library != "models" or floor != "models" or "/" not in file.removeprefix("models/"):
            return None
        room, target = file.split("/")[1], imported.split(".")[1]
        if target == "registry":
            return "only modules above the families may import the registry"
        if room in FAMILIES and (target in FAMILIES or target == "tasks") and target != room:
            return "a family may not import another family or a task"
        if room == "tasks" and target in FAMILIES:
            return "a task may not import a family"
        if room == "tokenizers" and target not in (
            "tokenizers", "config", "errors", "settings",
        ):  # fmt: skip
            return "tokenizers may import configuration and errors only"
        return None
    if library in NEVER_IN[floor]:
        return f"{floor} may not import {library}"
    if file not in ONLY_IN.get(library, {file}):
        return f"{library} may be imported by {', '.join(ONLY_IN[library])} only"
    return None


def test_imports_point_downwards() -> None:
    broken = [
        f"{file}: {imported}: {reason}"
        for file in sources()
        for imported in sorted(imports(tree(file)))
        if (reason := forbidden(file, imported))
    ]
    assert not broken, "\n".join(broken)


def test_only_the_registry_imports_families() -> None:
    broken = [
        f"{file}: {imported}"
        for file in sources()
        if file.startswith("models/") and file.count("/") == 1 and file != "models/registry.py"
        for imported in sorted(imports(tree(file)))
        if imported.split(".")[:2] in [["models", room] for room in (*FAMILIES, "tasks")]
    ]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize(
    ("file", "imported", "allowed"),
    [
        ("models/training/loop.py", "components.config.BeamConfig", False),
        ("models/training/loop.py", "apache_beam", False),
        ("models/bert/objective.py", "models.elmo.backbone", False),
        ("models/bert/objective.py", "models.registry.FAMILIES", False),
        ("models/bert/objective.py", "models.bert.masking", True),
        ("models/bert/objective.py", "models.objective.Loss", True),
        ("models/tokenizers/words.py", "models.objective.Loss", False),
        ("models/tasks/tagging.py", "models.gpt.backbone", False),
        ("models/registry.py", "models.bert.objective", True),
        ("components/serving/export.py", "pipeline.config", False),
        ("components/serving/export.py", "matplotlib.pyplot", False),
        ("components/training/component.py", "keras_tuner.oracles", False),
        ("components/tuning/component.py", "keras_tuner.oracles", True),
        ("components/reporting/charts.py", "matplotlib.pyplot", True),
        ("components/serving/export.py", "tfx.v1", True),
        ("pipeline/dag.py", "components.evaluation.metrics", True),
        ("pipeline/dag.py", "airflow", False),
    ],
)
def test_the_rule_for_imports(file: str, imported: str, allowed: bool) -> None:
    assert (forbidden(file, imported) is None) == allowed


def test_configuration_needs_no_tensorflow() -> None:
    modules = [name[:-3].replace("/", ".") for name in sources() if name.endswith("/config.py")]
    heavy = "{'tensorflow', 'keras', 'tfx', 'apache_beam', 'numpy'}"
    script = f"import sys, {', '.join(modules)}; print(*sorted({heavy} & sys.modules.keys()))"
    loaded = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert loaded.stdout.split() == []


def test_modules_of_beam_workers_import_no_tensorflow() -> None:
    """Each of Beam's worker processes imports them before it reads."""
    steps = "components.ingestion.transforms, components.examples.transforms"
    script = f"import sys, {steps}; print(*{{'tensorflow', 'keras', 'tfx'}} & sys.modules.keys())"
    loaded = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert loaded.stdout.split() == []


def private_uses(file: str) -> set[str]:
    """Private modules that a file imports, and private attributes that no source defines."""
    known = PUBLIC | own_private_names()
    return {name for name in imports(tree(file)) if name.startswith(PRIVATE_MODULES)} | {
        node.attr
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Attribute)
        and re.fullmatch("_[a-z].*", node.attr)
        and known.isdisjoint({node.attr, ast.unparse(node)})
    }


@functools.cache
def own_private_names() -> set[str]:
    """Functions, classes' attributes and methods whose names begin with an underscore."""
    names = set()
    for file in sources():
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.FunctionDef):
                names.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                names |= {node.attr} if ast.unparse(node.value) == "self" else set()
    return {name for name in names if name.startswith("_")}


def test_private_names_of_libraries_are_used_in_few_places() -> None:
    used = {file: found for file in sources() if (found := private_uses(file))}
    assert used == MAY_USE_PRIVATE


MAY_RENAME = {
    "components/storage/publish.py",
    "models/published.py",
    "models/training/checkpoints.py",  # sets damaged checkpoints aside
    "pipeline/prune.py",  # hides served versions before it removes them
    "pipeline/rollback.py",  # hides and shows served versions
}
"""The atomic writer, and the files that rename what is complete already."""


def renames(file: str) -> list[str]:
    """Calls that rename a file: `os.replace(a, b)`, `a.rename(b)`, `a.replace(b)` of a path."""
    calls = [node for node in ast.walk(tree(file)) if isinstance(node, ast.Call)]
    texts = [ast.unparse(call.func) for call in calls]
    return [
        text
        for text, call in zip(texts, calls, strict=True)
        if text in ("os.replace", "os.rename", "shutil.move")
        or text.endswith(".rename")
        or (text.endswith(".replace") and (len(call.args), len(call.keywords)) == (1, 0))
    ]


def test_files_are_written_atomically_in_one_place() -> None:
    assert {file for file in sources() if renames(file)} == MAY_RENAME


def is_component(function: ast.AST) -> bool:
    decorators = getattr(function, "decorator_list", [])
    targets = [item.func if isinstance(item, ast.Call) else item for item in decorators]
    names = [getattr(target, "attr", getattr(target, "id", "")) for target in targets]
    return "component" in names


def test_component_annotations_are_objects() -> None:
    """TFX reads a component's interface from `__annotations__`, which must not be strings."""
    components = [file for file in sources() if any(map(is_component, ast.walk(tree(file))))]
    assert components
    strings = [file for file in components if "__future__.annotations" in imports(tree(file))]
    assert not strings, strings


def test_tests_mirror_sources() -> None:
    mirrored = {
        f"tests/{name[:-3]}_test.py"
        for name in sources()
        if not name.endswith("__init__.py") and name not in NO_TEST_OF_THEIR_OWN
    }
    present = set(suite())
    assert not mirrored - present, f"no test file: {sorted(mirrored - present)}"
    nested = {name for name in present if name.count("/") > 1 and not name.endswith("_e2e_test.py")}
    optional = {f"tests/{name[:-3]}_test.py" for name in NO_TEST_OF_THEIR_OWN}
    assert not nested - mirrored - optional, f"no source: {sorted(nested - mirrored - optional)}"


def test_files_without_a_test_exist() -> None:
    assert not set(NO_TEST_OF_THEIR_OWN) - set(sources())


def test_no_file_has_a_meaningless_name() -> None:
    meaningless = {"utils", "util", "helpers", "helper", "common", "misc", "scripts", "configs"}
    found = [n for n in files() if meaningless & {pathlib.Path(part).stem for part in n.split("/")}]
    assert not found, found


def test_an_installed_package_has_its_data_files() -> None:
    """Setuptools installs a file that is no module, such as a template, only if it is named."""
    settings = read_configuration(ROOT / "pyproject.toml", expand=False)["tool"]["setuptools"]
    named = {
        f"{package.replace('.', '/')}/{pattern}"
        for package, patterns in settings["package-data"].items()
        for pattern in patterns
    }
    data = {
        name
        for name in files()
        if name.split("/", 1)[0] in FLOORS and not name.endswith((".py", "/BUILD"))
    }
    installed = {name for name in data if any(fnmatch.fnmatch(name, each) for each in named)}
    assert data == installed


def test_files_are_short() -> None:
    long = {
        name: count
        for name in files()
        if name.endswith(".py")
        and (count := (ROOT / name).read_text(encoding="utf-8").count("\n")) > MAX_LINES
    }
    assert not long, f"over {MAX_LINES} lines: {long}"


def test_tests_have_no_init_files() -> None:
    assert not [name for name in files() if name.startswith("tests/") and "__init__.py" in name]


# Names of one machine or of one host on the network. Brackets keep this file from matching.
PLACES = re.compile(
    r"(?<![\w.])/(root|work|home/\w+)/"
    r"|[.][.]/share[d]|/share[d]/data"
    r"|pypi[.]org|pythonhosted[.]org|debian[.]org|npmjs[.]|crates[.]io|golang[.]org|maven[.]org"
)
MAY_NAME_PLACES = {".ci/run": "finds the test data that may be next to the repository"}


def test_no_machine_or_host_is_named() -> None:
    named = []
    for name in files():
        if name in MAY_NAME_PLACES:
            continue
        text = (ROOT / name).read_bytes().decode("utf-8", errors="replace")
        named += [
            f"{name}:{number}: {found.group()}"
            for number, line in enumerate(text.splitlines(), start=1)
            if (found := PLACES.search(line))
        ]
    assert not named, "\n".join(named)
