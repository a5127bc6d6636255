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
def Speak(model: OutputArtifact[standard_artifacts.Model], refuse: Parameter[int]) -> None:
    if refuse:
        raise DataRefused("not this text", where="a.txt:3")
    (pathlib.Path(model.uri) / "arguments").write_text("\n".join(sys.argv))


def pipeline(folder: pathlib.Path, *, refuse: int) -> tfx.dsl.Pipeline:
    return tfx.dsl.Pipeline(
        pipeline_name="spoken",
        pipeline_root=str(folder / "artifacts"),
        components=[Speak(refuse=refuse)],
        metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(
            str(folder / DATABASE)
        ),
    )


def test_a_run_has_its_id_and_its_components_do_not_see_the_command_line(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ["python", "run", "bert_tiny", "--name", "spoken"]
    monkeypatch.setattr(sys, "argv", given)
    run_locally(pipeline(tmp_path, refuse=0), "20261125-1")
    assert sys.argv == given
    history = RunHistory(tmp_path)
    assert history.run_ids() == ["20261125-1"]
    node = history.nodes("20261125-1")["Speak"]
    assert node.state == "done"
    model = node.output("model")
    assert model is not None
    assert (pathlib.Path(model.uri) / "arguments").read_text() == "python"


@component
def Listen(model: InputArtifact[standard_artifacts.Model]) -> None:
    raise DataRefused(f"{model.uri} was heard")


def test_a_run_of_some_steps_starts_no_other(tmp_path: pathlib.Path) -> None:
    spoken = pipeline(tmp_path, refuse=0)
    (first,) = spoken.components
    spoken.components = [first, Listen(model=first.outputs["model"])]
    run_locally(spoken, "1", ["Speak"])
    assert [*RunHistory(tmp_path).nodes("1")] == ["Speak"]


def test_what_a_component_raises_comes_out(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["python", "run"])
    with pytest.raises(Exception, match="not this text"):
        run_locally(pipeline(tmp_path, refuse=1), "1")
    assert sys.argv == ["python", "run"]
    assert RunHistory(tmp_path).nodes("1")["Speak"].state == "failed"


def test_files_are_on_the_disk_before_a_step_is_recorded_as_done(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states: list[str] = []
    monkeypatch.setattr(
        os, "sync", lambda: states.append(RunHistory(tmp_path).nodes("1")["Speak"].state)
    )
    monkeypatch.setattr(sys, "argv", ["python", "run"])
    run_locally(pipeline(tmp_path, refuse=0), "1")
    assert states == ["interrupted"]  # started, and not recorded as complete
    assert RunHistory(tmp_path).nodes("1")["Speak"].state == "done"


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


def test_what_a_resolver_raises_ends_the_run(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TFX itself would run Train without its optional input."""
    monkeypatch.setattr(sys, "argv", ["python", "run"])
    models = tfx.dsl.Channel(type=standard_artifacts.Model)
    base = tfx.dsl.Resolver(strategy_class=Refusing, model=models).with_id("Base")
    given = pipeline(tmp_path, refuse=0)
    given.components = [base, Train(base=base.outputs["model"])]
    with pytest.raises(ConfigError, match="the base is gone") as caught:
        run_locally(given, "1")
    assert caught.value.remedy == "put it back"
    nodes = RunHistory(tmp_path).nodes("1")
    assert nodes["Base"].state == "failed"
    assert "Train" not in nodes
