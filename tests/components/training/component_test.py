"""The Trainer: what a run writes, its initial weights, and resuming a killed run."""

from __future__ import annotations

import dataclasses
import gc
import json
import logging
import pathlib
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.training import component as trainer
from components.training import train_job
from models.bert.backbone import build_backbone
from models.bert.objective import BertObjective
from models.bert.pretraining import BertPretraining
from models.errors import ConfigError
from models.training.checkpoints import Checkpoints
from models.training.devices import Devices
from models.training.loop import TrainingResult
from tests.components.little_job import (
    CONFIG,
    TRAINING,
    arguments,
    little_job,
    write_examples,
)
from tests.testdata import little_bert


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return write_examples(tmp_path_factory.mktemp("examples"))


def build(seed: int, **backbone: Any) -> BertPretraining:
    keras.utils.set_random_seed(seed)
    tokenizer = little_bert.tokenizer()
    objective = BertObjective(CONFIG.objective, tokenizer)
    shape = dataclasses.replace(CONFIG.backbone, **backbone)
    return objective.build_model(build_backbone(shape, tokenizer))


def save(model: keras.Model, folder: pathlib.Path) -> None:
    """Writes the part of an export that a warm start reads; a whole export takes long."""
    tf.train.Checkpoint(model=model).write(str(folder / "variables" / "variables"))


def weights(model: keras.Model) -> dict[str, np.ndarray]:
    """Weights by path, without the dropout layers' seeds."""
    return {v.path: v.numpy() for v in model.variables if "seed_generator" not in v.path}


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    assert a.keys() == b.keys()
    return all(np.array_equal(a[path], b[path]) for path in a)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, examples: pathlib.Path) -> dict[str, Any]:
    """A complete run, and its final weights."""
    folder = tmp_path_factory.mktemp("run")
    kept = []

    def export(*args: Any, **_: Any) -> None:
        model, _objective, _tokenizer, target = args
        kept.append((weights(model), model.unigram.table("log_probabilities").numpy()))
        save(model, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "export", export)
        trainer.run_fn(arguments(folder, examples))
    return {
        "model": folder / "1" / "Format-Serving",
        "model_run": folder / "1" / "model_run",
        "weights": kept[0][0],
        "unigram": kept[0][1],
    }


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, np.ndarray]]:
    """Weights of the models that would be exported; an export takes seconds."""
    kept: list[dict[str, np.ndarray]] = []
    monkeypatch.setattr(trainer, "export", lambda model, *_, **__: kept.append(weights(model)))
    return kept


@pytest.fixture
def begun(
    monkeypatch: pytest.MonkeyPatch, exported: list[dict[str, np.ndarray]]
) -> list[tuple[dict[str, np.ndarray], pathlib.Path]]:
    """Initial weights and checkpoint folders of runs that are not trained."""
    kept: list[tuple[dict[str, np.ndarray], pathlib.Path]] = []

    def begin(model: keras.Model, *rest: Any) -> TrainingResult:
        kept.append((weights(model), rest[3]))
        (rest[3] / "logs").mkdir(parents=True, exist_ok=True)
        return TrainingResult(0, 0, 0.0, 0.0, {})

    monkeypatch.setattr(train_job, "train", begin)
    return kept


class _Killed(BaseException):
    pass


