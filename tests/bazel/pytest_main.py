"""Runs pytest on the files that Bazel names, with only the declared modules of the repository.

setup.sh installs the repository in editable form, so every module could be imported, whether it is
declared or not. This program removes that installation from the import path.
"""

import os
import sys

import pytest

sys.meta_path[:] = [
    finder for finder in sys.meta_path if "__editable__" not in getattr(finder, "__module__", "")
]
runfiles = os.environ["TEST_SRCDIR"]
sys.path[:] = [
    path
    for path in sys.path
    if path.startswith(runfiles) or not os.path.isdir(os.path.join(path, "pipeline"))
]

if __name__ == "__main__":
    sys.exit(
        pytest.main(
            ["--import-mode=importlib", "-p", "no:cacheprovider", "-m", "not e2e", *sys.argv[1:]]
        )
    )
