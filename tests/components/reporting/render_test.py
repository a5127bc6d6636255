"""The texts and tables of the pages."""

import re

import pytest

from components.evaluation.bootstrap import Interval
from components.reporting import render
from components.reporting.inputs import (
    Dropped,
    ReportInputs,
    StepState,
    TrainingPoint,
    Version,
)
from components.reporting.predictions import Prediction
from components.reporting.word_senses import LayerSimilarity, WordVectors
from components.training.seed_results import SeedRun, SeedRuns
from components.tuning.trials import Search, Trial
from components.validation.corpus_statistics import SplitStatistics
from components.validation.gate_checks import Check
from models.metric import Metric
from models.printable import UNSAFE


def _page(*arguments, similarities=(), **parts):
    sections = "corpus tuning training evaluation slices history word_senses".split()
    charts = {section: [] for section in sections}
    return render.render_report(ReportInputs(*arguments, **parts), charts, similarities)


METRICS = [
    Metric(
        "masked_lm_accuracy", "a", "b", lower_bound=0.1, max_regression=0.02, baseline="unigram"
    ),
    Metric("loss", "c", "b", upper_bound=6.0, higher_is_better=False),
    Metric("unigram", "d", "b"),
]
VALUES = {"masked_lm_accuracy": 0.1875, "loss": 5.125, "unigram": 0.0625}


def test_metrics_are_shown_with_their_baselines_and_bounds():
    page = _page(
        "demo",
        "bert_demo",
        metrics=METRICS,
        evaluation={"overall": VALUES},
        last_blessed={"overall": {"masked_lm_accuracy": 0.171}},
        intervals={"masked_lm_accuracy": Interval(0.1875, 0.1775, 0.1985)},
        changes={"masked_lm_accuracy": Interval(0.0166, -0.0034, 0.0366)},
        resampling_note="Intervals by resampling 12 blocks of documents.",
    )
    row = page[page.index("masked-LM accuracy") :].split("</tr>")[0]
    text = re.sub(r"<[^>]*>", "", row.replace("\n<td", "|<td").replace("</td>", "|"))
    cells = [cell.strip() for cell in text.split("|") if cell.strip()]
    assert cells == [
        "masked-LM accuracy",
        "0.188 [0.177, 0.199]",
        "0.062",
        "unigram",
        "0.171",
        "0.017 [-0.003, 0.037]",
        "at least 0.100; at most 0.020 worse than the last blessed (worse end)",
    ]
    assert "Intervals by resampling 12 blocks of documents." in page
    assert "at most 6.00" in page
    assert "<td>unigram</td>" not in page  # it is next to its metric, without a row of its own
    assert "no earlier blessed model" not in page


def test_first_model_has_no_last_blessed():
    page = _page("demo", "bert_demo", metrics=METRICS, evaluation={"overall": VALUES})
    assert "no earlier blessed model" in page


def test_metrics_without_an_objective_are_listed():
    assert "0.062" in _page("demo", "r", evaluation={"overall": {"unigram": 0.0625}})


def test_slices():
    page = _page(
        "demo",
        "r",
        metrics=METRICS,
        evaluation={"overall": VALUES, "source=<a>": {"masked_lm_accuracy": 0.375}},
    )
    row = page[page.index("source=&lt;a&gt;") :].split("</tr>")[0]
    assert "0.375" in row
    assert "–" in row  # the slice has no loss


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"blessed": True}, "Blessed"),
        ({"blessed": False}, "Not blessed"),
        ({"blessed": None}, "Not evaluated"),
        ({"steps": [StepState("Trainer", "failed", None)]}, "Failed in Trainer"),
        ({"steps": [StepState("Trainer", "interrupted", 3.0)]}, "Interrupted in Trainer"),
        ({"steps": [StepState("Pusher", "failed")], "blessed": True}, "Failed in Pusher"),
    ],
)
def test_status(parts, words):
    page = _page("demo", "r", **parts)
    assert page.split('class="status')[1].split(">")[1].split("<")[0] == words


def test_the_platforms_of_a_training_are_named():
    page = _page(
        "demo", "r", training=[TrainingPoint(9, 1.5)], platforms=[(0, "a <CPU>"), (7, "a GPU")]
    )
    assert "Trained on a &lt;CPU&gt;." in page
    assert "After step 7, trained on a GPU." in page


