"""Runs the files whose end-to-end tests take longest first, so that both workers end together."""

import pytest

LONGEST = (
    "readme_test.py",
    "docs_test.py",
    "spans_e2e_test.py",
    "interruption_e2e_test.py",
    "families_e2e_test.py",
    "bad_input_e2e_test.py",
    "launcher_test.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the items of these files before the others, in the order above."""
    rank = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(LONGEST)))  # sort is stable
