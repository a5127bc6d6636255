"""GPT's questions: how probable a text is, and how it may continue. Imports no TensorFlow."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from models.errors import ConfigError
from models.questions import Answer, Question, RenderedAnswer

_INT32 = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class Generation:
    """How `generate` continues every prompt; see models/gpt/generation.py."""

    length: int = 40
    """Tokens to generate, at most; fewer if the prompt leaves the model fewer positions."""
    temperature: float = 0.8
    """0 takes the most probable token each time."""
    top_k: int = 0
    """Draw from this many most probable tokens; 0 draws from all."""
    top_p: float = 0.95
    """Draw from the fewest most probable tokens that together have this probability; 1 draws from
    all."""
    seed: int = 0
    """The same seed gives the same text."""
    stop: str = ""
    """End before this text."""

    def check(self) -> None:
        """Refuses values out of their range.

        Raises:
            ConfigError: names the option.
        """
        for field, fits, allowed in (
            ("length", 1 <= self.length <= _INT32, f"from 1 to {_INT32}"),
            ("temperature", 0.0 <= self.temperature <= 1e30, "from 0 to 1e30"),
            ("top_k", 0 <= self.top_k <= _INT32, f"from 0 to {_INT32}"),
            ("top_p", 1e-30 <= self.top_p <= 1.0, "from 1e-30 to 1"),  # less is 0 in float32
            ("seed", -(2**63) <= self.seed < 2**63, "of 64 bits"),
        ):
            if not fits:
                raise ConfigError(
                    f"{field} is {getattr(self, field)}",
                    where=f"--{field.replace('_', '-')}",
                    remedy=f"give a number {allowed}",
                )


class Score(Question):
    """How probable a text is, in all and token by token."""

    name = "score"
    signature = "score"
    summary = "how probable the text is"

    def read(self, texts: Sequence[str], outputs: Mapping[str, Any], row: int) -> Answer:
        """Log-probabilities of the text and of its tokens, and the perplexity."""
        count = int(outputs["token_count"][row])
        return {
            "text": texts[0],
            "total": float(outputs["total"][row]),
            "perplexity": float(outputs["perplexity"][row]),
            "tokens": [token.decode() for token in outputs["tokens"][row][:count]],
            "log_probabilities": outputs["log_probabilities"][row][:count].tolist(),
        }

    def render(self, answer: Answer) -> RenderedAnswer:
        """The number of tokens, the perplexity and the log-probability."""
        details = [
            f"{len(answer['tokens'])} tokens, perplexity {answer['perplexity']:.1f}, "
            f"log-probability {answer['total']:.2f}"
        ]
        return RenderedAnswer(answer["text"], details=details)


class Generate(Question):
    """How a prompt may continue."""

    name = "generate"
    signature = "generate"
    summary = "how the text may continue"
    options = Generation

    def arguments(self, texts: Sequence[str], options: Any) -> Mapping[str, Sequence[Any]]:
        """The prompts, and the options once for each."""
        settings = dataclasses.asdict(options).items()
        return {"prompt": texts} | {name: [value] * len(texts) for name, value in settings}

    def read(self, texts: Sequence[str], outputs: Mapping[str, Any], row: int) -> Answer:
        """The continuation, and why it ended."""
        return {
            "prompt": texts[0],
            "text": outputs["text"][row].decode(),
            "token_count": int(outputs["token_count"][row]),
            "finish_reason": outputs["finish_reason"][row].decode(),
            "prompt_tokens_cut": int(outputs["prompt_tokens_cut"][row]),
        }

    def render(self, answer: Answer) -> RenderedAnswer:
        """The prompt and its continuation; details if the model's context was too short."""
        details = []
        if cut := answer["prompt_tokens_cut"]:
            details.append(
                f"The prompt is longer than the model's context: its first {cut} tokens were cut."
            )
        if answer["finish_reason"] == "context_full":
            details.append(f"The context was full after {answer['token_count']} new tokens.")
        return RenderedAnswer(answer["prompt"], answer["text"], details)


SCORE, GENERATE = Score(), Generate()
