"""How a lineage is printed: as a tree down to the text, with no line cut."""

import pytest

from pipeline.cli.lineage_tree import print_lineage
from pipeline.metadata.lineage import Lineage


def test_the_tree_shows_the_text_and_the_base_model(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def lineage(version: str | None, span: int, base: Lineage | None) -> Lineage:
        return Lineage(
            version=version,
            destination=f"/s/{version}" if version else None,
            model=f"/model/{span}",
            recipe="bert_tiny",
            config={"training": {"steps": 7, "optimizer": {"beta_1": 0.9}}},
            code="c0de",
            commit="1a2b3c4",
            fingerprint=f"all-{span}",
            examples=f"/examples/{span}",
            vocabulary="/vocabulary",
            vocabulary_size=1234,
            cleaned=f"/cleaned/{span}",
            documents=f"/documents/{span}",
            span=span,
            label=f"0{span}",
            pattern=f"a-{span}.jsonl",
            corpus=f"text-{span}",
            base=base,
        )

    print_lineage(lineage("18", 2, lineage(None, 1, None)))
    printed = capsys.readouterr().out
    order = [
        "version 18",
        "/model/2",
        "c0de  (1a2b3c4)",
        "steps=7 optimizer.beta_1=0.9",
        "1,234",
        "span 02 of a-2",
        "text-2",
        "text-1",
    ]
    positions = [printed.index(text) for text in order]
    assert positions == sorted(positions)
    assert "never pushed" in printed


def test_long_lines_of_a_lineage_are_not_cut(capsys: pytest.CaptureFixture[str]) -> None:
    pattern = "/corpora/" + "a" * 500
    empty = Lineage(
        "17", "/s", "m", "r", {}, "c", "", "f", "e", "v", 9, "c", "d", 1, "1", pattern, "p", None
    )
    print_lineage(empty)
    assert f"span 1 of {pattern}\n" in capsys.readouterr().out
