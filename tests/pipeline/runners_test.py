"""The local runner: run ids, the command line, partial runs, errors, and files before records."""

import os
import pathlib
import sys

import pytest
from tfx import v1 as tfx
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.components.common.resolver import ResolverStrategy
from tfx.types import standard_artifacts

from models.errors import ConfigError, DataRefused
from pipeline.metadata.queries import RunHistory
from pipeline.metadata.store import DATABASE
from pipeline.runners import run_locally


@component
def WriteArguments(model: OutputArtifact[standard_artifacts.Model], refuse: Parameter[int]) -> None:
    if refuse:
        raise DataRefused("not this text", where="a.txt:3")
    (pathlib.Path(model.uri) / "arguments").write_text("\n".join(sys.argv))


def pipeline(folder: pathlib.Path, *, refuse: int) -> tfx.dsl.Pipeline:
    return tfx.dsl.Pipeline(
        pipeline_name="mine",
        pipeline_root=str(folder / "artifacts"),
        components=[WriteArguments(refuse=refuse)],
        metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(
            str(folder / DATABASE)
        ),
    )


def test_a_run_has_its_id_and_its_components_do_not_see_the_command_line(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["python", "run", "bert_tiny", "--name", "mine"]
    monkeypatch.setattr(sys, "argv", arguments)
    run_locally(pipeline(tmp_path, refuse=0), "20261125-1")
    assert sys.argv == arguments
    history = RunHistory(tmp_path)
    assert history.run_ids() == ["20261125-1"]
    node = history.nodes("20261125-1")["WriteArguments"]
    assert node.state == "done"
    model = node.output("model")
    assert model is not None
    assert (pathlib.Path(model.uri) / "arguments").read_text() == "python"


@component
def Read(model: InputArtifact[standard_artifacts.Model]) -> None:
    raise DataRefused(f"{model.uri} was read")


def test_a_run_of_some_steps_starts_no_other_step(tmp_path: pathlib.Path) -> None:
    two_steps = pipeline(tmp_path, refuse=0)
    (first,) = two_steps.components
    two_steps.components = [first, Read(model=first.outputs["model"])]
    run_locally(two_steps, "1", ["WriteArguments"])
    assert [*RunHistory(tmp_path).nodes("1")] == ["WriteArguments"]


def test_an_error_of_a_component_is_raised(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["python", "run"])
    with pytest.raises(Exception, match="not this text"):
        run_locally(pipeline(tmp_path, refuse=1), "1")
    assert sys.argv == ["python", "run"]
    assert RunHistory(tmp_path).nodes("1")["WriteArguments"].state == "failed"


def test_files_are_on_the_disk_before_a_step_is_recorded_as_done(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states: list[str] = []
    monkeypatch.setattr(
        os, "sync", lambda: states.append(RunHistory(tmp_path).nodes("1")["WriteArguments"].state)
    )
    monkeypatch.setattr(sys, "argv", ["python", "run"])
    run_locally(pipeline(tmp_path, refuse=0), "1")
    assert states == ["interrupted"]  # started, and not recorded as complete
    assert RunHistory(tmp_path).nodes("1")["WriteArguments"].state == "done"


class Refusing(ResolverStrategy):
    """A resolver that refuses the run."""

    def resolve_artifacts(self, store, input_dict):
        raise ConfigError("the base is gone", where="/models/1", remedy="put it back")


@component
def Train(
    model: OutputArtifact[standard_artifacts.Model],
    base: InputArtifact[standard_artifacts.Model] = None,
) -> None:
    (pathlib.Path(model.uri) / "trained").touch()


def test_an_error_of_a_resolver_ends_the_run(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TFX itself would run Train without its optional input."""
    monkeypatch.setattr(sys, "argv", ["python", "run"])
    models = tfx.dsl.Channel(type=standard_artifacts.Model)
    base = tfx.dsl.Resolver(strategy_class=Refusing, model=models).with_id("Base")
    trained = pipeline(tmp_path, refuse=0)
    trained.components = [base, Train(base=base.outputs["model"])]
    with pytest.raises(ConfigError, match="the base is gone") as caught:
        run_locally(trained, "1")
    assert caught.value.remedy == "put it back"
    nodes = RunHistory(tmp_path).nodes("1")
    assert nodes["Base"].state == "failed"
    assert "Train" not in nodes
