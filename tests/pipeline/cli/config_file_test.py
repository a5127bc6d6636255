"""`run --config FILE`: printed and saved configurations are read back, mistakes are named."""

import pathlib

import pytest

from pipeline.cli.config_file import read_config
from pipeline.cli.main import main
from pipeline.recipes import RECIPES, resolve_recipe


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_the_output_of_recipes_can_be_read_back(
    name: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["recipes", name]) == 0
    file = tmp_path / "mine.json"
    file.write_text("\ufeff" + capsys.readouterr().out, encoding="utf-8")  # as some editors do
    assert read_config(str(file)) == resolve_recipe(name)


WRONG = {
    b"": ["Invalid JSON", "where: settings in"],
    b"[]": ["should be an object", "to do: give an object that has its fields"],
    b'{"training": {"steps": 0}}': [
        "greater than 0, got 0",
        "where: training.steps in",
        "to do: give a whole number above 0",
    ],
    b'{"training": {"stepps": 1}}': [
        "Unexpected keyword argument",
        "training.stepps in",
        "did you mean steps?",
    ],
    b'{"model": {"family": "bort"}}': ["no family 'bort'", "model.family", "elmo or bert or gpt"],
    b'{"model": {"backbone": {"num_layers": 2}}}': ["no family ''", "model.family in"],
    b'{"model": {"family": "gpt", "backbone": {"num_layers": "2"}}}': [
        "valid integer, got '2'",
        "where: model.backbone.num_layers in",
    ],
    b'{"training": {"optimizer": {"learning_rate": NaN}}}': ["training.optimizer.learning_rate"],
    b'{"training": {"steps": 1, "steps": 2}}': ["the field appears twice", "where: steps in"],
    b'{"training": {"replay_share": 0.5}}': ["has no effect", "where: training.replay_share in"],
    b'{"vocabulary": {"file": "\xe9"}}': ["it is not UTF-8"],
    b"\xff\xfe{\x00}\x00": ["it is not UTF-8"],
    b'{"a":' * 5_000: ["Invalid JSON"],
    b" " * 2_000_000: ["more than 1,000,000 bytes"],
}


@pytest.mark.parametrize(("content", "parts"), WRONG.items(), ids=range(len(WRONG)))
def test_an_invalid_file_is_refused_in_three_lines(
    content: bytes, parts: list[str], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.json"
    file.write_bytes(content)
    assert main(["run", "--config", str(file), "--input", "x.jsonl"]) == 2
    printed = capsys.readouterr().err
    for part in [*parts, str(file), "to do: "]:
        assert part in printed
    assert len(printed.splitlines()) == 3


@pytest.mark.parametrize("name", ["absent.json", "folder", "zero\0byte"])
def test_a_file_that_cannot_be_read_is_refused(
    name: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder").mkdir()
    assert main(["run", "--config", f"{tmp_path}/{name}", "--input", "x.jsonl"]) == 2
    assert "the configuration cannot be read: " in capsys.readouterr().err
