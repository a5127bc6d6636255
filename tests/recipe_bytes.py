"""Prints the example bytes and the final weights of the three tiny recipes, as hashes.

For a change that must not change behavior, run it before and after the change, on one machine:

    python -m tests.recipe_bytes --checkout ../before > before.json
    python -m tests.recipe_bytes > after.json
    diff before.json after.json

The text is fixed (tests/testdata/small_corpus.py). The weights are hashed by their values alone, so
a variable may be renamed. Floating-point sums depend on the processor, so both runs need the same
machine.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import tensorflow as tf

from tests.testdata.small_corpus import ROOT, write_corpus

RECIPES = ("bert_tiny", "elmo_tiny", "gpt_tiny")


def run_recipe(recipe: str, checkout: pathlib.Path, folder: pathlib.Path) -> dict[str, object]:
    """Trains a recipe with the code of a checkout; returns hashes of its examples and weights."""
    source = write_corpus(folder / "text.jsonl", range(60))
    subprocess.run(
        [sys.executable, "-m", "pipeline", "run", recipe, "--input", source, "--runs", folder],
        cwd=checkout,
        env=os.environ | {"PYTHONPATH": str(checkout)},
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        check=True,
    )
    (manifest,) = (folder / recipe / "artifacts" / "ExampleBuilder").glob("examples/*/SHA256SUMS")
    (model,) = (folder / recipe / "serving" / recipe).iterdir()
    return {"examples": manifest.read_text().splitlines(), "weights": weights_hash(model)}


def weights_hash(model: pathlib.Path) -> dict[str, object]:
    """One hash of all variables of a SavedModel, whatever their names and order."""
    reader = tf.train.load_checkpoint(str(model / "variables" / "variables"))
    hashes = []
    for name, shape in reader.get_variable_to_shape_map().items():
        if name != "_CHECKPOINTABLE_OBJECT_GRAPH":
            value = reader.get_tensor(name)
            content = f"{value.dtype} {shape} ".encode() + value.tobytes()
            hashes.append(hashlib.sha256(content).hexdigest())
    return {
        "variables": len(hashes),
        "sha256": hashlib.sha256("".join(sorted(hashes)).encode()).hexdigest(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkout", type=pathlib.Path, default=ROOT, help="whose code is run")
    checkout = parser.parse_args().checkout.resolve()
    result = {}
    for recipe in RECIPES:
        with tempfile.TemporaryDirectory() as folder:
            result[recipe] = run_recipe(recipe, checkout, pathlib.Path(folder))
    json.dump(result, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
