"""How a warm start changes the loss on the old and the new span, by learning rate and epochs.

    python -m benchmarks.warm_start_benchmark [PIPELINE] [--rates 1 0.3 0.1] [--epochs 1 3 8]

PIPELINE is the folder of a pipeline that has run on two spans, by default `runs/bert_demo`. The
base is the version that was pushed after the first span. Each row is a training on the second span:
its peak learning rate as a factor of the recipe's, its passes over the examples, and its loss on
the test documents of the new and of the old span, with the change from the base.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import tempfile

from benchmarks.cores import print_processor
from components.training.job import TrainingJob
from components.training.train_job import build_model, train_job
from models.settings import Affects
from models.training.config import DevicesConfig
from models.training.devices import Devices
from models.training.held_out import HeldOutLoss
from models.training.warm_start_config import WarmStartConfig
from pipeline.config import PipelineConfig
from pipeline.metadata.queries import RunHistory

_ALL_BATCHES = 1_000_000  # more than a split has


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pipeline", type=pathlib.Path, nargs="?", default="runs/bert_demo")
    parser.add_argument("--rates", type=float, nargs="+", default=[1.0, 0.3, 0.1])
    parser.add_argument("--epochs", type=float, nargs="+", default=[1.0, 3.0, 8.0])
    options = parser.parse_args()
    spans = _examples(options.pipeline)
    if len(spans) < 2:
        print(
            f"{options.pipeline} has no examples of two spans; run the pipeline on two spans first"
        )
        return
    before, new = (pathlib.Path(spans[span]) for span in sorted(spans)[:2])
    config = PipelineConfig.from_json((options.pipeline / "config.json").read_bytes())
    serving = options.pipeline / "serving" / config.name
    versions = [each.name for each in serving.iterdir() if each.name.isdecimal()]
    base = str(serving / min(versions, key=int))
    summary = json.loads((new / "examples.json").read_text(encoding="utf-8"))
    batches = summary["splits"]["train"]["examples"] / config.training.batch_size
    print(f"base {base}, {batches:.0f} batches of {config.training.batch_size} per epoch")
    print_processor()
    start = _job(config, 1, 1.0, new, base, "")
    own, old = _losses(start, build_model(start, Devices()), before)
    print(f"{'rate':>6} {'epochs':>7} {'steps':>6} {'new span':>9} {'change':>8} {'old':>8}")
    print(f"{'':>6} {0:>7} {0:>6} {own:>9.3f} {'':>8} {old:>8.3f}")
    for epochs in options.epochs:
        for rate in options.rates:
            steps = max(1, round(epochs * batches))
            with tempfile.TemporaryDirectory() as folder:
                job = _job(config, steps, rate, new, base, folder)
                loss, kept = _losses(job, train_job(job, Devices()), before)
            row = f"{rate:>6.2f} {epochs:>7.1f} {steps:>6} {loss:>9.3f} {loss - own:>+8.3f}"
            print(f"{row} {kept - old:>+8.3f}", flush=True)


def _examples(pipeline: pathlib.Path) -> dict[int, str]:
    """Numbers of spans → folders of their examples."""
    if not (pipeline / "config.json").exists():
        return {}
    history = RunHistory(pipeline.absolute())
    folders = {}
    for run in history.run_ids():
        node = history.nodes(run).get("ExampleBuilder")
        examples = node.output("examples") if node and node.succeeded else None
        if examples:
            folders[int(examples.properties["span"])] = examples.uri
    return folders


def _job(
    config: PipelineConfig,
    steps: int,
    rate: float,
    examples: pathlib.Path,
    base: str,
    folder: str,
) -> TrainingJob:
    """A training of `steps` steps, a tenth of them warmup, at `rate` times the recipe's rate."""
    optimizer = dataclasses.replace(
        config.training.optimizer,
        learning_rate=rate * config.training.optimizer.learning_rate,
        final_learning_rate=rate * config.training.optimizer.final_learning_rate,
        warmup_steps=steps // 10,
    )
    unlimited = WarmStartConfig(learning_rate_factor=1.0, max_epochs=1e9)
    training = dataclasses.replace(
        config.training, steps=steps, optimizer=optimizer, warm_start=unlimited
    )
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
    """The losses on the test documents of the new and of the old span."""
    config = dataclasses.replace(job.config, eval_batches=_ALL_BATCHES)
    new, old = (
        HeldOutLoss(trained.model, trained.objective, sorted(map(str, files)), config)()
        for files in (
            (folder / "Split-test").glob("*.gz") for folder in (pathlib.Path(job.examples), before)
        )
    )
    return new, old


if __name__ == "__main__":
    main()
