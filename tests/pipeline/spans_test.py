"""Which files each span has, and which span a run takes."""

import datetime
import fnmatch
import os
import pathlib
import re
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import ConfigError, DataRefused
from pipeline.spans import NothingNew, Span, available_spans, choose_span, span_number

NEWS = ("news-2.jsonl", "news-10.jsonl", "news-1.jsonl", "news-x.jsonl", "other-3.jsonl")


def write(folder: pathlib.Path, *names: str) -> pathlib.Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("text")
    return folder


def found(folder: pathlib.Path, pattern: str) -> dict[str, list[str]]:
    """Names of each span's files, by label, in order."""
    return {
        span.label: [os.path.relpath(file, folder) for file in span.files]
        for span in available_spans(f"{folder}/{pattern}")
    }


def refusal(folder: pathlib.Path, pattern: str) -> str:
    with pytest.raises(ConfigError) as caught:
        available_spans(f"{folder}/{pattern}")
    return caught.value.what


def test_spans_are_ordered_by_number_and_other_files_are_ignored(tmp_path: pathlib.Path) -> None:
    pattern = f"{write(tmp_path, *NEWS)}/news-{{SPAN}}.jsonl"
    assert available_spans(pattern) == [
        Span(1, "1", pattern, (f"{tmp_path}/news-1.jsonl",)),
        Span(2, "2", pattern, (f"{tmp_path}/news-2.jsonl",)),
        Span(10, "10", pattern, (f"{tmp_path}/news-10.jsonl",)),
    ]


def test_a_span_has_the_files_with_its_label_and_no_others(tmp_path: pathlib.Path) -> None:
    names = [f"news-{name}.jsonl" for name in ("1-a", "1-b", "10-a", "11-a", "2-a", "1x")]
    write(tmp_path, *names)
    spans = {
        "1": ["news-1-a.jsonl", "news-1-b.jsonl", "news-1x.jsonl"],
        "2": ["news-2-a.jsonl"],
        "10": ["news-10-a.jsonl"],
        "11": ["news-11-a.jsonl"],
    }
    assert found(tmp_path, "news-{SPAN}*.jsonl") == spans
    one_each = {"1": ["news-1-a.jsonl"]} | {label: spans[label] for label in ("2", "10", "11")}
    assert found(tmp_path, "*{SPAN}-a.jsonl") == one_each
    assert found(tmp_path, "news-{SPAN}?a.jsonl") == one_each  # `?` takes no digit of a number


def test_the_number_of_a_date_is_its_ordinal(tmp_path: pathlib.Path) -> None:
    write(tmp_path, "2024-05-01/a.txt", "2023-12-31/a.txt", "2024-13-45/a.txt")
    spans = {"2023-12-31": ["2023-12-31/a.txt"], "2024-05-01": ["2024-05-01/a.txt"]}
    assert found(tmp_path, "{SPAN}/*.txt") == spans
    assert available_spans(f"{tmp_path}/{{SPAN}}/*.txt")[1].number == 739007
    assert span_number("2024-05-01") == 739007


@pytest.mark.parametrize("separator", ["-", "_", "."])
def test_a_date_is_preferred_to_other_numbers_in_the_name(
    tmp_path: pathlib.Path, separator: str
) -> None:
    days = [separator.join(day) for day in (("2024", "05", "01"), ("2024", "06", "01"))]
    write(tmp_path, *(f"{kind}-{day}.jsonl" for kind in ("wire", "blog2") for day in days))
    spans = {
        "2024-05-01": [f"blog2-{days[0]}.jsonl", f"wire-{days[0]}.jsonl"],
        "2024-06-01": [f"blog2-{days[1]}.jsonl", f"wire-{days[1]}.jsonl"],
    }
    assert found(tmp_path, "*-{SPAN}.jsonl") == spans
    assert found(tmp_path, "*{SPAN}*") == spans
    assert found(tmp_path, "*{SPAN}.*") == spans


def test_the_number_of_a_month_is_the_ordinal_of_its_first_day(tmp_path: pathlib.Path) -> None:
    write(tmp_path, "wire-2024-05.txt", "wire-2023-12.txt", "blog-2024-05.txt")
    spans = {
        "2023-12": ["wire-2023-12.txt"],
        "2024-05": ["blog-2024-05.txt", "wire-2024-05.txt"],
    }
    assert found(tmp_path, "*-{SPAN}.txt") == spans
    assert span_number("2024-05") == datetime.date(2024, 5, 1).toordinal()


