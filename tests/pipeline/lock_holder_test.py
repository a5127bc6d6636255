"""Finding the process that holds a folder's lock."""

import pathlib
import subprocess
import sys
import textwrap

from pipeline.lock_holder import lock_holder

_HOLDER = textwrap.dedent(
    """
    import fcntl, sys
    file = open(sys.argv[1], "a+")
    fcntl.lockf(file, fcntl.LOCK_EX)
    print("locked", flush=True)
    sys.stdin.read()
    """
)


def test_the_holder_of_the_lock_is_found_and_keeps_it(
    tmp_path: pathlib.Path,
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(tmp_path / "lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == b"locked\n"
        assert lock_holder(tmp_path) == holder.pid
        assert lock_holder(tmp_path) == holder.pid
        holder.stdin.close()
    assert lock_holder(tmp_path) is None


def test_no_process_is_found_without_a_lock_file(
    tmp_path: pathlib.Path,
) -> None:
    assert lock_holder(tmp_path) is None
    (tmp_path / "lock").mkdir()
    assert lock_holder(tmp_path) is None
