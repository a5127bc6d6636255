"""The memory that devices.rematerialize saves, and the time that it costs.

    python -m benchmarks.rematerialization_benchmark [--only bert|gpt|elmo]

Measures a training step of the models of training_benchmark.py with larger batches or more layers.
So the values that are kept for the gradient are larger than the weights and the optimizer's state.
Each configuration runs in its own process. The fastest of its steps counts, and the peak memory
since its start (VmHWM, Linux).
"""

from __future__ import annotations

import argparse
import pathlib
import re
import sys
from collections.abc import Mapping, Sequence

from benchmarks.cores import print_processor
from benchmarks.training_benchmark import fastest, start

SIZES: Mapping[str, Sequence[str]] = {
    "bert": ("--layers", "12", "--batch", "32"),
    "gpt": ("--layers", "12", "--batch", "8"),
    "elmo": ("--batch", "256"),
}
"""Families → arguments of training_ours.py."""


def main() -> None:
    options = _arguments()
    print_processor()
    print(f"{'':40s} {'ms/step':>9s} {'peak MB':>10s}")
    for family in [options.only] if options.only else list(SIZES):
        for more in ((), ("--rematerialize",)):
            arguments = [family, *SIZES[family], *more]
            seconds, megabytes = _measure(arguments, options)
            print(f"{' '.join(arguments):40s} {seconds * 1e3:9.0f} {megabytes:10,.0f}", flush=True)


def _measure(arguments: Sequence[str], options: argparse.Namespace) -> tuple[float, float]:
    """Seconds of a step, and the peak memory of its process in MB."""
    command = [sys.executable, "-m", "benchmarks.training_ours", *arguments]
    if options.jit is not None:
        command += ["--jit", str(options.jit)]
    side = start(arguments[0], [*command, "--batches", "2"], {})
    try:
        side.read()
        seconds, *_ = fastest(side.ask(f"steps {options.steps}"))
        status = pathlib.Path(f"/proc/{side.process.pid}/status").read_text()
    finally:
        side.end()
    (kilobytes,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    return seconds, int(kilobytes) / 1024


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=list(SIZES), help="one family")
    parser.add_argument("--steps", type=int, default=3, help="steps of each configuration")
    parser.add_argument(
        "--jit", type=int, choices=(0, 1), help="without or with XLA; default: as training chooses"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
