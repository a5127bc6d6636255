"""Which files `{SPAN}` stands for, and whose turn it is."""

import datetime
import pathlib

import pytest

from models.errors import ConfigError, DataRefused
from pipeline.spans import Span, available_spans, choose_span, span_number


@pytest.fixture
def files(tmp_path: pathlib.Path) -> pathlib.Path:
    for name in ("news-2.jsonl", "news-10.jsonl", "news-1.jsonl", "news-x.jsonl", "other-3.jsonl"):
        (tmp_path / name).write_text("{}\n")
    return tmp_path


def test_spans_are_ordered_by_number_and_other_files_are_left_alone(files: pathlib.Path) -> None:
    spans = available_spans(f"{files}/news-{{SPAN}}.jsonl")
    assert spans == [
        Span(1, "1", f"{files}/news-1.jsonl"),
        Span(2, "2", f"{files}/news-2.jsonl"),
        Span(10, "10", f"{files}/news-10.jsonl"),
    ]


def test_dates_are_spans_by_their_ordinal(tmp_path: pathlib.Path) -> None:
    for day in ("2024-05-01", "2023-12-31", "2024-13-45"):
        (tmp_path / day).mkdir()
        (tmp_path / day / "a.txt").write_text("text")
    spans = available_spans(f"{tmp_path}/{{SPAN}}/*.txt")
    assert [span.label for span in spans] == ["2023-12-31", "2024-05-01"]
    assert spans[1].number == datetime.date(2024, 5, 1).toordinal() == span_number("2024-05-01")
    assert spans[1].pattern == f"{tmp_path}/2024-05-01/*.txt"


def test_a_second_placeholder_repeats_the_first(tmp_path: pathlib.Path) -> None:
    for path in ("1/part-1.txt", "1/part-2.txt", "3/part-3.txt"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text("text")
    spans = available_spans(f"{tmp_path}/{{SPAN}}/part-{{SPAN}}.txt")
    assert [span.number for span in spans] == [1, 3]


@pytest.mark.parametrize(
    ("pattern", "labels"),
    [
        ("**/{SPAN}.txt", ["7", "8"]),
        ("deep/?/{SPAN}.txt", ["8"]),
        ("[a-d]eep/*/{SPAN}.txt", ["8"]),
        ("[!d]eep/*/{SPAN}.txt", []),
    ],
)
def test_wildcards_of_the_shell(tmp_path: pathlib.Path, pattern: str, labels: list[str]) -> None:
    (tmp_path / "deep/x").mkdir(parents=True)
    (tmp_path / "7.txt").write_text("text")
    (tmp_path / "deep/x/8.txt").write_text("text")
    assert [span.label for span in available_spans(f"{tmp_path}/{pattern}")] == labels


def test_without_a_placeholder_everything_is_span_0(files: pathlib.Path) -> None:
    pattern = f"{files}/*.jsonl"
    assert choose_span(pattern, "next", done=[0]) == Span(0, "0", pattern)


def test_next_is_the_first_span_not_done_and_the_last_when_all_are(files: pathlib.Path) -> None:
    pattern = f"{files}/news-{{SPAN}}.jsonl"
    assert choose_span(pattern, "next", done=[]).number == 1
    assert choose_span(pattern, "next", done=[1, 10]).number == 2
    assert choose_span(pattern, "next", done=[1, 2, 10]).number == 10
    assert choose_span(pattern, "latest", done=[]).number == 10
    assert choose_span(pattern, "2", done=[2]).number == 2


def test_a_span_that_does_not_exist_is_refused_with_those_that_do(files: pathlib.Path) -> None:
    with pytest.raises(DataRefused, match="span 3 does not exist") as refused:
        choose_span(f"{files}/news-{{SPAN}}.jsonl", "3", done=[])
    assert "1, 2, 10" in str(refused.value)


def test_no_file_at_all_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(DataRefused, match="no file matches"):
        choose_span(f"{tmp_path}/x-{{SPAN}}.jsonl", "next", done=[])


def test_two_names_of_one_span_are_an_error(tmp_path: pathlib.Path) -> None:
    (tmp_path / "1.txt").write_text("text")
    (tmp_path / "01.txt").write_text("text")
    with pytest.raises(ConfigError, match="same span"):
        available_spans(f"{tmp_path}/{{SPAN}}.txt")


@pytest.mark.parametrize("label", ["tomorrow", "-1", "2024-02-30", "1.5", ""])
def test_what_is_no_span(label: str) -> None:
    with pytest.raises(ConfigError, match="is no span"):
        span_number(label)
