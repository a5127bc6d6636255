"""What `lineage` prints: a tree from a pushed version down to its text, code and base model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text
from rich.tree import Tree

from pipeline.terminal.output import Console

if TYPE_CHECKING:
    from pipeline.metadata.lineage import Lineage

_WIDTH = 100_000
"""Wide enough that no line is cut: a program may read the output."""


def print_lineage(lineage: Lineage) -> None:
    """Prints the tree of a pushed version."""
    Console(width=_WIDTH).print(_tree(lineage), soft_wrap=True)


def _tree(lineage: Lineage) -> Tree:
    name = f"version {lineage.version}" if lineage.version else "a model that was never pushed"
    name += ", rolled back" if lineage.rolled_back else ""
    tree = Tree(Text(name, "bold"))
    if lineage.destination:
        served = "was served from" if lineage.rolled_back else "served from"
        tree.add(Text(f"{served}  {lineage.destination}"))
    model = tree.add(Text(f"model  {lineage.model}"))
    model.add(Text(f"recipe  {lineage.recipe}, fingerprint {lineage.fingerprint}"))
    model.add(Text(f"code  {lineage.code}" + (f"  ({lineage.commit})" if lineage.commit else "")))
    configuration = model.add(Text("configuration"))
    for section, fields in sorted(lineage.config.items()):
        configuration.add(Text(f"{section}  {_flat(fields)}"))
    examples = model.add(Text(f"examples  {lineage.examples}"))
    size = f", {lineage.vocabulary_size:,} entries" if lineage.vocabulary_size else ""
    examples.add(Text(f"vocabulary  {lineage.vocabulary}{size}"))
    cleaned = examples.add(Text(f"cleaned documents  {lineage.cleaned}"))
    documents = cleaned.add(Text(f"documents  {lineage.documents}"))
    documents.add(Text(f"text  span {lineage.label} of {lineage.pattern}"))
    documents.add(Text(f"corpus fingerprint  {lineage.corpus}"))
    if lineage.window:
        examples.add(Text(f"documents of earlier spans  {', '.join(lineage.window)}"))
    if lineage.base:
        base = model.add(Text("training started from"))
        base.add(_tree(lineage.base))
    return tree


def _flat(fields: Any, prefix: str = "") -> str:
    """The settings of a section as `name=value`, nested ones as `outer.inner=value`."""
    if not isinstance(fields, dict):
        return str(fields)
    return " ".join(
        _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else f"{prefix}{name}={value}"
        for name, value in fields.items()
    )
