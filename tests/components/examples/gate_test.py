"""Tests of ExampleGate on the real output of ExampleBuilder."""

from __future__ import annotations

import dataclasses
import json
import math
import pathlib
from typing import Any

import pytest
from tfx.types import standard_artifacts

from components.artifacts import ExamplesApproval
from components.config import ValidationConfig
from components.documents import Document
from components.evaluation.served_model import ServedLoss, tokenizer_fingerprint
from components.examples import gate as example_gate
from components.examples.gate import ExampleGate, TokenizerFit, _served_checks, check_examples
from models.bert.objective import BertObjective
from models.errors import DataRefused
from models.objective import Feature, Labels
from tests.components.built_examples import OBJECTIVE, make, write_documents
from tests.testdata import little_bert

CHINESE = "图书管理员没有任何人帮忙。"


def judge(
    folder: pathlib.Path,
    examples: standard_artifacts.Examples,
    previous: ExamplesApproval | None = None,
    served_model: standard_artifacts.Model | None = None,
    served_evaluation: standard_artifacts.ModelEvaluation | None = None,
    **bounds: Any,
) -> ExamplesApproval:
    approval = ExamplesApproval()
    approval.uri = str(folder / "approval")
    (folder / "approval").mkdir()
    ExampleGate.test_call(
        examples=examples,
        approval=approval,
        family="bert",
        objective=OBJECTIVE,
        config=json.dumps(dataclasses.asdict(ValidationConfig(**bounds))),
        quarantine_dir=str(folder / "quarantine"),
        previous=previous,
        served_model=served_model,
        served_evaluation=served_evaluation,
    )
    return approval


def documents(folder: pathlib.Path, texts: list[str]) -> pathlib.Path:
    shards = [[Document(f"d/{n}", text, "s", "en", 0) for n, text in enumerate(texts)]]
    held_out = [[Document(f"h/{n}", little_bert.text(n), "s", "en", 0) for n in range(4)]]
    return write_documents(folder / "documents", shards, held_out)


ENGLISH = [little_bert.text(n) for n in range(12)]


def test_examples_that_fit_pass_and_the_approval_records_the_fit(tmp_path: pathlib.Path) -> None:
    examples = make(tmp_path, documents(tmp_path, ENGLISH), span=7)
    approval = judge(tmp_path, examples)
    assert approval.span == 7
    assert approval.unknown_share == 0
    assert 1 < approval.tokens_per_word < 2
    assert approval.tokens_per_byte < 0.65
    checks = json.loads((tmp_path / "approval" / "checks.json").read_text())
    assert [check["feature"] for check in checks] == [
        "unknown tokens",
        "tokens per byte",
        "next_sentence_label",
    ]


def test_text_that_the_vocabulary_does_not_cover_is_refused(tmp_path: pathlib.Path) -> None:
    texts = [*ENGLISH, *[f"{CHINESE * 2}\n{CHINESE * 3}"] * 12]
    examples = make(tmp_path, documents(tmp_path, texts), span=7)
    with pytest.raises(DataRefused) as refused:
        judge(tmp_path, examples)
    assert "tokens, which stand for 5" in refused.value.what
    assert "bound: at most 10.0% of the text (validation.max_unknown_share)" in refused.value.what
    assert f"d/12: 100% unknown, {CHINESE}" in refused.value.what
    assert "give a vocabulary of this text's language" in str(refused.value.remedy)
    kept = json.loads((tmp_path / "quarantine" / "span-7.ExampleGate.json").read_text())
    assert kept["splits"]["train"]["coverage"]["unknown_tokens"] > 700
    assert not list((tmp_path / "approval").iterdir())
    (tmp_path / "approval").rmdir()
    judge(tmp_path, examples, max_unknown_share=1.0, max_tokens_per_byte=2.0)


def test_documents_of_one_sentence_are_refused_for_next_sentence_prediction(
    tmp_path: pathlib.Path,
) -> None:
    texts = [text.split(". ")[0] + "." for text in ENGLISH]
    examples = make(tmp_path, documents(tmp_path, texts))
    with pytest.raises(DataRefused) as refused:
        judge(tmp_path, examples)
    assert "next_sentence_label: 0 of " in refused.value.what
    assert "0.0%, have the label 'B follows A'" in refused.value.what
    assert "model.objective.second_segment=none" in str(refused.value.remedy)


def earlier(examples: standard_artifacts.Examples, **fit: Any) -> ExamplesApproval:
    """The approval of an earlier span with the same tokenizer."""
    approval = ExamplesApproval()
    approval.span = 3
    approval.tokenizer = tokenizer_fingerprint(pathlib.Path(examples.uri) / "tokenizer")
    defaults = {"unknown_share": 0.0, "tokens_per_word": 1.5, "tokens_per_byte": 0.3}
    for name, value in (defaults | fit).items():
        setattr(approval, name, value)
    return approval


