"""Finding the process that holds a folder's lock."""

import pathlib
import subprocess
import sys
import textwrap

from pipeline.at_work import process_at_work

_HOLDER = textwrap.dedent(
    """
    import fcntl, sys
    file = open(sys.argv[1], "a+")
    fcntl.lockf(file, fcntl.LOCK_EX)
    print("locked", flush=True)
    sys.stdin.read()
    """
)


def test_the_process_that_holds_the_lock_is_found_and_keeps_it(tmp_path: pathlib.Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(tmp_path / "lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == b"locked\n"
        assert process_at_work(tmp_path) == holder.pid
        assert process_at_work(tmp_path) == holder.pid
        holder.stdin.close()
    assert process_at_work(tmp_path) is None


def test_a_folder_without_a_lock_or_with_a_folder_for_one_has_nobody(
    tmp_path: pathlib.Path,
) -> None:
    assert process_at_work(tmp_path) is None
    (tmp_path / "lock").mkdir()
    assert process_at_work(tmp_path) is None
