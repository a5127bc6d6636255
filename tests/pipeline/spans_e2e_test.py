"""Runs on consecutive spans: warm start, comparison, a second version, refusal, and a rerun."""

from __future__ import annotations

import json
import pathlib
import re
import shutil

import pytest

from components.documents import place_of
from pipeline.metadata.queries import RunHistory
from tests.testdata.small_corpus import arguments, finish, states, write_corpus

pytestmark = [pytest.mark.e2e, pytest.mark.one_stack]

RESOLVERS = (
    "LastApprovedStatistics",
    "TrainedEarlier",
    "LastApprovedExamples",
    "LastBlessedModel",
    "TrainingStart",
)
LEARNS = {"training__steps": 400, "model__objective__min_accuracy_over_unigram": 1.05}
SECOND = {
    **LEARNS,
    "model__objective__max_regression": 0.02,
    "ingestion__eval_share": 0.1,
    "training__seeds": 2,
    "training__window": 2,
    "training__replay_share": 0.3,
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("spans")
    for span in (1, 2):
        write_corpus(folder / f"corpus-{span}.jsonl", range(400 * span, 400 * span + 400))
    repeat_a_training_text_of_the_first_span(folder)
    return folder


def repeat_a_training_text_of_the_first_span(folder: pathlib.Path) -> None:
    """Adds a text of the first span to the second one, under an id that is held out."""

    shards = {"train": 1, "test": 1}

    def split(name: str) -> str:
        return place_of(name, test_share=0.2, eval_share=0.0, shards=shards).split

    lines = (folder / "corpus-1.jsonl").read_text(encoding="utf-8").splitlines()
    trained = next(item for item in map(json.loads, lines) if split(item["id"]) == "train")
    other = next(name for name in map("again-{}".format, range(100)) if split(name) == "test")
    with (folder / "corpus-2.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(json.dumps({**trained, "id": other}) + "\n")


def run(
    corpus: pathlib.Path, code: int = 0, *more: str, fresh: bool = False, **settings: object
) -> str:
    command = arguments(corpus / "corpus-{SPAN}.jsonl", corpus / "runs", *more, **settings)
    return finish(command, code, fresh=fresh)


def versions(corpus: pathlib.Path) -> list[str]:
    return sorted(path.name for path in (corpus / "runs/bert_tiny/serving/bert_tiny").iterdir())


def lineage(corpus: pathlib.Path, version: str) -> dict:
    folder = corpus / "runs/bert_tiny/serving/bert_tiny" / version
    return json.loads(finish(["lineage", str(folder), "--json"]))


@pytest.fixture(scope="module")
def first(corpus: pathlib.Path) -> str:
    return run(corpus, **LEARNS)


@pytest.fixture(scope="module")
def worse(corpus: pathlib.Path, first: str) -> str:
    """Runs the next span with a learning rate that destroys what the model has learned."""
    ruin = {
        "training__optimizer__learning_rate": 3.0,
        "training__steps": 30,
        "training__max_loss_rise": 0.0,  # training must end, so that the model is evaluated
    }
    bounds = {
        "model__objective__max_regression": 0.02,
        "model__objective__min_accuracy_over_unigram": 0.0,
    }
    return run(corpus, 4, **ruin, **bounds)


@pytest.fixture(scope="module")
def second(corpus: pathlib.Path, worse: str) -> str:
    return run(corpus, 0, "--span", "2", **SECOND)


def test_the_first_span_starts_with_new_weights_and_is_pushed(
    corpus: pathlib.Path, first: str
) -> None:
    assert "span 1 of" in first
    assert re.search(r"LastBlessedModel +done +\S+ +none yet", first)
    assert re.search(r"TrainingStart +done +\S+ +new weights", first)
    assert "blessed and pushed as version" in first


def test_a_worse_model_is_not_pushed_and_the_reason_is_printed(
    corpus: pathlib.Path, worse: str
) -> None:
    assert "span 2 of" in worse  # `next` is the first span that was not pushed
    assert "not blessed, so not pushed" in worse
    loss = r"masked_lm_loss is \S+, and \S+ for the last blessed model: worse by \S+ \[\S+, \S+\]"
    assert re.search(loss, worse)
    assert "the upper end must be at most 0.02" in worse
    assert states(worse)["Pusher"] == "done"


def test_the_next_span_starts_from_the_last_blessed_model_and_is_compared_with_it(
    corpus: pathlib.Path, worse: str, second: str
) -> None:
    assert re.search(r"LastBlessedModel +done +\S+ +model \d+, trained on span 1", second)
    assert re.search(r"TrainingStart +done +\S+ +model \d+, trained on span 1", second)
    for resolver in ("LastApprovedStatistics", "LastApprovedExamples"):
        assert re.search(rf"{resolver} +done +\S+ +from span 1", second)
    assert "taken from the base model" in worse  # and from the cache in `second`
    assert "warm start from" in second
    old, new = versions(corpus)
    found = lineage(corpus, new)
    assert found["version"] == new
    assert found["span"] == 2
    assert found["base"]["version"] == old  # not the one that was not blessed
    assert found["base"]["span"] == 1
    assert found["base"]["base"] is None
    assert found["corpus"] != found["base"]["corpus"]
    assert found["code"] == found["base"]["code"]
    assert found["config"]["training"]["steps"] == 400
    shown = finish(["lineage", new, "--runs", str(corpus / "runs"), "--name", "bert_tiny"])
    for part in (found["corpus"], found["base"]["corpus"], found["fingerprint"], "span 2 of"):
        assert part in shown
    history = RunHistory(corpus / "runs" / "bert_tiny")
    nodes = history.nodes(history.run_ids()[-1])
    assert nodes["Evaluator"].input("baseline_model") is not None
    cleaned = nodes["TextCleaner"].output("cleaned")
    assert cleaned is not None
    summary = json.loads((pathlib.Path(cleaned.uri) / "cleaning.json").read_text())
    assert summary["splits"]["test"]["dropped"] == {"trained on before": 1}


def test_older_text_is_replayed_and_the_best_seed_is_pushed(
    corpus: pathlib.Path, second: str
) -> None:
    assert re.search(r"\d+ more examples to train on, from documents of span 1", second)
    assert re.search(r"ExampleBuilder +done .* examples, [\d,]+ from earlier spans", second)
    best = re.search(r"seed (\d) is the best of 2, eval loss [\d.]+ ± [\d.]+", second)
    assert best
    folder = corpus / "runs/bert_tiny/serving/bert_tiny" / versions(corpus)[-1]
    provenance = json.loads((folder / "assets.extra/provenance.json").read_text())
    assert provenance["seed"] == int(best[1])
    report = (corpus / "runs/bert_tiny/report.html").read_text(encoding="utf-8")
    assert "Trained with 2 seeds." in report
    assert "masked_lm_loss of the served model, before training" in report


def test_no_run_starts_from_a_version_that_was_rolled_back(
    corpus: pathlib.Path, second: str, tmp_path: pathlib.Path
) -> None:
    moved = shutil.copytree(corpus, tmp_path / "moved")
    place = ["--runs", str(moved / "runs"), "--name", "bert_tiny"]
    old, new = versions(moved)
    assert f"served now: version {old}" in finish(["rollback", *place])
    assert [name for name in versions(moved) if name.isdecimal()] == [old]
    assert f"version {old}" in finish(["lineage", "latest", *place])
    assert "rolled back" in finish(["lineage", new, *place])
    assert re.search(r"^2 +rolled back", finish(["spans", *place]), re.M)
    again = run(moved, 4, "--span", "2", **SECOND)
    assert f"version {new} was rolled back" in again
    assert states(again)["Trainer"] == "cached"


def test_a_rerun_with_nothing_changed_computes_nothing(corpus: pathlib.Path, second: str) -> None:
    before = versions(corpus)
    # A new interpreter has other hashes of strings.
    again = run(corpus, 0, "--span", "2", fresh=True, **SECOND)
    found = states(again)
    assert {found.pop(name) for name in RESOLVERS} == {"done"}
    assert set(found.values()) == {"cached"}
    assert versions(corpus) == before
    assert f"blessed and pushed as version {before[-1]}" in again


def test_in_a_moved_folder_and_with_other_logging_nothing_is_computed(
    corpus: pathlib.Path, second: str, tmp_path: pathlib.Path
) -> None:
    moved = shutil.copytree(corpus, tmp_path / "moved")
    logging = {"training__log_steps": 7, "training__checkpoint_seconds": 5.0, "beam__workers": 2}
    again = run(moved, 0, "--span", "2", **SECOND, **logging)
    assert "the folder was moved" in again
    found = states(again)
    assert {found.pop(name) for name in RESOLVERS} == {"done"}
    assert set(found.values()) == {"cached"}
    assert versions(moved) == versions(corpus)
    # Changed bounds only run the gates again.
    stricter = {"model__objective__max_regression": 0.5, "validation__min_documents": 3}
    found = states(run(moved, 0, "--span", "2", **SECOND | stricter))
    assert {name for name, state in found.items() if state == "done"} - set(RESOLVERS) == {
        "DataGate",
        "ExampleGate",
        "Evaluator",
    }
    assert versions(moved) == versions(corpus)


def test_nothing_is_new_if_every_span_is_pushed(corpus: pathlib.Path, second: str) -> None:
    before = sorted((corpus / "runs").rglob("*"))
    assert "nothing new" in run(corpus, 5, **LEARNS)
    assert sorted((corpus / "runs").rglob("*")) == before
    shown = finish(["spans", "--runs", str(corpus / "runs")])
    for span, version in zip((1, 2), versions(corpus), strict=True):
        assert re.search(rf"^{span} +pushed .* 1 +{version}", shown, re.M)


def test_changed_text_in_the_same_file_is_not_a_cache_hit(
    corpus: pathlib.Path, second: str
) -> None:
    with (corpus / "corpus-2.jsonl").open("a", encoding="utf-8") as stream:
        stream.write('{"id": "new", "text": "One more text. It has two sentences."}\n')
    again = run(corpus, 4, "--span", "2", **LEARNS, model__objective__min_masked_lm_accuracy=1.0)
    assert states(again)["TextExampleGen"] == "done"
    assert states(again)["Trainer"] == "done"
