"""How training examples are printed: targets after the tokens, and histograms of equal bins."""

import pathlib

import numpy as np
import pytest

from models.objective import RenderedToken
from pipeline.cli.example_view import print_examples
from pipeline.inspection import Inspection

SUMMARY = {"examples": 2, "documents": 1, "files": 1, "padding_share": 0.0, "tally": {"cut": 0}}


def printed(capsys: pytest.CaptureFixture[str], values: list[int]) -> list[str]:
    """The lines for one example of one token and a histogram of `values`."""
    inspection = Inspection(
        folder=pathlib.Path("x"),
        split="train",
        summary=SUMMARY,
        shown=[[[RenderedToken("a", "b")]]],
        facts=[{"source": "s"}],
        counted=len(values),
        values={"token_count": np.array(values)},
    )
    print_examples(inspection)
    return capsys.readouterr().out.splitlines()


def test_a_target_follows_its_token_and_a_tally_of_zero_is_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert printed(capsys, [7, 7])[:4] == [
        "example 1  source s",
        "a→b",
        "2 examples from 1 document in 1 file; 0.0% of the positions are padding",
        "token count of 2 examples: mean 7.0",
    ]


@pytest.mark.parametrize(
    ("values", "bins"),
    [
        ([7, 7], [["7", "2"]]),
        ([1, 3], [["1", "1"], ["2", "0"], ["3", "1"]]),
        (
            [0, 13],
            [
                [f"{start} to {start + 1}", "1" if start in (0, 12) else "0"]
                for start in range(0, 14, 2)
            ],
        ),
        (
            [0, 24],
            [[f"{start} to {start + 2}", "1" if start == 0 else "0"] for start in range(0, 24, 3)]
            + [["24", "1"]],
        ),
    ],
)
def test_at_most_twelve_bins_have_equal_width(
    values: list[int], bins: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [" ".join(line.strip(" █").split()) for line in printed(capsys, values)[4:]]
    assert [line.rsplit(" ", 1) for line in lines] == bins
