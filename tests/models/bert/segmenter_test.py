"""Word segmenters by name: found, refused, and held to giving the text back."""

from __future__ import annotations

import jieba
import pytest

from models.bert.segmenter import load_segmenter
from models.errors import ConfigError


def spaced(text: str) -> list[str]:
    return ["", *text.partition(" ")]


def forgetful(text: str) -> list[str]:
    return text.split()


def test_jieba_cuts_chinese_into_words() -> None:
    segment = load_segmenter("jieba:lcut")
    assert segment("我在银行存钱。") == ["我", "在", "银行", "存钱", "。"]
    assert segment("河岸上涨了") == jieba.lcut("河岸上涨了")
    assert "".join(segment(" A  b\t河岸 ")) == " A  b\t河岸 "


def test_a_function_of_ones_own() -> None:
    segment = load_segmenter(f"{__name__}:spaced")
    assert segment("a b") == ["a", " ", "b"]
    assert segment("a") == ["a"]


@pytest.mark.parametrize(
    "name", ["", "jieba", "jieba:", "jieba:nothing", ":lcut", "no_such_module:cut", "a b:c"]
)
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be used") as caught:
        load_segmenter(name)
    assert caught.value.where == "model.objective.segmenter"


def test_a_segmenter_that_changes_the_text_is_refused() -> None:
    segment = load_segmenter(f"{__name__}:forgetful")
    with pytest.raises(ConfigError, match="changes the text") as caught:
        segment("河 岸")
    assert "'河 岸'" in str(caught.value)