def test_a_date_without_separators_is_a_number(tmp_path: pathlib.Path) -> None:
    write(tmp_path, "wire-20240501.txt", "wire-20240430T2300.txt")
    spans = available_spans(f"{tmp_path}/wire-{{SPAN}}*.txt")
    assert [span.number for span in spans] == [20240430, 20240501]


@pytest.mark.parametrize(
    ("pattern", "label"),
    [
        ("wire-2024-{SPAN}-01.jsonl", "05"),
        ("wire-{SPAN}-??.jsonl", "2024-05"),
        ("wire-{SPAN}-05-01.jsonl", "2024"),
    ],
)
def test_a_part_of_a_date_is_a_label_if_nothing_else_fits(
    tmp_path: pathlib.Path, pattern: str, label: str
) -> None:
    assert list(found(write(tmp_path, "wire-2024-05-01.jsonl"), pattern)) == [label]


@pytest.mark.parametrize(
    ("name", "pattern", "readings"),
    [
        ("v2-10.txt", "*{SPAN}*", "10 or 2"),
        ("1-2-1.txt", "*{SPAN}*.txt", "1 or 2"),
        ("wire-2024-05-01.txt", "wire-{SPAN}-*.txt", "2024 or 2024-05"),
        ("2024-05-01_2024-05-31.txt", "*{SPAN}*", "2024-05-01 or 2024-05-31"),
        ("1/2/a.txt", "**/{SPAN}/**/*.txt", "1 or 2"),
        ("1/2/a.txt", "**/{SPAN}", "1 or 2"),  # a folder inside of another span's folder
    ],
)
def test_a_name_that_can_be_read_as_two_spans_is_refused(
    tmp_path: pathlib.Path, name: str, pattern: str, readings: str
) -> None:
    write(tmp_path, name)
    assert refusal(tmp_path, pattern) == f"the span of {name} can be read as {readings}"


def test_characters_before_a_number_are_not_part_of_it(tmp_path: pathlib.Path) -> None:
    write(tmp_path, "v2-10.txt", "v2-7.txt")
    spans = {"7": ["v2-7.txt"], "10": ["v2-10.txt"]}
    for pattern in ("v2-{SPAN}.txt", "v?-{SPAN}.txt", "*-{SPAN}.txt", "v[0-9]-{SPAN}*"):
        assert found(tmp_path, pattern) == spans
    for pattern in ("v2-1{SPAN}.txt", "v2-{SPAN}0.txt", "{SPAN}{SPAN}.txt"):
        assert "directly next to {SPAN}" in refusal(tmp_path, pattern)


def test_spans_of_two_kinds_are_refused(tmp_path: pathlib.Path) -> None:
    write(tmp_path, "a-1.txt", "a-2024-05-01.txt")
    assert refusal(tmp_path, "a-{SPAN}.txt") == (
        "spans of different kinds have no order:"
        " {SPAN} is a number in a-1.txt and a day in a-2024-05-01.txt"
    )
    (tmp_path / "a-1.txt").rename(tmp_path / "a-2024-06.txt")
    assert "a day in a-2024-05-01.txt and a month in a-2024-06.txt" in refusal(
        tmp_path, "a-{SPAN}.txt"
    )


@pytest.mark.parametrize("names", [("01.txt", "1.txt"), ("2024-05-01.txt", "2024_05_01.txt")])
def test_two_names_of_one_span_are_refused(tmp_path: pathlib.Path, names: tuple[str, str]) -> None:
    one, two = (name.removesuffix(".txt") for name in names)
    assert refusal(write(tmp_path, *names), "{SPAN}.txt") == (
        f"{one} and {two} are the same span: {names[0]} and {names[1]}"
    )


def test_a_number_that_ml_metadata_cannot_store_is_refused(tmp_path: pathlib.Path) -> None:
    assert list(found(write(tmp_path, f"{'9' * 18}.txt"), "{SPAN}.txt")) == ["9" * 18]
    write(tmp_path, f"{'9' * 19}.txt")
    assert "more than 18 digits" in refusal(tmp_path, "{SPAN}.txt")


