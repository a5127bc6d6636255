"""The whole pipeline and predictions for every family, in English and in Chinese."""

from __future__ import annotations

import json
import pathlib

import pytest

from tests.testdata.small_corpus import arguments, finish, states, write_corpus

pytestmark = pytest.mark.e2e

RUNS = (
    ("elmo_tiny", "en", {"training__optimizer__learning_rate": 0.2}),
    ("gpt_tiny", "en", {"training__steps": 150}),
    ("elmo_zh_tiny", "zh", {"training__optimizer__learning_rate": 0.2}),
    ("bert_zh_tiny", "zh", {}),
    ("gpt_zh_tiny", "zh", {"training__steps": 150}),
)
BETTER_THAN_THE_UNIGRAM = {
    "elmo": {"model__objective__max_loss_over_unigram": 0.95},
    "bert": {},
    "gpt": {"model__objective__max_loss_over_unigram": 0.95},
}


ONE_STACK = ("elmo_tiny", "gpt_zh_tiny")
"""The modern stack trains each family once; the README's demo trains the English recipes again."""


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(run, id=run[0], marks=[pytest.mark.one_stack] * (run[0] in ONE_STACK))
        for run in RUNS
    ],
)
def pushed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, pathlib.Path, str]:
    """The recipe's name, the folder of runs, and what the run printed."""
    recipe, lang, settings = request.param
    folder = tmp_path_factory.mktemp(recipe)
    corpus = write_corpus(folder / "corpus.jsonl", range(240), lang)
    bounds = BETTER_THAN_THE_UNIGRAM[recipe.split("_")[0]]
    command = arguments(
        corpus,
        folder / "runs",
        recipe=recipe,
        training__batch_size=8,
        **settings | bounds,
    )
    return recipe, folder / "runs", finish(command)


def ask(runs: pathlib.Path, task: str, *more: str) -> list[dict]:
    return json.loads(finish(["predict", task, "--runs", str(runs), "--json", *more]))


def test_it_learns_is_blessed_pushed_and_answers(
    pushed: tuple[str, pathlib.Path, str],
) -> None:
    recipe, runs, output = pushed
    assert "blessed and pushed as version" in output
    assert set(states(output).values()) == {"done"}
    chinese = "zh" in recipe
    text = "银行家在市场放贷。" if chinese else "The banker lent near the market."
    (embedded,) = ask(runs, "embed", text)
    if recipe.startswith("gpt"):
        assert len(embedded["tokens"]) == len(embedded["vectors"])
        (scored,) = ask(runs, "score", text)
        assert scored["total"] < 0
        settings = ("--length", "12", "--temperature", "0.5", "--seed", "3")
        first, again = (ask(runs, "generate", text, *settings) for _ in range(2))
        assert first == again
        assert first[0]["token_count"] > 0
    else:
        inside = embedded["tokens"][1:-1]
        assert "".join(inside).lower() == text.replace(" ", "").lower()
    report = (runs / recipe / "report.html").read_text(encoding="utf-8")
    assert "One word, two meanings" in report
    assert ("Prompts from held-out documents" in report) == (
        not recipe.startswith("elmo")  # which only answers embed
    )
