"""Text of a few words, for the little models."""

import numpy as np

SENTENCES = (
    "The river rose in spring.",
    "Rain and wind fell at the bank.",
    "Our ships sailed past.",
    "We count the money of a bank, not of a river.",
    "The wind fell.",
    "A ship sailed in the rain and we not.",
    "Spring rose past the ships.",
)


def text(number: int) -> str:
    """A text of three to nine sentences, which depends on the number."""
    rng = np.random.default_rng(number)
    return " ".join(rng.choice(SENTENCES, size=rng.integers(3, 10)))
