"""Versions of the code by step, of what a step runs and nothing else.

A step's version is a hash of the source of all modules under `models` and `components` that it
imports, and of the versions of the libraries among these that can change its bytes. Comments,
docstrings and layout are left out of the hash, so a commit that changes only them changes no
version. Git is not asked: the same source has the same version in a shallow clone, in an archive,
and beside files that no step imports.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import hashlib
import importlib.metadata
import pathlib
import subprocess
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence

ROOT = pathlib.Path(__file__).parent.parent

STEPS: Mapping[str, tuple[str, ...]] = {
    "TextExampleGen": ("components.ingestion.component", "components.ingestion.transforms"),
    "StatisticsGen": ("components.validation.component",),
    "TextSchema": ("components.validation.component",),
    "ExampleValidator": ("components.validation.component",),
    "DataGate": ("components.validation.component",),
    "TextCleaner": ("components.cleaning.component", "components.cleaning.transforms"),
    "VocabularyTrainer": ("components.vocabulary.component",),
    "ExampleBuilder": ("components.examples.component", "components.examples.transforms"),
    "ExampleGate": ("components.examples.gate",),
    "Tuner": ("components.tuning.component",),
    "Trainer": ("components.training.component",),
    "Evaluator": ("components.evaluation.metrics", "components.evaluation.component"),
    "Pusher": ("components.serving.component",),
    "ServingCheck": ("components.serving.check", "components.serving.probe"),
}
"""The modules that a step of the graph runs; of TFX's own steps those that configure them."""

TRAINING = "training"
"""The name of the version that checkpoints are kept under: of the training loop and the model,
without what the Trainer does afterwards."""
_TRAINING_MODULES = ("components.training.train_job", "models.training.loop")

_FLOORS = ("models", "components")
_REGISTRY = "models.registry"

DECISIVE: Mapping[str, str] = {
    "apache_beam": "apache-beam",
    "datasketch": "datasketch",
    "deflate": "deflate",
    "jieba": "jieba",
    "keras": "keras",
    "keras_hub": "keras-hub",
    "keras_tuner": "keras-tuner",
    "numpy": "numpy",
    "py3langid": "py3langid",
    "pyarrow": "pyarrow",
    "scipy": "scipy",
    "tensorflow": "tensorflow",
    "tensorflow_data_validation": "tensorflow-data-validation",
    "tensorflow_model_analysis": "tensorflow-model-analysis",
    "tensorflow_text": "tensorflow-text",
    "tfx": "tfx",
    "tokenizers": "tokenizers",
}
"""Libraries that can change a step's bytes: the package that is imported, and its distribution."""

INDIFFERENT = frozenset(
    {
        "docker",  # whether there is one
        "google",  # protobuf's text format and messages
        "google_crc32c",  # a sum that the standard defines
        "h5py",
        "jinja2",
        "markupsafe",
        "matplotlib",
        "ml_metadata",
        "msgspec",  # what it encodes is decoded in the same step
        "pydantic",
        "tensorflow_metadata",
        "tensorflow_serving",
    }
)
"""Libraries that cannot: they check, describe or draw, or follow a standard."""

_WITHOUT_EFFECT = frozenset(
    {
        "components.config",
        "components.tuning_config",
        "models.allowed_values",
        "models.errors",
        "models.settings",
        "models.training.warm_start_config",
    }
)
"""Modules that compute nothing: the values of settings are in the keys themselves."""


@dataclasses.dataclass(frozen=True)
class _Source:
    """What a module's file holds: a hash of its code, and the names that it imports."""

    digest: str
    imports: frozenset[str]


def code_versions(family: str, root: pathlib.Path = ROOT) -> dict[str, str]:
    """The version of the code of each of `STEPS`, and of `TRAINING`.

    Args:
        family: the model's. The folders of the other families are not looked at.
        root: the folder that has `models` and `components`.

    Returns:
        A SHA-256 in hexadecimal for each step. Versions of steps that import the same code differ
        too, as a step is also the modules that it starts from.
    """
    steps = {**STEPS, TRAINING: _TRAINING_MODULES}
    return {step: _version(modules, family, root) for step, modules in steps.items()}


def commit(root: pathlib.Path = ROOT) -> str:
    """The commit that the source is of, for people: `1a2b3c4`, `1a2b3c4, changed`, or "unknown".

    No key holds it.
    """
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=12", "--dirty=, changed"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def imported(modules: Iterable[str], family: str, root: pathlib.Path = ROOT) -> set[str]:
    """All modules below `root` and all libraries that these modules import, directly or not.

    Args:
        modules: where to begin, as `components.training.component`. They are among the result.
        family, root: see `code_versions`.
    """
    registry = _source(root / _path(_REGISTRY), root)
    others = {name.split(".")[1] for name in registry.imports if name.count(".") > 1}
    others -= {family, "tokenizers"}
    found: set[str] = set()
    queue = list(modules)
    while queue:
        name = queue.pop()
        parts = name.split(".")
        if name in found or (parts[0] == "models" and len(parts) > 1 and parts[1] in others):
            continue
        found.add(name)
        if parts[0] in _FLOORS:
            queue += _source(root / _path(name), root).imports
    return found


def _version(modules: Sequence[str], family: str, root: pathlib.Path) -> str:
    names = imported(modules, family, root)
    total = hashlib.sha256(f"unicode {unicodedata.unidata_version}\n".encode())
    for name in sorted(names - _WITHOUT_EFFECT):
        if name.split(".")[0] in _FLOORS:
            total.update(f"{name} {_source(root / _path(name), root).digest}\n".encode())
        elif name in DECISIVE:
            total.update(f"{DECISIVE[name]} {_installed(DECISIVE[name])}\n".encode())
    return total.hexdigest()


def _installed(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "absent"  # jieba is an extra


def _path(module: str) -> str:
    return module.replace(".", "/") + ".py"


@functools.cache
def _source(file: pathlib.Path, root: pathlib.Path) -> _Source:
    tree = ast.parse(file.read_bytes())
    names = frozenset(_imports(tree, root))
    code = ast.unparse(_WithoutText().visit(tree))
    return _Source(hashlib.sha256(code.encode()).hexdigest(), names)


def _imports(tree: ast.AST, root: pathlib.Path) -> Iterator[str]:
    """Modules of the floors by their full names, other packages by their first."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue  # nothing of it runs
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield _module(alias.name, root)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield _module(f"{node.module}.{alias.name}", root)
        yield from _imports(node, root)


def _module(name: str, root: pathlib.Path) -> str:
    """The module that an import is from: `a.b` of `a.b.c` where c is a name in it."""
    if name.split(".")[0] not in _FLOORS:
        return name.split(".")[0]
    return name if (root / _path(name)).exists() else name.rpartition(".")[0]


class _WithoutText(ast.NodeTransformer):
    """Removes docstrings and other strings that are statements: nothing computes with them."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return None
        return node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if getattr(node, "body", None) == []:
            node.body = [ast.Pass()]  # type: ignore[attr-defined]
        return node
