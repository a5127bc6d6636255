"""Decides about the p-value of a statistical test, and prints it (`pytest -s` shows it)."""

import os


def likely(pvalue: float) -> bool:
    """Whether a p-value is above 0.001; prints it.

    Draws are seeded, so a test that passes once always passes.
    """
    test = os.environ["PYTEST_CURRENT_TEST"].split("::", 1)[1].removesuffix(" (call)")
    print(f"\n{test}: p = {pvalue:.3g}")
    return pvalue > 1e-3