def test_a_span_is_compared_with_the_last_one_of_the_same_tokenizer(
    tmp_path: pathlib.Path,
) -> None:
    examples = make(tmp_path, documents(tmp_path, ENGLISH))
    with pytest.raises(DataRefused) as refused:
        judge(tmp_path, examples, earlier(examples, tokens_per_word=0.5))
    assert "drift of tokens per word: 0.50 → " in refused.value.what
    assert "(validation.max_token_drift)" in refused.value.what
    other = earlier(examples, tokens_per_word=0.5)
    other.tokenizer = "another"
    (tmp_path / "approval").rmdir()
    judge(tmp_path, examples, other)


def coverage(unknown: float, tokens: int = 260) -> dict[str, int]:
    """Counts in which `unknown` is the share of both unknown tokens and unknown bytes."""
    return {
        "bytes": 1000,
        "words": 200,
        "tokens": tokens,
        "unknown_tokens": round(unknown * tokens),
        "unknown_bytes": round(unknown * 1000),
    }


@pytest.mark.parametrize(
    ("found", "reads_unknown", "expected"),
    [
        (coverage(0.02), False, []),
        (coverage(0.11), False, ["unknown tokens"]),
        (coverage(0.11), True, []),
        (coverage(0.3), True, ["drift of words that cannot be predicted, of the tokens"]),
        (
            coverage(0.7),
            True,
            [
                "words that cannot be predicted",
                "drift of words that cannot be predicted, of the tokens",
            ],
        ),
        (coverage(0, 380), False, []),
        (coverage(0, 400), False, ["drift of tokens per word"]),
        (coverage(0, 700), False, ["tokens per byte", "drift of tokens per word"]),
    ],
)
def test_the_default_bounds(
    found: dict[str, int], reads_unknown: bool, expected: list[str]
) -> None:
    summary = {"coverage": found, "worst": [], "labels": {}}
    before = TokenizerFit.from_coverage(coverage(0.02), reads_unknown=reads_unknown)
    checks = check_examples(summary, {}, before, ValidationConfig(), reads_unknown=reads_unknown)
    assert [check.feature for check in checks if not check.passed] == expected


@pytest.mark.parametrize(("counts", "passed"), [([5, 95], True), ([97, 3], False), ([0, 0], None)])
def test_the_share_of_the_rarest_label_is_bounded(counts: list[int], passed: bool | None) -> None:
    labels = Labels(("yes", "no"), "ask better")
    spec = {"answer": Feature((1,), "int64", "", labels=labels)}
    summary = {"coverage": coverage(0), "worst": [], "labels": {"answer": counts}}
    checks = check_examples(summary, spec, None, ValidationConfig(), reads_unknown=False)
    found = [check for check in checks if check.feature == "answer"]
    assert [check.passed for check in found] == ([] if passed is None else [passed])
    if passed is False:
        assert found[0].value == "3 of 100 examples, 3.0%, have the label 'no'"
        assert found[0].remedy == "ask better"


def test_only_a_pair_of_sentences_has_a_label() -> None:
    objective = dataclasses.replace(little_bert.CONFIG.objective, second_segment="none")
    for config, expected in ((little_bert.CONFIG.objective, 1), (objective, 0)):
        spec = BertObjective(config, little_bert.tokenizer()).feature_spec()
        assert sum(feature.labels is not None for feature in spec.values()) == expected


@pytest.mark.parametrize(("loss", "passed"), [(5.1, True), (5.3, False)])
def test_the_served_models_loss_on_the_new_text_is_bounded(loss: float, passed: bool) -> None:
    served = ServedLoss("masked_lm_loss", loss, before=4.0)
    (check,) = _served_checks(served, ValidationConfig(max_loss_drift=0.3))
    assert check.passed == passed
    assert check.feature == "masked_lm_loss of the served model, before training"
    assert check.value == f"4.000 → {loss:.3f}, {'+27%' if passed else '+32%'}"
    assert check.bound == "an increase of at most 30%"


@pytest.mark.parametrize("served", [None, ServedLoss("masked_lm_loss", 5.0, math.nan)])
def test_an_unknown_loss_of_the_served_model_is_not_bounded(served: ServedLoss | None) -> None:
    assert _served_checks(served, ValidationConfig()) == []


def test_the_gate_measures_the_served_model_and_records_the_loss(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []

    def loss(model: str, evaluation: str | None, examples: str, metric: Any) -> ServedLoss:
        calls.append((model, evaluation, pathlib.Path(examples).name, metric.name))
        return ServedLoss(metric.name, 8.0, before=4.0)

    monkeypatch.setattr(example_gate, "served_loss", loss)
    examples = make(tmp_path, documents(tmp_path, ENGLISH), span=7)
    served, evaluation = standard_artifacts.Model(), standard_artifacts.ModelEvaluation()
    served.uri, evaluation.uri = "/served", "/evaluation"
    with pytest.raises(
        DataRefused, match=r"4\.000 → 8\.000, \+100%; bound: an increase of at most"
    ):
        judge(tmp_path, examples, served_model=served, served_evaluation=evaluation)
    assert calls == [("/served", "/evaluation", "examples", "masked_lm_loss")]
    kept = json.loads((tmp_path / "quarantine" / "span-7.ExampleGate.json").read_text())
    assert kept["served"] == {"metric": "masked_lm_loss", "loss": 8.0, "before": 4.0}