@pytest.fixture
def kill(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Raises an error, like a kill, after the checkpoint of a step is written; 0 for never."""
    save, last = Checkpoints.save, [0]

    def save_and_die(checkpoints: Checkpoints, **state: Any) -> None:
        save(checkpoints, **state)
        if int(checkpoints._step) == last[0]:
            raise _Killed

    monkeypatch.setattr(Checkpoints, "save", save_and_die)
    return lambda step: last.__setitem__(0, step)


@pytest.mark.e2e
def test_a_run_exports_a_model_that_answers_and_that_a_warm_start_loads(
    examples: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, export = [], trainer.export

    def export_and_keep(model: keras.Model, *rest: Any, **options: Any) -> None:
        kept.append(weights(model))
        export(model, *rest, **options)

    monkeypatch.setattr(trainer, "export", export_and_keep)
    trainer.run_fn(arguments(tmp_path, examples))
    folder = tmp_path / "1" / "Format-Serving"
    assets = folder / "assets.extra"
    assert (assets / "config.json").read_text() == '{"name": "little"}'
    assert json.loads((assets / "provenance.json").read_text()) == {
        "span": 3,
        "seed": TRAINING.seed,
    }
    for name in ("vocab.txt", "tokenizer.json"):
        learned = (examples / "tokenizer" / name).read_bytes()
        assert (assets / "tokenizer" / name).read_bytes() == learned
    loaded = tf.saved_model.load(str(folder))
    tokens = loaded.signatures["serving_default"](texts=tf.constant(["The river."]))["tokens"]
    assert tokens.numpy().tolist() == [[b"[CLS]", b"the", b"river", b".", b"[SEP]"]]
    model = build(seed=9)
    train_job.load_weights(model, str(folder))
    assert same(weights(model), kept[0])


def test_a_run_writes_its_metrics_to_model_run(run: dict[str, Any]) -> None:
    lines = (run["model_run"] / "training.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [record["step"] for record in records] == [1, 2, 3, 4, 5, 6]
    assert [record["step"] for record in records if "held_out_loss" in record] == [3, 6]
    assert len(list(run["model_run"].glob("events.out.tfevents.*"))) == 1


def test_the_baseline_is_counted_over_all_files(
    run: dict[str, Any], examples: pathlib.Path
) -> None:
    counts = np.ones(30)
    files = [str(path) for path in (examples / "Split-train").iterdir()]
    for record in tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator():
        feature = tf.train.Example.FromString(record).features.feature
        labels = feature["mask_ids"].int64_list.value
        for label, weight in zip(labels, feature["mask_weights"].float_list.value, strict=True):
            counts[label] += weight
    assert len(files) == 2
    np.testing.assert_allclose(run["unigram"], np.log(counts / counts.sum()), rtol=1e-6)


def test_a_warm_start_gives_the_exported_weights(run: dict[str, Any]) -> None:
    model = build(seed=9)
    assert not same(weights(model), run["weights"])
    train_job.load_weights(model, str(run["model"]))
    assert same(weights(model), run["weights"])


def test_a_warm_start_does_not_warn_of_variables_that_it_leaves_out(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    exported = tf.train.Checkpoint(model=build(seed=0), baselines=[tf.Variable([1.0])])
    exported.write(str(tmp_path / "variables" / "variables"))
    with caplog.at_level(logging.WARNING, "tensorflow"):
        train_job.load_weights(build(seed=1), str(tmp_path))
        gc.collect()  # TensorFlow warns when the checkpoint's status is deleted
    assert not caplog.records


def test_building_a_model_reads_no_examples(
    run: dict[str, Any], examples: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """The files may be on a slow disk, and may be as large as the whole text."""
    copy = shutil.copytree(examples, tmp_path / "examples")
    for path in (copy / "Split-train").iterdir():
        path.write_bytes(b"not a TFRecord")
    job = little_job(tmp_path, copy)
    assert train_job.build_model(job, Devices()).model.built
    warm = train_job.build_model(dataclasses.replace(job, base_model=str(run["model"])), Devices())
    assert same(weights(warm.model), run["weights"])


@pytest.mark.parametrize(
    ("had", "wants"),
    [
        ({}, {"hidden_size": 32}),
        ({}, {"intermediate_size": 64}),
        ({}, {"max_length": 40}),
        ({"num_layers": 1}, {"num_layers": 2}),
        ({"num_layers": 2}, {"num_layers": 1}),  # else a layer would be lost silently
    ],
    ids=str,
)
def test_a_base_model_of_another_shape_is_refused(
    tmp_path: pathlib.Path, had: dict[str, int], wants: dict[str, int]
) -> None:
    save(build(seed=0, **had), tmp_path)
    with pytest.raises(ConfigError) as caught:
        train_job.load_weights(build(seed=0, **wants), str(tmp_path))
    what = "the weights of the base model do not fit this configuration: "
    assert caught.value.what.startswith(what)
    assert caught.value.where == str(tmp_path)
    assert (
        caught.value.remedy == "keep the sizes of the blessed model, or give the run another name"
    )


def test_training_begins_with_the_base_models_weights(
    run: dict[str, Any],
    examples: pathlib.Path,
    tmp_path: pathlib.Path,
    begun: list[tuple[dict[str, np.ndarray], pathlib.Path]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, "polyseme.trainer"):
        trainer.run_fn(arguments(tmp_path, examples, base_model=str(run["model"])))
    assert same(begun[0][0], run["weights"])
    assert [record.message for record in caplog.records if record.name == "polyseme.trainer"] == [
        f"warm start from {run['model']}: 6 steps, peak learning rate 0.003",
        "trained 0 steps in 0 s (0 tokens/s)",
    ]


def test_initial_weights_depend_only_on_the_seed(
    run: dict[str, Any],
    examples: pathlib.Path,
    tmp_path: pathlib.Path,
    begun: list[tuple[dict[str, np.ndarray], pathlib.Path]],
) -> None:
    for seed in (0, 0, 1):
        training = dataclasses.replace(TRAINING, seed=seed)
        trainer.run_fn(arguments(tmp_path, examples, training=training))
    (first, _), (again, _), (other, _) = begun
    assert same(first, again)
    assert not same(first, other)
    assert not same(first, run["weights"])  # training changed them


def test_checkpoints_are_keyed_by_everything_the_weights_depend_on(
    examples: pathlib.Path,
    tmp_path: pathlib.Path,
    begun: list[tuple[dict[str, np.ndarray], pathlib.Path]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(train_job, "load_weights", lambda model, folder: None)
    shape = dataclasses.replace(CONFIG.backbone, dropout=0.2)
    bases = [tmp_path / name / "variables" for name in "78"]
    for base in bases:
        base.mkdir(parents=True)
        (base / "variables.index").write_text(str(base))
    manifest = (examples / "SHA256SUMS").read_text()
    for changes in (
        {},
        {"attempt": "2"},
        {"model": dataclasses.replace(CONFIG, backbone=shape)},
        {"training": dataclasses.replace(TRAINING, steps=7)},
        {"code": "other"},
        *({"base_model": str(base.parent)} for base in bases),
    ):
        trainer.run_fn(arguments(tmp_path, examples, **changes))
    try:
        (examples / "SHA256SUMS").write_text("decaf  Split-train/examples\n")
        trainer.run_fn(arguments(tmp_path, examples))
    finally:
        (examples / "SHA256SUMS").write_text(manifest)
    first, again, *others = [folder for _, folder in begun]
    assert first == again
    assert first.parent == tmp_path / "checkpoints"
    assert len({first, *others}) == 7


@pytest.mark.e2e
def test_a_killed_run_resumes_and_ends_with_the_same_weights(
    run: dict[str, Any],
    examples: pathlib.Path,
    tmp_path: pathlib.Path,
    exported: list[dict[str, np.ndarray]],
    kill: Callable[[int], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    kill(4)
    with pytest.raises(_Killed):
        trainer.run_fn(arguments(tmp_path, examples))
    assert not exported
    assert not (tmp_path / "1").exists()
    kill(0)
    with caplog.at_level(logging.INFO, "polyseme"):
        trainer.run_fn(arguments(tmp_path, examples, attempt="2"))
    assert "resumed from step 4 of 6" in caplog.messages
    assert caplog.messages[-1].startswith("trained 2 steps in ")
    assert same(exported[0], run["weights"])
    lines = (tmp_path / "2" / "model_run" / "training.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4, 5, 6]

    caplog.clear()
    with caplog.at_level(logging.INFO, "polyseme"):  # training is complete
        trainer.run_fn(arguments(tmp_path, examples, attempt="3"))
    assert caplog.messages[-1].startswith("trained 0 steps in ")
    assert same(exported[1], run["weights"])
