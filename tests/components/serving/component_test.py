"""The Pusher: versions, and models that have seen older text than the served model."""

from __future__ import annotations

import json
import os
import pathlib
import time
from typing import Any

import pytest
from tfx import types
from tfx import v1 as tfx
from tfx.types.standard_artifacts import InfraBlessing, Model, ModelBlessing, PushedModel
from tfx.utils import proto_utils

from components.lineage.model_origin import write_origin
from components.serving.component import Executor


def model(folder: pathlib.Path, *spans: int) -> Model:
    """A model that was trained on these spans in turn."""
    made = None
    for span in spans:
        base, made = made, Model()
        made.uri = str(folder / "-".join(map(str, spans)))
        write_origin(made, span=span, fingerprint="a", test_share=0.1, base=base)
    assert made is not None
    served = pathlib.Path(made.uri, "Format-Serving")
    served.mkdir(parents=True)
    (served / "saved_model.pb").write_bytes(b"")
    return made


def push(
    folder: pathlib.Path,
    new: Model,
    served: Model | None,
    *,
    older: bool = False,
    blessed: int = 1,
    serving: pathlib.Path | None = None,
) -> PushedModel:
    def blessing(kind: type[types.Artifact], name: str) -> Any:
        made = kind()
        made.uri = str(folder / name)
        pathlib.Path(made.uri).mkdir(exist_ok=True)
        made.set_int_custom_property("blessed", blessed)
        (pathlib.Path(made.uri) / "INFRA_BLESSED").touch()
        return made

    pushed = PushedModel()
    pushed.uri = str(folder / "pushed")
    destination = tfx.proto.PushDestination(
        filesystem=tfx.proto.PushDestination.Filesystem(
            base_directory=str(serving or folder / "serving")
        )
    )
    Executor().Do(
        {
            "model": [new],
            "model_blessing": [blessing(ModelBlessing, "blessing")],
            "infra_blessing": [blessing(InfraBlessing, "infra")],
            **({"served_model": [served]} if served else {}),
        },
        {"pushed_model": [pushed]},
        {
            "push_destination": proto_utils.proto_to_json(destination),
            "custom_config": json.dumps({"push_older": older}),
        },
    )
    return pushed


@pytest.mark.parametrize(
    ("new", "served", "pushed"),
    [
        ((1,), None, True),
        ((1, 2), (1,), True),
        ((2,), (1, 2), True),  # the same span with other settings
        ((1, 3, 2), (1, 3), True),  # late text; training started from the newest model
        ((2,), (1, 3), False),
    ],
)
def test_the_served_model_has_always_seen_the_newest_text(
    tmp_path: pathlib.Path, new: tuple[int, ...], served: tuple[int, ...] | None, pushed: bool
) -> None:
    old = model(tmp_path / "old", *served) if served else None
    made = push(tmp_path, model(tmp_path / "new", *new), old)
    assert made.get_int_custom_property("pushed") == int(pushed)
    assert (tmp_path / "serving").exists() == pushed
    assert bool(made.get_string_custom_property("reason")) != pushed


def test_the_reason_says_how_to_push_anyway(tmp_path: pathlib.Path) -> None:
    new, old = model(tmp_path / "new", 1), model(tmp_path / "old", 739007)
    reason = push(tmp_path, new, old).get_string_custom_property("reason")
    assert reason == (
        "it has seen text up to span 1, and the served model up to span 2024-05-01; set "
        "push_older=True to push it anyway"
    )
    assert push(tmp_path, new, old, older=True).get_int_custom_property("pushed") == 1


def test_a_model_that_was_not_blessed_is_not_pushed_and_has_no_other_reason(
    tmp_path: pathlib.Path,
) -> None:
    made = push(tmp_path, model(tmp_path / "new", 1), model(tmp_path / "old", 2), blessed=0)
    assert made.get_int_custom_property("pushed") == 0
    assert not made.get_string_custom_property("reason")


def test_versions_grow_and_their_files_are_linked(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 17.5)
    names = []
    for number in range(3):  # within a second
        new = model(tmp_path / str(number), 1)
        pushed = push(tmp_path / str(number), new, None, serving=tmp_path / "serving")
        names.append(pushed.get_string_custom_property("pushed_version"))
        folder = pathlib.Path(pushed.get_string_custom_property("pushed_destination"))
        assert folder == tmp_path / "serving" / names[-1]
        files = [pathlib.Path(new.uri, "Format-Serving"), folder, pathlib.Path(pushed.uri)]
        assert len({(each / "saved_model.pb").stat().st_ino for each in files}) == 1
    assert names == ["17", "18", "19"]
    assert sorted(path.name for path in (tmp_path / "serving").iterdir()) == names
    (tmp_path / "serving" / "19").rename(tmp_path / "serving" / ".19.rolled-back")
    new = model(tmp_path / "3", 1)
    pushed = push(tmp_path / "3", new, None, serving=tmp_path / "serving")
    assert pushed.get_string_custom_property("pushed_version") == "20"


def test_files_that_cannot_be_linked_are_copied(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError("Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    assert push(tmp_path, model(tmp_path / "new", 1), None).get_int_custom_property("pushed") == 1
    (version,) = (tmp_path / "serving").iterdir()
    assert (version / "saved_model.pb").exists()
