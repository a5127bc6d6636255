"""What a statistical test finds, for whoever asks to see it (`pytest -s`)."""

import os


def likely(pvalue: float) -> bool:
    """Whether chance alone gives such a sample once in a thousand times or more; tells how often.

    Draws are seeded, so a test that passes passes always.
    """
    test = os.environ["PYTEST_CURRENT_TEST"].split("::", 1)[1].removesuffix(" (call)")
    print(f"\n{test}: p = {pvalue:.3g}")
    return pvalue > 1e-3
