"""Finding the process that holds a folder's lock."""

import pathlib

from pipeline.lock_holder import lock_holder
from tests.pipeline.held_lock import held_lock


def test_the_holder_of_the_lock_is_found_and_keeps_it(
    tmp_path: pathlib.Path,
) -> None:
    with held_lock(tmp_path) as holder:
        assert lock_holder(tmp_path) == holder.pid
        assert lock_holder(tmp_path) == holder.pid
    assert lock_holder(tmp_path) is None


def test_no_process_is_found_without_a_lock_file(
    tmp_path: pathlib.Path,
) -> None:
    assert lock_holder(tmp_path) is None
    (tmp_path / "lock").mkdir()
    assert lock_holder(tmp_path) is None