def test_page_of_a_run_that_did_nothing_says_what_is_missing():
    page = _page("demo", "bert_tiny")
    for sentence in (
        "The model was not evaluated.",
        "No run was evaluated yet.",
        "No predictions: there is no exported model",
        "There is no exported model, or it does not know the word.",
        "There is no training log.",
        "There are no statistics of the corpus.",
        "No step was recorded.",
    ):
        assert sentence in page
    assert "<h1>demo</h1>" in page


def test_text_is_escaped():
    evil = "<script>&\"'"
    page = _page(
        evil,
        evil,
        3,
        fingerprint=evil,
        code_version=evil,
        version=evil,
        reasons=[evil],
        steps=[StepState(evil, evil, 1.0)],
        quarantined={evil: 1},
        dropped=[Dropped(evil, 1, ((evil, evil, evil),))],
        evaluation={"overall": VALUES, evil: VALUES},
        history=[Version(evil, VALUES)],
        word_vectors=WordVectors(evil, [evil], [evil], [(evil, evil)], None),
        similarities=[LayerSimilarity(0, {evil: 1.0}, 0.5, 0.25, 0.125)],
    )
    assert "<script" not in page
    assert page.count("&lt;script&gt;&amp;") >= 17


def test_control_characters_are_escaped():
    page = _page("demo\x1b[2J", "r", quarantined={"a\x04\x7f\u202eb": 1})
    assert "demo\\x1b[2J" in page
    assert "a\\x04\\x7f\\u202eb" in page
    assert not UNSAFE.search(page)


@pytest.mark.parametrize(
    ("unknown", "none"),
    [
        ({"quarantined": None}, {"quarantined": {}}),
        ({"dropped": None}, {"dropped": []}),
    ],
)
def test_nothing_is_said_about_counts_that_are_not_known(unknown, none):
    sentences = {"quarantined": "No records were quarantined", "dropped": "dropped no documents"}
    (name,) = unknown
    assert sentences[name] not in _page("demo", "r", **unknown)
    assert sentences[name] in _page("demo", "r", **none)


def test_cosines_and_pieces():
    page = _page(
        "demo",
        "r",
        word_vectors=WordVectors("bank", ["river"], ["The bank."], [("ban", "##k")], None),
        similarities=[LayerSimilarity(0, {"river": 0.9914}, -0.0004, 0.25, 0.0022)],
    )
    assert "tokens: ban ##k" in page
    row = page[page.index("within river") :]
    for cell in ("0.991", "-0.000", "0.250", "0.002"):
        assert f">{cell}</td>" in row


def test_the_history_says_which_runs_were_blessed():
    runs = [Version("span 1", VALUES, True), Version("span 2", VALUES, False)]
    page = _page("demo", "r", history=runs)
    one, two = page.index("<td>span 1</td>"), page.index("<td>span 2</td>")
    assert "<td>yes</td>" in page[one:two]
    assert "<td>no</td>" in page[two:]
    assert "So far only one run" not in page


def _split(documents, sources, source_count=0):
    return SplitStatistics(
        *(documents, 0, 0.0, 0, 0, (), (), 0.0, 0.0, 0.0, 0.0),
        languages={},
        sources=sources,
        source_count=source_count,
    )


def test_long_lists_show_the_largest_and_count_the_others():
    many = {f"s{i:02}": 0.03 for i in range(30)}
    splits = [_split(1_000, many, source_count=1_500), _split(10, {"s03": 1.0})]
    rows = render._largest_shares(splits, "sources", "source_count")
    assert rows[0] == ("s03", [0.03, 1.0])
    first = [f"s{i:02}" for i in range(21) if i != 3][:19]
    assert [name for name, _ in rows][1:] == [*first, "at least 1,480 more"]
    assert rows[-1][1] == pytest.approx([0.4, 0.0])


def test_the_largest_are_those_of_most_documents():
    splits = [_split(1_000, {"a": 0.6, "b": 0.4}), _split(10, {"b": 1.0})]
    rows = render._largest_shares(splits, "sources", "source_count")
    assert [name for name, _ in rows] == ["a", "b"]


def test_short_lists_are_complete():
    split = _split(4, {"en": 0.75, "zh": 0.25})
    assert render._largest_shares([split], "sources", "source_count") == [
        ("en", [0.75]),
        ("zh", [0.25]),
    ]
    assert render._largest_shares([], "sources", "source_count") == []


