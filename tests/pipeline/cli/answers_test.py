"""How the answers to each question are printed for a reader."""

import pytest

from pipeline.cli.answers import print_answers


def test_answers_to_each_question_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    choices = [{"word": "bank", "probability": 0.75}, {"word": "[UNK]", "probability": 0.125}]
    filled = {"text": "A [MASK] here.", "masks": [choices], "cut_masks": [], "token_limit": 64}
    print_answers("fill-mask", [filled])
    assert capsys.readouterr().out.splitlines() == [
        "A [MASK] here.",
        "    bank 0.750  [UNK] 0.125",
    ]
    print_answers("next-sentence", [{"first": "a", "second": "b", "probability": 0.5}])
    assert "0.500" in capsys.readouterr().out
    answer = {"text": "a", "tokens": ["[CLS]", "a"], "vectors": [[0.25, 1.0], [-1.0, 0.0]]}
    print_answers("embed", [answer])
    printed = capsys.readouterr().out
    assert "2 tokens, vectors of 2 dimensions" in printed
    assert "+0.25 +1.00" in printed
    answer = {"text": "a b", "total": -2.0, "perplexity": 2.75, "tokens": ["a", "Ġb"]}
    print_answers("score", [answer])
    assert capsys.readouterr().out.splitlines() == [
        "a b",
        "    2 tokens, perplexity 2.8, log-probability -2.00",
    ]
    answer = {
        "prompt": "We",
        "text": " [the] people",
        "token_count": 3,
        "finish_reason": "length",
        "prompt_tokens_cut": 0,
    }
    more = {"finish_reason": "context_full", "prompt_tokens_cut": 7}
    print_answers("generate", [answer, answer | more])
    assert capsys.readouterr().out.splitlines() == [
        "We [the] people",
        "We [the] people",
        "    The prompt is longer than the model's context: its first 7 tokens were cut.",
        "    The context was full after 3 new tokens.",
    ]


@pytest.mark.parametrize(
    ("cut", "line"),
    [
        ([2], "the 2nd [MASK] lies beyond the 64 tokens that the model reads"),
        ([11, 12], "the 11th to the 12th [MASK] lie beyond the 64 tokens that the model reads"),
        ([21, 22, 23], "the 21st to the 23rd [MASK] lie beyond the 64 tokens that the model reads"),
    ],
)
def test_masks_beyond_the_token_limit_are_named(
    cut: list[int], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = {"text": "[MASK]", "masks": [], "cut_masks": cut, "token_limit": 64}
    print_answers("fill-mask", [answer])
    assert capsys.readouterr().out.splitlines() == ["[MASK]", f"    {line}"]
