"""Tests of splitting texts into words and of counting words."""

import pytest

from components.words import count_words, split_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("The bank's *river*-bank, 3.5!", ["the", "bank", "s", "river", "bank", "3", "5"]),
        ("snake_case", ["snake", "case"]),
        ("河岸 bank 銀行", ["河", "岸", "bank", "銀", "行"]),
        ("これはペンです", list("これはペンです")),
        ("𠀀𠀁b", ["𠀀", "𠀁", "b"]),
        ("नदी का किनारा।", ["नदी", "का", "किनारा"]),
        ("e\u0301te\u0301 \u0301x", ["e\u0301te\u0301", "x"]),
        ("Überfluß ÉTÉ", ["überfluß", "été"]),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert split_words(text) == words


def test_words_are_counted_by_white_space_and_chinese_by_character() -> None:
    assert count_words("The river rose, twice.") == 4
    assert count_words("Cafés  close\n") == 2
    assert count_words("船长 sailed home。") == 4
    assert count_words("") == 0
