"""Training speed of Polyseme and of its peers on PyTorch: tokens per second, matmul utilization.

    python -m benchmarks.training_benchmark [--only bert|gpt|elmo] [--steps 3] [--rounds 3]

Both sides train the same architecture on the same batches (training_batches.py) in float32, each in
its own process with one thread per core. They take turns of some steps. The fastest step counts, of
those during which other processes did not use the cores. It also prints the fewest CPU seconds of a
step, which include the busy waiting of PyTorch's threads. The peers run in their own environment
from PyPI, which `uv` caches, with everything that makes them faster: PyTorch's fused optimizers and
fused GELU, and memory that is kept between steps as in Polyseme.

- BERT, 4 layers, hidden size 512, 8 heads, AdamW: transformers' BertForPreTraining, whose head
  computes every position, while Polyseme's computes the 20 masked positions of a row.
- GPT, 4 layers, hidden size 512, 8 heads, AdamW: transformers' GPT2LMHeadModel.
- ELMo, Adagrad: two LSTM layers of 1,024 cells projected to 128 in both directions, the published
  character CNN, one highway layer, and a softmax over 8,192 sampled of 50,000 words. The peer is
  torch.nn.LSTM with proj_size; training_peer.py has the rest. Both compute each distinct word of a
  batch once, without padding that changes nothing. The peer is also measured without this, and the
  faster variant counts. Polyseme also clips cells and outputs.

Polyseme's step is that of `models.training.loop`, with oneDNN and XLA as training chooses them on
this processor (choices_benchmark.py measures the choices). The matmul utilization is the rate of
the operations that a step needs at least (`training_batches.step_operations`), as a share of the
rate of a float32 product of two 4,096 × 4,096 matrices, on the faster side of the same run. The
peer is also measured with torch.compile, where that works.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import IO, Any

from benchmarks.cores import PEAK_SIZE, print_processor
from benchmarks.training_batches import SHAPES, batches, step_operations

PEER = ("torch==2.14.1", "transformers==5.20.2", "numpy")
BATCHES = 8
PEER_VARIANTS: Mapping[str, Sequence[tuple[str, ...]]] = {
    "bert": [()],
    "gpt": [()],
    "elmo": [("--distinct", "1"), ("--distinct", "0")],
}
"""Arguments of the variants of each peer, of which the fastest counts."""

Time = tuple[float, float, float]
"""Seconds, the share of the cores that others used meanwhile, and CPU seconds: `cores.timed`."""

_DISTURBED = 0.03
"""A step does not count if other processes used this share of the cores."""


@dataclasses.dataclass
class Side:
    """A process that trains, and the times of its steps and matrix products."""

    name: str
    process: subprocess.Popen[str]
    stderr: IO[str]
    description: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    steps: list[Time] = dataclasses.field(default_factory=list)
    products: list[Time] = dataclasses.field(default_factory=list)

    def read(self) -> Any:
        """Reads the next line of JSON that the process prints.

        Raises:
            RuntimeError: the process has ended.
        """
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(("{", "[")):
                return json.loads(line)
        status = self.process.wait()
        self.stderr.seek(0)
        raise RuntimeError(f"{self.name} ended with status {status}\n{self.stderr.read()[-2_000:]}")

    def ask(self, line: str) -> list[Time]:
        """Sends a line to the process and reads the times that it answers."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return [(seconds, others, own) for seconds, others, own in self.read()]

    def take_turn(self, steps: int) -> None:
        """Runs some steps and some matrix products."""
        self.steps += self.ask(f"steps {steps}")
        self.products += self.ask("matmul")

    def end(self) -> None:
        """Ends the process."""
        self.process.terminate()
        self.process.wait()
        self.stderr.close()


def fastest(times: Sequence[Time]) -> Time:
    """The fastest of the undisturbed times; if there is none, of all times."""
    return min([each for each in times if each[1] < _DISTURBED] or times)


def main() -> None:
    options = _arguments()
    print_processor()
    for family in [options.only] if options.only else list(SHAPES):
        _race(family, options)


