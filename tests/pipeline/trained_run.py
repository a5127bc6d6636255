"""Records a run that was trained but not evaluated, for tests of reports."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

from models.training.platform import Platform
from pipeline.metadata.queries import RunHistory
from tests.testdata.recorded_runs import Recorder

PLATFORMS = [
    Platform(0, "mine", ("avx2",), "CPU", 1, onednn=True, xla=False, tensorflow="2.0"),
    Platform(9, "", (), "GPU", 2, onednn=False, xla=True, tensorflow="2.0"),
]


def write(history: RunHistory, component: str, output: str, name: str, content: Any) -> None:
    """Writes a file of JSON lines into the folder of an output of run "a"."""
    artifact = history.nodes("a")[component].output(output)
    assert artifact is not None
    path = pathlib.Path(artifact.uri) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in content))


def record(recorder: Recorder) -> RunHistory:
    """Records run "a", which was trained but never evaluated, and whose model is gone."""
    documents = recorder.artifact("Examples", span_label="2024-05-01")
    run = recorder.artifact("ModelRun")
    recorder.execution(
        "a",
        "TextExampleGen",
        parameters={"span": 739007, "fingerprint": "c0ffee"},
        outputs={"examples": documents},
    )
    custom = json.dumps({"provenance": json.dumps({"code": "git 0"})})
    recorder.execution(
        "a", "Trainer", parameters={"custom_config": custom}, outputs={"model_run": run}
    )
    history = RunHistory(recorder.folder)
    ingestion = {"quarantined": 2, "quarantined_by_reason": {"no text": 2}}
    write(history, "TextExampleGen", "examples", "ingestion.json", [ingestion])
    cleaned = recorder.artifact("Examples")
    recorder.execution("a", "TextCleaner", outputs={"cleaned": cleaned})
    example = {"id": "d1", "detail": "of d0", "start": "A text"}
    cleaning = {
        "splits": {"train": {"dropped": {"duplicate": 2}}, "eval": {"dropped": {"duplicate": 1}}},
        "examples": {"duplicate": [example]},
    }
    write(history, "TextCleaner", "cleaned", "cleaning.json", [cleaning])
    line = {
        "step": 20,
        "loss": 3.5,
        "masked_lm_nll_sum": 2.8,
        "next_sentence_nll_sum": 0.7,
        "learning_rate": 0.001,
        "tokens_per_second": 900.0,
        "gradient_norm": 1.5,
        "padding_share": 0.1,
        "seconds": 4.0,
    }
    write(history, "Trainer", "model_run", "training.jsonl", [line])
    write(history, "Trainer", "model_run", "platform.jsonl", map(dataclasses.asdict, PLATFORMS))
    return history
