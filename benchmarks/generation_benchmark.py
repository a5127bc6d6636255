"""Speed of the signature `generate` against transformers, and the cost of many input shapes.

    python -m benchmarks.generation_benchmark [race] [--batch 1 8] [--rounds 5]
    python -m benchmarks.generation_benchmark [shapes]

Without a name it measures both.

`race`: GPT-2 small (124 million random weights, float32), prompts of 30 tokens, 32 new tokens,
greedy. Polyseme's side is `models.gpt.generation` in one TensorFlow function (generation_ours.py),
the peer's is transformers' `GPT2LMHeadModel.generate` on PyTorch (generation_peer.py). Each runs in
its own process with one thread per core, in the environments of training_benchmark.py. They take
turns. Printed are the medians and the fewest CPU seconds of a call.

`shapes`: an exported tiny model answers 1,000 requests, all of which differ in batch size, prompt
length or number of new tokens. Prints the memory of the process, and the slowest call against the
median of the calls with the same number of new tokens, without the first 50 calls. Calls during
which other processes used more than 3 % of the cores do not count.

oneDNN is on or off as `models.processor` chooses it for serving, unless `--onednn` is given.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import os
import pathlib
import statistics
import sys

from benchmarks.cores import print_processor
from benchmarks.training_benchmark import PEER, Side, start
from models.processor import ONEDNN, Processor

_DISTURBED = 0.03
_WARM_UP = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", nargs="?", choices=("race", "shapes"), help="default: both")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--rounds", type=int, default=5, help="turns of each side")
    parser.add_argument("--calls", type=int, default=3, help="calls per turn")
    parser.add_argument("--onednn", type=int, choices=(0, 1), help="turn oneDNN off or on")
    options = parser.parse_args()
    onednn = options.onednn
    if onednn is None:
        onednn = int(bool(Processor.here().onednn("serving")))
    os.environ[ONEDNN] = str(onednn)  # the sides inherit it
    print_processor()
    if options.what != "shapes":
        for batch in options.batch:
            _race(batch, options.rounds, options.calls)
    if options.what != "race":
        with contextlib.ExitStack() as stack:
            side = _ours(stack, "shapes", 0)
            _report_shapes(side.description["calls"])


def _race(batch: int, rounds: int, calls: int) -> None:
    with contextlib.ExitStack() as stack:
        sides = [_ours(stack, "race", batch), _theirs(stack, batch)]
        for _ in range(rounds):
            for side in sides:
                side.steps += side.ask(f"steps {calls}")
    print(
        f"batch {batch}, {sides[0].description['prompt']} + {sides[0].description['length']} tokens"
    )
    for side in sides:
        seconds = [each[0] for each in side.steps]
        undisturbed = sum(others < _DISTURBED for _, others, _ in side.steps)
        print(
            f"  {side.name:13s} median {statistics.median(seconds) * 1e3:6.0f} ms, fastest"
            f" {min(seconds) * 1e3:6.0f} ms, {min(own for _, _, own in side.steps):.2f} CPU s;"
            f" {len(seconds)} calls, {undisturbed} undisturbed; {side.description['versions']}"
        )
    ours, theirs = (statistics.median(each[0] for each in side.steps) for side in sides)
    print(f"  ratio of the medians: {theirs / ours:.2f}", flush=True)


def _report_shapes(calls: list[dict[str, float]]) -> None:
    for number in (_WARM_UP, len(calls) // 4, len(calls) // 2, len(calls)):
        print(f"  after {number:4d} calls: {calls[number - 1]['resident'] / 1e6:.1f} MB resident")
    by_length = collections.defaultdict(list)
    for call in calls[_WARM_UP:]:
        by_length[call["tokens"]].append(call)
    for length, same in sorted(by_length.items()):
        undisturbed = [call["seconds"] for call in same if call["others"] < _DISTURBED]
        _print_slowest(f"{length:4.0f} tokens, seconds", undisturbed)
        _print_slowest("      CPU seconds", [call["cores"] for call in same])


def _print_slowest(what: str, seconds: list[float]) -> None:
    if seconds:
        median = statistics.median(seconds)
        print(
            f"  {what:22s} of {len(seconds):3d} calls: median {median * 1e3:5.1f} ms,"
            f" slowest {max(seconds) / median:.2f} times that"
        )


def _ours(stack: contextlib.ExitStack, what: str, batch: int) -> Side:
    command = [sys.executable, "-m", "benchmarks.generation_ours", what, str(batch)]
    return _started(stack, "Polyseme", command)


def _theirs(stack: contextlib.ExitStack, batch: int) -> Side:
    packages = [part for package in PEER for part in ("--with", package)]
    script = str(pathlib.Path(__file__).with_name("generation_peer.py"))
    command = ["uv", "run", "--quiet", "--no-project", "--python", sys.executable, *packages]
    return _started(stack, "transformers", [*command, "python", script, str(batch)])


def _started(stack: contextlib.ExitStack, name: str, command: list[str]) -> Side:
    side = start(name, command, {})
    stack.callback(side.end)
    side.description = side.read()
    return side


if __name__ == "__main__":
    main()