def _race(family: str, options: argparse.Namespace) -> None:
    with contextlib.ExitStack() as stack:
        running = _start_sides(family, options, stack)
        for number in range(options.max_rounds):
            undisturbed = min(
                sum(others < _DISTURBED for _, others, _ in side.steps) for side in running
            )
            if number >= options.rounds and undisturbed >= options.steps:
                break
            for side in running:
                side.take_turn(options.steps)
    _report(family, running)


def _start_sides(
    family: str, options: argparse.Namespace, stack: contextlib.ExitStack
) -> list[Side]:
    """Starts all sides; returns Polyseme's and those of the peers that run."""
    keep_memory = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1)}
    variants = [(*each, *more) for more in options.peer_modes for each in PEER_VARIANTS[family]]
    sides = [start("Polyseme", _ours(family), {})]
    stack.callback(sides[0].end)
    for variant in variants:
        name = " ".join(["PyTorch", *variant])
        sides.append(start(name, _theirs(family, variant), keep_memory))
        stack.callback(sides[-1].end)
    running: list[Side] = []
    for side in sides:
        try:
            side.description = side.read()
            running.append(side)
        except RuntimeError as error:
            print(f"{family}: {error}", flush=True)
    if not running or running[0].name != "Polyseme":
        raise SystemExit("Polyseme's side did not run")
    if all("--compile" in side.name for side in running[1:]):
        raise SystemExit(f"{family}: no peer ran without torch.compile")
    return running


def _report(family: str, sides: Sequence[Side]) -> None:
    operations = sum(step_operations(family, each) for each in batches(family, BATCHES)) / BATCHES
    product = 2.0 * PEAK_SIZE**3
    matmul_rate = max(product / fastest(side.products)[0] for side in sides)
    tokens = SHAPES[family].tokens
    print(f"{family}: {operations / 1e9:.0f} Gflop/step; matmul {matmul_rate / 1e9:.0f} GFLOP/s")
    for side in sides:
        best, others, _ = fastest(side.steps)
        cores = min(own for _, _, own in side.steps)
        print(
            f"  {side.name:32s} {side.description['mode']:13s} {best * 1e3:6.0f} ms/step"
            f" {tokens / best:6.0f} tokens/s"
            f" {operations / best / matmul_rate:6.1%} matmul utilization {cores:5.2f} CPU s"
            + (f" (other processes used {others:.0%})" if others >= _DISTURBED else "")
        )
        described = side.description
        print(
            f"    {described['versions']}; {described['parameters']:,} weights; first step"
            f" {described['first_seconds']:.0f} s, loss {described['first_loss']:.2f}"
        )
    ours, *theirs = sides
    for mode in sorted({side.description["mode"] for side in theirs}):
        best = min(fastest(side.steps)[0] for side in theirs if side.description["mode"] == mode)
        print(f"  ratio to {mode}: {best / fastest(ours.steps)[0]:.2f}", flush=True)


def _ours(family: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.training_ours", family, "--batches", str(BATCHES)]


def _theirs(family: str, variant: Sequence[str]) -> list[str]:
    packages = [part for package in PEER for part in ("--with", package)]
    script = str(pathlib.Path(__file__).with_name("training_peer.py"))
    return [
        *("uv", "run", "--quiet", "--no-project", "--python", sys.executable, *packages),
        *("python", script, family, "--batches", str(BATCHES), *variant),
    ]


def start(name: str, command: Sequence[str], settings: Mapping[str, str]) -> Side:
    """Starts the process of a side; its standard error is shown only if it fails."""
    log = tempfile.TemporaryFile("w+", errors="replace")
    quiet = {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3", "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        env={**os.environ, **quiet, **settings},
    )
    return Side(name, process, log)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", choices=list(SHAPES), help="one family")
    parser.add_argument("--steps", type=int, default=3, help="steps per turn")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side")
    parser.add_argument(
        "--max-rounds", type=int, default=20, help="turns while other processes disturb the steps"
    )
    parser.add_argument(
        "--eager-only", action="store_true", help="skip torch.compile, which takes minutes"
    )
    options = parser.parse_args()
    options.peer_modes = [()] if options.eager_only else [(), ("--compile",)]
    return options


if __name__ == "__main__":
    main()
