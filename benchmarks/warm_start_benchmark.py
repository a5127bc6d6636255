"""What a warm start keeps and what it learns: one span's model trained on on the next span's text.

    python -m benchmarks.warm_start_benchmark PIPELINE --examples FOLDER --before FOLDER
        [--rates 1 0.3 0.1] [--epochs 2 5 20]

PIPELINE is a pipeline's folder, whose newest pushed version is the base; `--examples` is what its
ExampleBuilder made of the next span, `--before` of the base's own. Each row is a training: its peak
learning rate as a share of the recipe's, the passes over the examples, and the loss on the test
documents of the new span and of the old one, less the base's.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import tempfile

from components.training_job import TrainingJob, begin, train_job
from models.config import DevicesConfig
from models.devices import Devices
from models.held_out import HeldOutLoss
from models.settings import Affects
from pipeline.config import PipelineConfig

_ALL = 1_000_000  # batches: every example of the split


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pipeline", type=pathlib.Path)
    parser.add_argument("--examples", type=pathlib.Path, required=True)
    parser.add_argument("--before", type=pathlib.Path, required=True)
    parser.add_argument("--rates", type=float, nargs="+", default=[1.0, 0.3, 0.1])
    parser.add_argument("--epochs", type=float, nargs="+", default=[1.0, 5.0, 20.0])
    options = parser.parse_args()
    config = PipelineConfig.from_json((options.pipeline / "config.json").read_bytes())
    versions = (options.pipeline / "serving" / config.name).iterdir()
    base = max(versions, key=lambda version: int(version.name))
    told = json.loads((options.examples / "examples.json").read_text(encoding="utf-8"))
    batches = told["splits"]["train"]["examples"] / config.training.batch_size
    print(f"base {base}, {batches:.0f} batches of {config.training.batch_size} an epoch")
    start = _job(config, 1, 1.0, options.examples, str(base), "")
    own, old = _losses(start, begin(start, Devices()), options.before)
    print(f"{'rate':>6} {'epochs':>7} {'steps':>6} {'new span':>9} {'change':>8} {'old':>8}")
    print(f"{'':>6} {0:>7} {0:>6} {own:>9.3f} {'':>8} {old:>8.3f}")
    for epochs in options.epochs:
        for rate in options.rates:
            steps = max(1, round(epochs * batches))
            with tempfile.TemporaryDirectory() as folder:
                job = _job(config, steps, rate, options.examples, str(base), folder)
                new, kept = _losses(job, train_job(job, Devices()), options.before)
            row = f"{rate:>6.2f} {epochs:>7.1f} {steps:>6} {new:>9.3f} {new - own:>+8.3f}"
            print(f"{row} {kept - old:>+8.3f}", flush=True)


def _job(
    config: PipelineConfig,
    steps: int,
    rate: float,
    examples: pathlib.Path,
    base: str,
    folder: str,
) -> TrainingJob:
    """A training of so many steps at a share of the recipe's rate, with a tenth of it as warmup."""
    optimizer = dataclasses.replace(
        config.training.optimizer,
        learning_rate=rate * config.training.optimizer.learning_rate,
        final_learning_rate=rate * config.training.optimizer.final_learning_rate,
        warmup_steps=steps // 10,
    )
    training = dataclasses.replace(config.training, steps=steps, optimizer=optimizer)
    exported = (Affects.EXAMPLES, Affects.WEIGHTS)
    return TrainingJob(
        family=config.model.family,
        model=json.dumps(config.model.that_affect(*exported)),
        training=json.dumps(training.that_affect(*exported)),
        unkeyed=json.dumps(training.that_affect(Affects.JUDGEMENT, Affects.NOTHING)),
        devices=json.dumps(dataclasses.asdict(DevicesConfig())),
        code="",
        examples=str(examples),
        train_files=tuple(sorted(map(str, (examples / "Split-train").glob("*.gz")))),
        eval_files=(),
        base_model=base,
        checkpoints=folder,
    )


def _losses(job: TrainingJob, trained, before: pathlib.Path) -> tuple[float, float]:
    """The loss on the test documents of the new and of the old span."""
    judged = dataclasses.replace(job.config, held_out_batches=_ALL)
    new, old = (
        HeldOutLoss(trained.model, trained.objective, sorted(map(str, files)), judged)()
        for files in (
            (folder / "Split-test").glob("*.gz") for folder in (pathlib.Path(job.examples), before)
        )
    )
    return new, old


if __name__ == "__main__":
    main()