def test_a_label_keeps_its_leading_zeros(tmp_path: pathlib.Path) -> None:
    write(tmp_path, "a-007.txt", "a-010.txt")
    pattern = f"{tmp_path}/a-{{SPAN}}.txt"
    spans = available_spans(pattern)
    assert [(span.number, span.label) for span in spans] == [(7, "007"), (10, "010")]
    assert choose_span(spans, pattern, "7", ()).label == "007"


def test_a_second_placeholder_repeats_the_first(tmp_path: pathlib.Path) -> None:
    write(tmp_path, "1/part-1.txt", "1/part-2.txt", "1/part-11.txt", "3/part-3-b.txt")
    spans = {"1": ["1/part-1.txt"], "3": ["3/part-3-b.txt"]}
    assert found(tmp_path, "{SPAN}/part-{SPAN}*.txt") == spans


def test_a_folder_is_a_span_with_all_its_files(tmp_path: pathlib.Path) -> None:
    write(tmp_path, "in/1/a.txt", "in/1/b/c.jsonl", "in/1/.b/d.txt", "in/1/note.md", "in/2/a.txt")
    write(tmp_path, "in/.3/a.txt", "in/4/.a.txt", "in/5/note.md")
    spans = {"1": ["in/1/a.txt", "in/1/b/c.jsonl"], "2": ["in/2/a.txt"]}
    for pattern in ("in/{SPAN}", "in/{SPAN}/", "in/{SPAN}*", "in/{SPAN}/**", "*/{SPAN}/**/*"):
        assert found(tmp_path, pattern) == spans
    assert found(tmp_path, "in/{SPAN}/*") == {"1": ["in/1/a.txt"], "2": ["in/2/a.txt"]}
    assert found(tmp_path, "in/{SPAN}/b") == {"1": ["in/1/b/c.jsonl"]}


def test_hidden_partial_and_unsupported_files_are_not_spans(
    tmp_path: pathlib.Path,
) -> None:
    write(tmp_path, "a-1.txt", ".a-2.txt", "a-3.txt.partial", "a-4.txt.tmp", ".a-5.txt.x", "a-6.md")
    assert found(tmp_path, "a-{SPAN}*") == {"1": ["a-1.txt"]}
    assert found(tmp_path, "*{SPAN}*") == {"1": ["a-1.txt"]}
    with pytest.raises(DataRefused, match="no file matches the input"):
        choose_span(available_spans(f"{tmp_path}/b-{{SPAN}}*"), "b-{SPAN}*", "latest", ())


@pytest.mark.parametrize(
    ("pattern", "labels"),
    [
        ("**/{SPAN}.txt", ["7", "8"]),
        ("deep/?/{SPAN}.txt", ["8"]),
        ("[a-d]eep/*/{SPAN}.txt", ["8"]),
        ("[!d]eep/*/{SPAN}.txt", []),
        ("[]d]eep/[^x]*/{SPAN}.txt", ["8"]),
    ],
)
def test_shell_wildcards(tmp_path: pathlib.Path, pattern: str, labels: list[str]) -> None:
    write(tmp_path, "7.txt", "deep/x/8.txt")
    assert list(found(tmp_path, pattern)) == labels


def test_a_folder_whose_name_has_brackets_is_found(tmp_path: pathlib.Path) -> None:
    write(tmp_path, "a[1]/news-3.txt", "a1/news-4.txt")
    assert list(found(tmp_path, "a[1]/news-{SPAN}.txt")) == ["3"]


def test_files_are_absolute(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "a-1.txt")
    monkeypatch.chdir(tmp_path)
    for pattern in ("a-{SPAN}.txt", "./a-1.txt"):
        (span,) = available_spans(pattern)
        assert span.files == (f"{tmp_path}/a-1.txt",)


def test_without_a_placeholder_the_input_is_span_0(tmp_path: pathlib.Path) -> None:
    pattern = f"{write(tmp_path, *NEWS[:2])}/*.jsonl"
    files = (f"{tmp_path}/news-10.jsonl", f"{tmp_path}/news-2.jsonl")
    spans = available_spans(pattern)
    assert spans == [Span(0, "0", pattern, files)]
    assert choose_span(spans, pattern, "next", to_skip=[0]) == spans[0]


