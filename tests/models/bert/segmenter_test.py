"""Tests of loading word segmenters by name."""

from __future__ import annotations

import importlib.metadata
import marshal
import os
import pathlib
import tempfile

import jieba
import pytest

from models.bert.segmenter import load_segmenter
from models.errors import ConfigError


@pytest.fixture(name="_package")
def _registered(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package whose metadata registers segmenters."""
    metadata = tmp_path / "mine-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[polyseme.segmenters]\nspaced = mine_segments:spaced\nforgetful = mine_segments:forgetful"
        "\ngone = mine_segments:gone\nmissing = no_such_module:cut\n"
    )
    (tmp_path / "mine_segments.py").write_text(
        'def spaced(text):\n    return ["", *text.partition(" ")]\n\n\n'
        "def forgetful(text):\n    return text.split()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert importlib.metadata.version("mine") == "1.0"


def test_jieba_cuts_chinese_into_words() -> None:
    segment = load_segmenter("jieba")
    assert segment("我在银行存钱。") == ["我", "在", "银行", "存钱", "。"]
    assert segment("河岸上涨了") == jieba.lcut("河岸上涨了")
    assert "".join(segment(" A  b\t河岸 ")) == " A  b\t河岸 "


def test_jieba_reads_no_cached_dictionary_of_another_user(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "jieba.cache").write_bytes(marshal.dumps(({"我在银行存钱": 10**9}, 10**9)))
    assert load_segmenter("jieba")("我在银行存钱。") == ["我", "在", "银行", "存钱", "。"]
    assert [path.name for path in tmp_path.iterdir()] == ["jieba.cache"]


@pytest.mark.usefixtures("_package")
def test_the_entry_point_of_an_installed_package_is_loaded() -> None:
    segment = load_segmenter("spaced")
    assert segment("a b") == ["a", " ", "b"]
    assert segment("a") == ["a"]


def test_a_name_of_code_is_never_imported(tmp_path: pathlib.Path) -> None:
    for name in ("os:system", "os.system", "subprocess:getoutput", "builtins:eval"):
        with pytest.raises(ConfigError, match="there is no segmenter of this name"):
            load_segmenter(name)(f"touch {tmp_path / 'ran'}")
    assert not os.listdir(tmp_path)


@pytest.mark.usefixtures("_package")
@pytest.mark.parametrize(
    "name", ["", "jieba:", "jieba:lcut", "jieba:nothing", ":lcut", "gone", "missing", "a b:c"]
)
def test_an_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be used") as caught:
        load_segmenter(name)
    assert caught.value.where == "model.objective.segmenter"


@pytest.mark.usefixtures("_package")
def test_a_segmenter_that_changes_the_text_is_refused() -> None:
    segment = load_segmenter("forgetful")
    with pytest.raises(ConfigError, match="changes the text") as caught:
        segment("河 岸")
    assert "'河 岸'" in str(caught.value)
