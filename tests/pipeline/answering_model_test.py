"""The name of the model that answers, from the files in its folder."""

import json
import pathlib

from pipeline.answering_model import AnsweringModel, describe


def write(folder: pathlib.Path, provenance: str) -> pathlib.Path:
    extra = folder / "assets.extra"
    extra.mkdir(parents=True)
    (extra / "provenance.json").write_text(provenance)
    return folder


def test_a_pushed_version_names_its_pipeline_and_span(tmp_path: pathlib.Path) -> None:
    provenance = json.dumps(
        {"name": "news", "span": 739007, "label": "2024-05-01", "fingerprint": "f"}
    )
    folder = write(tmp_path / "17", provenance)
    found = describe(folder)
    assert found == AnsweringModel(str(folder), "17", "news", "2024-05-01")
    assert str(found) == "news, version 17, span 2024-05-01"


def test_a_model_that_was_not_pushed_has_no_version(tmp_path: pathlib.Path) -> None:
    folder = write(tmp_path / "Format-Serving", json.dumps({"name": "news", "span": 3}))
    assert str(describe(folder)) == "news, span 3"


def test_a_model_without_a_valid_provenance_is_named_by_its_folder(tmp_path: pathlib.Path) -> None:
    for number, damaged in enumerate(("[]", "{", "{}", '"a"')):
        folder = write(tmp_path / f"m{number}", damaged)
        assert describe(folder) == AnsweringModel(str(folder), None, None, None)
        assert str(describe(folder)) == str(folder)
