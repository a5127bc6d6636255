"""What devices.rematerialize saves of memory, and the time that it takes.

    python -m benchmarks.rematerialization_benchmark [--only bert|gpt|elmo]

A training step of the models of training_benchmark.py, with larger batches, or more layers, than
there: what a step keeps for its gradient is then more than the weights and what the optimizer
knows of them. For each way a process of its own; of its steps the fastest counts, and the most
memory that it held from its start on (VmHWM, Linux).
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
"""Arguments of training_ours.py by family."""


def main() -> None:
    options = _arguments()
    print_processor()
    print(f"{'':40s} {'ms a step':>9s} {'MB at most':>10s}")
    for family in [options.only] if options.only else list(SIZES):
        for more in ((), ("--rematerialize",)):
            way = [family, *SIZES[family], *more]
            seconds, megabytes = _measure(way, options)
            print(f"{' '.join(way):40s} {seconds * 1e3:9.0f} {megabytes:10,.0f}", flush=True)


def _measure(way: Sequence[str], options: argparse.Namespace) -> tuple[float, float]:
    """Seconds of a step, and MB that its process held at most."""
    command = [sys.executable, "-m", "benchmarks.training_ours", *way]
    if options.jit is not None:
        command += ["--jit", str(options.jit)]
    side = start(way[0], [*command, "--batches", "2"], {})
    try:
        side.hear()
        seconds, *_ = fastest(side.ask(f"steps {options.steps}"))
        status = pathlib.Path(f"/proc/{side.process.pid}/status").read_text()
    finally:
        side.process.terminate()
        side.process.wait()
        side.complaints.close()
    (kilobytes,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    return seconds, int(kilobytes) / 1024


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=list(SIZES), help="one family")
    parser.add_argument("--steps", type=int, default=3, help="that are measured of each way")
    parser.add_argument(
        "--jit", type=int, choices=(0, 1), help="XLA or not; default: as training chooses"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
