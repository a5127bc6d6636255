"""Training tokens a second of Polyseme's step and of its peer's on PyTorch, and how near the peak.

    python -m benchmarks.training_benchmark [--only bert|gpt|elmo] [--steps 3] [--rounds 3]

Both sides train the same architecture on the same batches (training_batches.py), in float32, each
in a process of its own with a thread a core. They take turns, some steps each, and of all steps the
fastest one counts that other processes left the cores to. Beside it stand the least seconds of
cores that a step took, which on the peer's side hold its threads' busy waiting. The peers get an
environment of their own from PyPI, which `uv` keeps, and what makes them faster: PyTorch's fused
optimizers and fused GELU, and memory kept between steps as Polyseme keeps it.

- BERT 4 layers, 512 wide, 8 heads: transformers' BertForPreTraining, whose head sees every
  position, while ours sees the 20 masked ones of a row. AdamW.
- GPT 4/512/8: transformers' GPT2LMHeadModel. AdamW.
- ELMo, two LSTM layers of 1,024 cells projected to 128 in both directions, the published character
  CNN, one highway layer, a softmax over 8,192 candidates drawn of 50,000 words: torch.nn.LSTM with
  proj_size and the rest written out in training_peer.py. Both compute each distinct word of a batch
  once, no further than the longest one's padding counts; the peer also without that, and the faster
  one counts. Ours clips cells and outputs besides. Adagrad.

Ours is `models.training.loop`'s step, with oneDNN and XLA as training chooses them on this
processor (choices_benchmark.py measures the choices). The share of the peak is of the
operations that the step needs at least (`training_batches.step_operations`), against the faster
side's float32 product of two 4,096 × 4,096 matrices in the same run. A second figure of the peer is
torch.compile's, where it works.
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
WAYS: Mapping[str, Sequence[tuple[str, ...]]] = {
    "bert": [()],
    "gpt": [()],
    "elmo": [("--distinct", "1"), ("--distinct", "0")],
}
"""The ways to run each peer, of which the fastest counts."""

Time = tuple[float, float, float]
"""Seconds, the share of the cores that others had meanwhile, seconds of cores: `cores.timed`."""

_DISTURBED = 0.03


@dataclasses.dataclass
class Side:
    """One process that trains; of its steps and of its products of matrices the times."""

    name: str
    process: subprocess.Popen[str]
    complaints: IO[str]
    told: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    steps: list[Time] = dataclasses.field(default_factory=list)
    products: list[Time] = dataclasses.field(default_factory=list)

    def hear(self) -> Any:
        """The next line of JSON that the process prints.

        Raises:
            RuntimeError: it ended.
        """
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(("{", "[")):
                return json.loads(line)
        status = self.process.wait()
        self.complaints.seek(0)
        raise RuntimeError(
            f"{self.name} ended with status {status}\n{self.complaints.read()[-2_000:]}"
        )

    def ask(self, line: str) -> list[Time]:
        """What the process answers."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return [(seconds, others, own) for seconds, others, own in self.hear()]

    def take_turn(self, steps: int) -> None:
        """Runs some steps, and some products of matrices."""
        self.steps += self.ask(f"steps {steps}")
        self.products += self.ask("peak")


def fastest(times: Sequence[Time]) -> Time:
    """The fastest of those that nobody disturbed; if there is none, of all."""
    return min([each for each in times if each[1] < _DISTURBED] or times)


def main() -> None:
    options = _arguments()
    print_processor()
    for family in [options.only] if options.only else list(SHAPES):
        _race(family, options)


def _race(family: str, options: argparse.Namespace) -> None:
    kept = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1)}
    ways = [(*way, *more) for more in options.peer_ways for way in WAYS[family]]
    running: list[Side] = []
    with contextlib.ExitStack() as ending:
        for way in [None, *ways]:
            if way is None:
                side = start("Polyseme", _ours(family), {})
            else:
                side = start(" ".join(["PyTorch", *way]), _theirs(family, way), kept)
            ending.callback(side.complaints.close)
            ending.callback(side.process.wait)
            ending.callback(side.process.terminate)
            try:
                side.told = side.hear()
                running.append(side)
            except RuntimeError as error:
                print(f"{family}: {error}", flush=True)
        if not running or running[0].name != "Polyseme":
            raise SystemExit("Polyseme's side did not run")
        if all("--compile" in side.name for side in running[1:]):
            raise SystemExit(f"{family}: no peer but compiled ones ran")
        for number in range(options.most_rounds):
            undisturbed = min(
                sum(others < _DISTURBED for _, others, _ in side.steps) for side in running
            )
            if number >= options.rounds and undisturbed >= options.steps:
                break
            for side in running:
                side.take_turn(options.steps)
    _report(family, running)


def _report(family: str, sides: Sequence[Side]) -> None:
    operations = sum(step_operations(family, each) for each in batches(family, BATCHES)) / BATCHES
    product = 2.0 * PEAK_SIZE**3
    peak = max(product / fastest(side.products)[0] for side in sides)
    tokens = SHAPES[family].tokens
    print(f"{family}: {operations / 1e9:.0f} Gflop a step; peak {peak / 1e9:.0f} GFLOP/s")
    for side in sides:
        best, others, _ = fastest(side.steps)
        cores = min(own for _, _, own in side.steps)
        print(
            f"  {side.name:32s} {side.told['way']:13s} {best * 1e3:6.0f} ms a step"
            f" {tokens / best:6.0f} tokens/s {operations / best / peak:6.1%} of the peak"
            f" {cores:5.2f} s of cores"
            + (f" (others had {others:.0%} of them)" if others >= _DISTURBED else "")
        )
        told = side.told
        print(
            f"    {told['versions']}; {told['parameters']:,} weights; first step"
            f" {told['first_seconds']:.0f} s, loss {told['first_loss']:.2f}"
        )
    ours, *theirs = sides
    for way in sorted({side.told["way"] for side in theirs}):
        best = min(fastest(side.steps)[0] for side in theirs if side.told["way"] == way)
        print(f"  ratio to {way}: {best / fastest(ours.steps)[0]:.2f}", flush=True)


def _ours(family: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.training_ours", family, "--batches", str(BATCHES)]


def _theirs(family: str, way: Sequence[str]) -> list[str]:
    packages = [part for package in PEER for part in ("--with", package)]
    script = str(pathlib.Path(__file__).with_name("training_peer.py"))
    return [
        *("uv", "run", "--quiet", "--no-project", "--python", sys.executable, *packages),
        *("python", script, family, "--batches", str(BATCHES), *way),
    ]


def start(name: str, command: Sequence[str], settings: Mapping[str, str]) -> Side:
    """Starts a side; what it says beside its lines is not shown unless it fails."""
    complaints = tempfile.TemporaryFile("w+", errors="replace")
    quiet = {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3", "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=complaints,
        text=True,
        env={**os.environ, **quiet, **settings},
    )
    return Side(name, process, complaints)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", choices=list(SHAPES), help="one family")
    parser.add_argument("--steps", type=int, default=3, help="of a turn")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side")
    parser.add_argument(
        "--most-rounds", type=int, default=20, help="likewise, while others disturb the steps"
    )
    parser.add_argument(
        "--eager-only", action="store_true", help="leaves out torch.compile, which takes minutes"
    )
    options = parser.parse_args()
    options.peer_ways = [()] if options.eager_only else [(), ("--compile",)]
    return options


if __name__ == "__main__":
    main()
