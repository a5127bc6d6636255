"""The version of each step's code: a hash of the source and the libraries that the step runs.

A step's version is a hash of the source of all modules under `models` and `components` that it
imports, and of the versions of those imported libraries that can change its output bytes. Comments,
docstrings and layout are not hashed, so a commit that changes only these changes no version. The
hash does not depend on Git: the same source has the same version in a shallow clone and in an
archive, and files that no step imports do not count.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import hashlib
import importlib.metadata
import pathlib
import re
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
"""The modules that each step of the graph runs; for TFX's own steps, those that configure them."""

TRAINING = "training"
"""Name of the version that checkpoints are stored under: that of the training loop and the model,
without what the Trainer does after training."""
_TRAINING_MODULES = ("components.training.train_job", "models.training.loop")

_FLOORS = ("models", "components")
_REGISTRY = "models.registry"
_LAZY_IMPORT = re.compile(r"(?:models|components)(?:\.\w+)+:\w+")
"""A string that `pkgutil.resolve_name` imports, as in the registry."""

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
"""Libraries that can change a step's output bytes: imported package → distribution."""

INDIFFERENT = frozenset(
    {
        "docker",  # only asked whether it is available
        "google",  # protobuf's text format and messages
        "google_crc32c",  # the standard defines the checksum
        "h5py",
        "jinja2",
        "markupsafe",
        "matplotlib",
        "ml_metadata",
        "msgspec",  # the same step encodes and decodes with it
        "pydantic",
        "tensorflow_metadata",
        "tensorflow_serving",
    }
)
"""Libraries that cannot change the bytes: they check, describe, draw, or follow a standard."""

_QUESTIONS = re.compile(r"models(\.\w+)?\.questions")
"""Modules that only `predict` uses."""
_WITHOUT_EFFECT = frozenset(
    {
        "components.config",
        "components.tuning_config",
        "models.allowed_values",
        "models.errors",
        "models.registry",  # what a family imports counts, and not which other families there are
        "models.settings",
        "models.training.warm_start_config",
    }
)
"""Modules that compute nothing. The values of settings are in the cache keys anyway."""


@dataclasses.dataclass(frozen=True)
class _Source:
    """A module's source file: a hash of its code, and the names that it imports."""

    digest: str
    imports: frozenset[str]


def code_versions(family: str, root: pathlib.Path = ROOT) -> dict[str, str]:
    """The version of the code of each of `STEPS`, and of `TRAINING`.

    Args:
        family: the model's family. Code in the folders of other families does not count.
        root: the folder that contains `models` and `components`.

    Returns:
        Step name → SHA-256 in hexadecimal.
    """
    steps = {**STEPS, TRAINING: _TRAINING_MODULES}
    return {step: _version(modules, family, root) for step, modules in steps.items()}


def commit(root: pathlib.Path = ROOT) -> str:
    """The commit of the source, for people: "1a2b3c4", "1a2b3c4, changed", or "unknown".

    No cache key holds it.
    """
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=12", "--dirty=, changed"]
    try:
        described = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return described.stdout.strip()


def imported(modules: Iterable[str], family: str, root: pathlib.Path = ROOT) -> set[str]:
    """All modules below `root` and all libraries that `modules` import, directly or indirectly.

    Args:
        modules: dotted names to start from, as `components.training.component`. The result
            includes them.
        family, root: see `code_versions`.
    """
    registry = _source(root / _path(_REGISTRY), root)
    other_families = {name.split(".")[1] for name in registry.imports if name.count(".") > 1}
    other_families -= {family, "tokenizers"}
    visited: set[str] = set()
    queue = list(modules)
    while queue:
        name = queue.pop()
        parts = name.split(".")
        of_other_family = parts[0] == "models" and len(parts) > 1 and parts[1] in other_families
        if name in visited or of_other_family:
            continue
        visited.add(name)
        if parts[0] in _FLOORS:
            queue += _source(root / _path(name), root).imports
    return visited


def _version(modules: Sequence[str], family: str, root: pathlib.Path) -> str:
    names = imported(modules, family, root)
    total = hashlib.sha256(f"unicode {unicodedata.unidata_version}\n".encode())
    for name in sorted(names - _WITHOUT_EFFECT):
        if _QUESTIONS.fullmatch(name):
            continue
        if name.split(".")[0] in _FLOORS:
            total.update(f"{name} {_source(root / _path(name), root).digest}\n".encode())
        elif name in DECISIVE:
            total.update(f"{DECISIVE[name]} {_installed(DECISIVE[name])}\n".encode())
    return total.hexdigest()


def _installed(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "absent"  # jieba is an optional dependency


def _path(module: str) -> str:
    return module.replace(".", "/") + ".py"


def _source(file: pathlib.Path, root: pathlib.Path) -> _Source:
    return _parsed(file.read_bytes(), root)


@functools.cache  # by content, as parsing takes most of the time
def _parsed(code: bytes, root: pathlib.Path) -> _Source:
    tree = ast.parse(code)
    names = frozenset(_imports(tree, root))
    effective = ast.unparse(_WithoutDocstrings().visit(tree))
    return _Source(hashlib.sha256(effective.encode()).hexdigest(), names)


def _imports(tree: ast.AST, root: pathlib.Path) -> Iterator[str]:
    """Modules of the floors by their full names, other packages by their top-level names."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue  # never executed
        if isinstance(node, ast.Constant) and _LAZY_IMPORT.fullmatch(str(node.value)):
            yield str(node.value).partition(":")[0]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield _module(alias.name, root)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield _module(f"{node.module}.{alias.name}", root)
        yield from _imports(node, root)


def _module(name: str, root: pathlib.Path) -> str:
    """The module behind an imported name: `a.b` for `a.b.c` if c is an attribute of the module."""
    if name.split(".")[0] not in _FLOORS:
        return name.split(".")[0]
    return name if (root / _path(name)).exists() else name.rpartition(".")[0]


class _WithoutDocstrings(ast.NodeTransformer):
    """Removes docstrings and other strings that are statements: they have no effect."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return None
        return node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if getattr(node, "body", None) == []:
            node.body = [ast.Pass()]  # type: ignore[attr-defined]
        return node
