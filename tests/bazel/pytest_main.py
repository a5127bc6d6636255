"""Runs pytest on the files that Bazel names, with nothing of the repository but what they declare.

Set-up installs the repository into the environment in editable form, so that every module of it
could be imported whether declared or not; here that way in is closed.
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