def test_next_is_the_first_span_that_is_not_skipped(tmp_path: pathlib.Path) -> None:
    pattern = f"{write(tmp_path, *NEWS)}/news-{{SPAN}}.jsonl"
    spans = available_spans(pattern)

    def number(requested: str, *to_skip: int) -> int:
        return choose_span(spans, pattern, requested, to_skip).number

    assert number("next") == 1
    assert number("next", 1, 10) == 2
    assert number("latest", 10) == 10
    assert number("2", 2) == 2
    with pytest.raises(NothingNew, match="no span is left for `next`: 3 spans exist"):
        number("next", 1, 2, 10)


def test_a_span_that_does_not_exist_is_refused_with_a_list(tmp_path: pathlib.Path) -> None:
    pattern = f"{write(tmp_path, *NEWS)}/news-{{SPAN}}.jsonl"
    with pytest.raises(DataRefused, match="span 3 does not exist") as refused:
        choose_span(available_spans(pattern), pattern, "3", ())
    assert "1, 2, 10" in str(refused.value)


@pytest.mark.parametrize(
    "label", ["tomorrow", "-1", "2024-02-30", "1.5", "", "２", "2024-05_01", "1" * 5000]
)
def test_a_label_of_another_form_is_refused(label: str) -> None:
    with pytest.raises(ConfigError, match="is not a span"):
        span_number(label)


DATES = st.dates(datetime.date(1700, 1, 1), datetime.date(2199, 12, 31))
LABELS = {
    "numbers": st.integers(0, 10**9).map(str),
    "days": DATES.map(datetime.date.isoformat),
    "months": DATES.map(lambda day: day.isoformat()[:7]),
}
WORDS = st.text("ab-_.", max_size=3).filter(lambda text: not text.startswith("."))


@settings(max_examples=60, deadline=None)
@given(
    labels=st.sampled_from(sorted(LABELS)).flatmap(
        lambda kind: st.lists(LABELS[kind], min_size=1, max_size=5, unique=True)
    ),
    before=st.lists(WORDS, min_size=1, max_size=2, unique=True),
    after=st.lists(WORDS, min_size=1, max_size=2, unique=True),
    heads=st.sampled_from(["{head}", "*"]),
    tails=st.sampled_from(["{tail}", "*"]),
)
def test_a_spans_files_are_those_whose_names_have_its_label(
    labels: list[str], before: list[str], after: list[str], heads: str, tails: str
) -> None:
    """Words without digits surround a label, so that each name can be read in one way."""
    with tempfile.TemporaryDirectory() as path:
        folder = pathlib.Path(path)
        names = {
            (head, label, tail): f"x{head}{label}{tail}y.txt"
            for head in before
            for label in labels
            for tail in after
        }
        write(folder, *names.values())
        pattern = f"x{heads}{{SPAN}}{tails}y.txt"
        expected = {
            label: sorted(
                name
                for (head, each, tail), name in names.items()
                if each == label
                and (heads == "*" or head == before[0])
                and (tails == "*" or tail == after[0])
            )
            for label in labels
        }
        spans = found(folder, pattern.replace("{head}", before[0]).replace("{tail}", after[0]))
    assert spans == expected
    files = [file for files_of_span in spans.values() for file in files_of_span]
    assert len(files) == len(set(files))


@settings(max_examples=200, deadline=None)
@given(
    names=st.lists(st.text("12a-", min_size=1, max_size=6), min_size=1, max_size=6, unique=True),
    head=st.text("a-*?", max_size=3).filter(lambda text: text != "**"),
    tail=st.text("a-*?", max_size=3),
)
def test_a_file_has_the_one_span_that_its_name_can_be_read_as(
    names: list[str], head: str, tail: str
) -> None:
    """`expected` tries every number in a name as the label."""

    def fits(name: str, start: int, end: int) -> bool:
        return fnmatch.fnmatchcase(name[:start], head) and fnmatch.fnmatchcase(
            name[end:], f"{tail}.txt"
        )

    readings = {
        file: {run[0] for run in re.finditer("[0-9]+", file) if fits(file, run.start(), run.end())}
        for file in (f"{name}.txt" for name in names)
    }
    expected: dict[str, list[str]] = {}
    for file in sorted(readings):
        for label in readings[file]:
            expected.setdefault(label, []).append(file)
    with tempfile.TemporaryDirectory() as path:
        folder = write(pathlib.Path(path), *readings)
        if any(len(labels) > 1 for labels in readings.values()):
            assert "can be read as" in refusal(folder, f"{head}{{SPAN}}{tail}.txt")
        else:
            assert found(folder, f"{head}{{SPAN}}{tail}.txt") == expected