def test_the_page_of_a_running_run_says_so():
    steps = [StepState("TextExampleGen", "done", 1.0), StepState("Trainer", "running", None)]
    page = _page("demo", "r", run_id="20260501-1", running_at="2026-05-01 17:30:00", steps=steps)
    assert "Still running</span>" in page
    assert "The page shows its state at 2026-05-01 17:30:00." in page
    assert "<td>20260501-1</td>" in page
    assert "has not finished" not in _page("demo", "r", steps=steps[:1])


def test_the_original_text_is_shown_next_to_the_answer():
    prediction = Prediction("fill_mask", ("The <b>[MASK]</b>.",), (("<i>", 0.5),), "<s>")
    page = _page("demo", "r", predictions=[prediction])
    row = page[page.index("The &lt;b&gt;[MASK]") :].split("</tr>")[0]
    assert "&lt;i&gt;" in row
    assert '<td class="text quiet">&lt;s&gt;</td>' in row


def test_slices_that_are_not_shown_are_counted():
    slices = {"overall": VALUES, "source=a": VALUES}
    page = _page("demo", "r", evaluation=slices, more_slices=["80 more values of <source>."])
    assert "80 more values of &lt;source&gt;." in page


RATE, KIND = "training.optimizer.learning_rate", "training.optimizer.kind"
SEARCH = Search(
    "bayesian",
    1_200,
    (RATE,),
    (
        Trial(1, {RATE: 0.00123456, KIND: "adamw"}, 5.5),
        Trial(2, {RATE: 1.0, KIND: "adamw"}, None, "the <loss> is nan"),
        Trial(3, {RATE: 0.002, KIND: "lamb"}, 5.25),
    ),
)


def test_the_table_of_trials_marks_the_best_and_says_why_others_failed():
    page = _page("mine", "bert_tiny", search=SEARCH)
    assert "3 trials of 1,200 steps (bayesian search)" in page
    rows = re.findall(r"<tr[^>]*>(?:(?!</tr>).)*</tr>", page.partition("<h2>Tuning")[2], re.S)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows[:4]]
    assert cells == [
        ["Trial", "learning rate", "kind", "Held-out loss", ""],
        ["1", "0.001235", "adamw", "5.5000", ""],
        ["2", "1", "adamw", "–", "the &lt;loss&gt; is nan"],
        ["3", "0.002", "lamb", "5.2500", "best"],
    ]
    assert ['class="strong"' in row for row in rows[:4]] == [False, False, False, True]


def test_without_trials_the_page_has_no_section_on_tuning():
    assert "Tuning" not in _page("mine", "bert_tiny")


def test_the_gates_checks_are_listed_with_examples_of_failed_ones():
    good = Check("train", "documents", "30", "at least 2", True, examples=("unseen",))
    bad = Check(
        "train", "unknown <tokens>", "91.0 %", "at most 10 %", False, examples=("d1: 图书",)
    )
    page = _page("demo", "r", checks=[("DataGate", good), ("ExampleGate", bad)])
    rows = page.split("Checks of the text and the examples")[1].split("<tr>")[2:4]
    assert "<td>DataGate</td>" in rows[0]
    assert "<td>passed</td>" in rows[0]
    assert "unseen" not in rows[0]
    assert "unknown &lt;tokens&gt;" in rows[1]
    assert "<td>failed</td>" in rows[1]
    assert "d1: 图书" in rows[1]
    assert "Checks of the text" not in _page("demo", "r")


def test_the_seeds_of_a_training_with_their_spread() -> None:
    runs = (
        SeedRun(3, {"loss": 2.0, "accuracy": 0.25}),
        SeedRun(4, {}, "training step 5: the loss is nan"),
        SeedRun(5, {"loss": 1.0, "accuracy": 0.5}),
    )
    point = TrainingPoint(step=10, loss=1.0)
    page = _page("mine", "bert_tiny", training=[point], seeds=SeedRuns(runs))
    assert "Trained with 3 seeds." in page
    assert '<tr class="strong"><td class="n">5</td>' in page
    assert "training step 5: the loss is nan" in page
    assert '<td class="n">1.50 ± 0.707</td>' in page
    assert "Trained with" not in _page("mine", "bert_tiny", training=[point])
