"""The command line: it is fast, and answers mistakes on one screen without TensorFlow."""

import json
import pathlib
import re
import subprocess
import sys
import time

import pytest

import pipeline
from pipeline.cli import main as cli
from pipeline.recipes import RECIPES

_ROOT = pathlib.Path(__file__).parents[3]


def run_pipeline_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_help_lists_the_commands() -> None:
    done = run_pipeline_command("--help")
    assert done.returncode == 0
    for name in cli._COMMANDS:
        assert name in done.stdout


def test_help_names_values_and_joins_the_lines_of_a_docstring(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as exited:
        cli.main(["examples", "--help"])
    assert exited.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "examples [-h] [EXAMPLES OPTIONS] [FOLDER]" in shown
    assert "--name NAME Name of the pipeline. (default: the one that ran last)" in shown
    assert "None" not in shown


def test_the_version_names_the_release_and_the_commit() -> None:
    started = time.monotonic()
    done = run_pipeline_command("--version")
    assert re.fullmatch(
        r"polyseme \d+\.\d+\.\d+ \(commit (unknown|[0-9a-f]{12}.*)\)\n", done.stdout
    )
    assert pipeline.__version__ in done.stdout
    assert done.returncode == 0
    assert time.monotonic() - started < 10  # 0.5 s where the machine does nothing else


IMPOSSIBLE = {
    "bert_tiny model.backbone.hidden_size=33": "model.backbone.hidden_size",
    "bert_tiny model.backbone.dropout=1": "model.backbone.dropout",
    "bert_tiny model.objective.sequence_length=65": "model.objective.sequence_length",
    "bert_tiny model.objective.sequence_length=128": "model.objective.max_predictions_per_seq",
    "gpt_tiny model.objective.sequence_length=128": "model.objective.sequence_length",
    "bert_tiny model.objective.max_predictions_per_seq=62": (
        "model.objective.max_predictions_per_seq"
    ),
    "bert_tiny model.backbone.vocabulary_rows=10": "model.backbone.vocabulary_rows",
    "gpt_tiny model.backbone.vocabulary_rows=999": "model.backbone.vocabulary_rows",
    "bert_tiny training.seeds=1000000": "training.seeds",
    "bert_tiny training.warm_start.max_epochs=1e-9": "training.warm_start.max_epochs",
    "bert_tiny devices.strategy=tpu": "devices.tpu",
    "bert_tiny devices.processes=1000000": "devices.processes",
    "bert_tiny beam.workers=1000000": "beam.workers",
    "bert_tiny ingestion.shards=1000000000": "ingestion.shards",
    "bert_tiny training.gradient_accumulation_steps=3": "training.gradient_accumulation_steps",
    "bert_tiny training.checkpoint_seconds=nan": "training.checkpoint_seconds",
    "bert_tiny cleaning.min_words=5": "cleaning.min_words",
    "elmo_tiny training.batch_size=3": "training.batch_size",
    "gpt_tiny training.length_buckets=4": "training.length_buckets",
    "gpt_tiny model.tokenizer.vocabulary_size=256": "model.tokenizer.vocabulary_size",
    "bert_tiny training.steps=999999999999999999999999": "training.steps",
    "bert_tiny ingestion.encoding=idna": "ingestion.encoding",
}
"""Recipe and a setting that is impossible or has no effect → the field that the error names."""


def test_impossible_settings_are_refused_before_tensorflow_is_imported() -> None:
    program = (
        "import sys\n"
        "from pipeline.cli.main import main\n"
        "for line in sys.argv[1:]:\n"
        "    recipe, pair = line.split()\n"
        "    code = main(['run', recipe, '--input', 'missing.jsonl', '--set', pair])\n"
        "    heavy = {'tensorflow', 'keras', 'numpy'} & set(sys.modules)\n"
        "    print(code, *heavy, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *IMPOSSIBLE], cwd=_ROOT, capture_output=True, text=True
    )
    answers = done.stderr.removesuffix("\n2\n").split("\n2\n")
    assert len(answers) == len(IMPOSSIBLE), done.stderr
    for answer, field in zip(answers, IMPOSSIBLE.values(), strict=True):
        assert answer.startswith("error: ")
        assert f"  where: {field}" in answer.splitlines()
        assert "  to do: " in answer
        assert len(answer.splitlines()) <= 4


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("--version",),
        ("recipes",),
        ("run", "bert_tiny", "--input", "x", "--set", "trainng.steps=5"),
        ("run", "bert_huge", "--input", "x"),
        ("run", "bert_tiny", "--input", "missing.jsonl"),
    ],
)
def test_commands_without_a_model_import_neither_tensorflow_nor_tfx(
    arguments: tuple[str, ...],
) -> None:
    program = (
        "import sys\n"
        "from pipeline.cli.main import main\n"
        "try:\n"
        "    main(sys.argv[1:])\n"
        "except SystemExit:\n"
        "    pass\n"
        "heavy = {'tensorflow', 'tfx', 'apache_beam', 'keras', 'matplotlib', 'numpy', 'pyarrow'}\n"
        "heavy &= set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=_ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run", "bert_tiny", "--input", "x", "--set", "trainng.steps=5"], 2, "training.steps"),
        (["run", "bert_tiny", "--input", "x", "--set", "training.steps=a"], 2, "a whole number"),
        (["run", "bert_tinny", "--input", "x"], 2, "did you mean bert_tiny?"),
        (["run", "bert_tiny"], 2, "--input"),
        (["run", "bert_tiny", "--input", "x", "--name", "a b"], 2, "is not a valid name"),
        (["run", "bert_tiny", "--input", "missing.jsonl"], 3, "missing.jsonl"),
        (["run", "bert_tiny", "--input", "missing-{SPAN}.jsonl"], 3, "missing-{SPAN}.jsonl"),
        (["recipes", "bert"], 2, "bert_tiny"),
        (["corpus", "gutenberg"], 2, "sotu"),
        (["predict", "fill-mask", "no mask", "--runs", "nowhere"], 2, "[MASK]"),
        (["predict", "next-sentence", "one", "--runs", "nowhere"], 2, "pairs"),
        (["predict", "embed", "text", "--runs", "nowhere"], 2, "no pipeline has run"),
        (["predict", "generate", "x", "--length", "0"], 2, "length is 0"),
        (["predict", "generate", "x", "--length", "3000000000"], 2, "length is 3000000000"),
        (["predict", "embed", "x", "--length", "5"], 2, "5 has no effect on embed"),
        (["predict", "embed", "caf\udce9", "--runs", "nowhere"], 2, "an argument is not UTF-8"),
        (["predict", "embed", "x", "--model", "/nonexistent"], 2, "the folder holds no model"),
        (["predict", "generate", "x", "--temperature", "nan"], 2, "temperature is nan"),
        (["predict", "generate", "x", "--top-p", "0"], 2, "top_p is 0.0"),
        (["examples", "folder", "--show", "-1"], 2, "-1 examples cannot be shown"),
        (["report", "--runs", "nowhere"], 2, "no pipeline has run"),
        (["spans", "--runs", "nowhere"], 2, "no pipeline has run"),
        (["lineage", "17", "--runs", "nowhere", "--name", "x"], 2, "no pipeline 'x'"),
    ],
)
def test_a_mistake_is_refused_on_one_screen_with_its_exit_code(
    arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == code
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert len(error.splitlines()) <= 8


def test_a_mistyped_option_is_refused_with_the_nearest_option(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as exited:
        cli.main(["run", "bert_tiny", "--inptu", "x"])
    assert exited.value.code == 2
    assert "--input" in capsys.readouterr().err


def test_answers_are_printed_although_one_text_has_none(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "saved_model.pb").touch()
    choices = [{"word": "bank", "probability": 0.5}]
    answers = [
        {"text": "A [MASK].", "masks": [choices], "cut_masks": [], "token_limit": 8},
        {"text": "So long a [MASK].", "masks": [], "cut_masks": [1], "token_limit": 8},
    ]
    monkeypatch.setattr("pipeline.predict.predict", lambda *_: answers)
    texts = [str(answer["text"]) for answer in answers]
    assert cli.main(["predict", "fill-mask", *texts, "--model", str(tmp_path)]) == 2
    printed = capsys.readouterr()
    assert "bank 0.500" in printed.out
    assert "the 1st [MASK] lies beyond the 8 tokens that the model reads" in printed.out
    assert "no [MASK] lies within the 8 tokens" in printed.err
    assert "So long a [MASK]." in printed.err


def test_predict_names_the_model_that_answered(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "17"
    (folder / "assets.extra").mkdir(parents=True)
    (folder / "saved_model.pb").touch()
    (folder / "assets.extra/provenance.json").write_text('{"name": "news", "span": 3}')
    answers = [{"first": "a", "second": "b", "probability": float("nan")}]
    monkeypatch.setattr("pipeline.predict.predict", lambda *_: answers)
    command = ["predict", "next-sentence", "a", "b", "--model", str(folder)]
    assert cli.main(command) == 0
    assert capsys.readouterr().err == "answered by news, version 17, span 3\n"
    assert cli.main([*command, "--json"]) == 0
    printed = capsys.readouterr()
    (answer,) = json.loads(printed.out, parse_constant=lambda name: pytest.fail(name))
    assert answer["probability"] is None
    assert answer["model"] == {
        "folder": str(folder),
        "version": "17",
        "name": "news",
        "span": "3",
    }
    assert printed.err == ""


def test_refused_spans_are_listed_and_a_run_without_a_span_exits_5(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pattern, runs = f"{tmp_path}/{{SPAN}}.txt", str(tmp_path / "runs")
    for day in ("2024-05-01", "2024_05_02"):
        (tmp_path / f"{day}.txt").touch()
    command = ["run", "bert_tiny", "--input", pattern, "--runs", runs]
    for day in ("2024-05-01", "2024_05_02"):
        assert cli.main(command) == 3  # refused: the file is empty
        assert f"{day}.txt" in capsys.readouterr().err
    assert cli.main(command) == 5
    printed = capsys.readouterr()
    assert printed.out.startswith("nothing new: ")
    assert printed.err == ""
    assert cli.main(["spans", "--runs", runs]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"2024-05-02 +refused .* The input file is empty", shown)
    assert cli.main(["spans", "--name", "bert_tiny", "--runs", runs, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [span["label"] for span in found["spans"]] == ["2024-05-01", "2024-05-02"]
    assert found["next"] is None


def test_recipes_prints_every_recipe_and_one_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["recipes"]) == 0
    listed = capsys.readouterr().out
    for name in RECIPES:
        assert f"python -m pipeline run {name} " in listed
    assert cli.main(["recipes", "bert_tiny"]) == 0
    fields = json.loads(capsys.readouterr().out)
    assert fields["training"]["steps"] == RECIPES["bert_tiny"]().training.steps
    assert fields["recipe"] == "bert_tiny"
