"""The time of a training step with and without oneDNN and XLA, which decides their defaults.

    python -m benchmarks.choices_benchmark [--only bert|gpt|elmo] [--sizes large small]

Measures the models of training_benchmark.py on all cores, and small models like the demo's on one
thread, as `make demo` runs them. The four combinations of a model take turns. The fastest step
counts, of those during which other processes did not use the cores. `auto` marks the choice of XLA
that training makes with the row's oneDNN setting, and `*` the row that training uses on this
processor. See docs/decisions/0026-onednn-and-xla-by-measurement.md. With ONEDNN_MAX_CPU_ISA=AVX2 in
the environment, oneDNN works as on a processor without AVX-512; the rest of TensorFlow does not.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import sys

from benchmarks.cores import print_processor
from benchmarks.training_batches import SHAPES
from benchmarks.training_benchmark import Side, fastest, start
from models.processor import ONEDNN, onednn_is_on

_ONE_THREAD = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
_COMBINATIONS = tuple(itertools.product((False, True), repeat=2))  # oneDNN, XLA


def main() -> None:
    options = _arguments()
    print_processor()
    print(f"{'':14s} {'oneDNN':6s} {'XLA':4s} {'ms/step':>9s} {'CPU s':>10s} {'first, s':>8s}")
    for size in options.sizes:
        for family in [options.only] if options.only else list(SHAPES):
            _compare(family, size, options)


def _compare(family: str, size: str, options: argparse.Namespace) -> None:
    small = size == "small"
    sides: list[Side] = []
    with contextlib.ExitStack() as stack:
        for onednn, xla in _COMBINATIONS:
            command = [sys.executable, "-m", "benchmarks.training_ours", family]
            command += ["--jit", str(int(xla)), *(["--small"] if small else [])]
            settings = {ONEDNN: str(int(onednn)), **(_ONE_THREAD if small else {})}
            side = start(family, command, settings)
            stack.callback(side.end)
            side.description = side.read()
            sides.append(side)
        for _ in range(options.rounds):
            for side in sides:
                side.steps += side.ask(f"steps {options.steps * (10 if small else 1)}")
    for (onednn, xla), side in zip(_COMBINATIONS, sides, strict=True):
        seconds, others, _ = fastest(side.steps)
        cores = min(own for _, _, own in side.steps)
        first_seconds = side.description["first_seconds"]
        chosen = "auto" if side.description["chosen"] else ""
        here = "*" if chosen and onednn == onednn_is_on() else ""
        print(
            f"{family + ', ' + size:14s} {'on' if onednn else 'off':6s} {'on' if xla else 'off':4s}"
            f" {seconds * 1e3:9.1f} {cores:10.3f} {first_seconds:8.1f} {chosen}{here}"
            + (f" (other processes used {others:.0%})" if others >= 0.03 else ""),
            flush=True,
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=list(SHAPES), help="one family")
    parser.add_argument(
        "--sizes", nargs="+", choices=("large", "small"), default=["large", "small"]
    )
    parser.add_argument(
        "--steps", type=int, default=2, help="steps per turn; ten times as many for small models"
    )
    parser.add_argument("--rounds", type=int, default=3, help="turns of each combination")
    return parser.parse_args()


if __name__ == "__main__":
    main()
