"""A metadata database that cannot be used: the error names its file and says what to do."""

import gc
import pathlib
import subprocess
from collections.abc import Callable, Iterator

import pytest
from ml_metadata.errors import InternalError, InvalidArgumentError

from models.errors import ConfigError
from pipeline.metadata.queries import RunHistory
from pipeline.metadata.store import DATABASE, has_database, open_store
from pipeline.span_history import Attempt, read_attempts, write_attempt
from pipeline.terminal.failures import DiskFull
from tests.pipeline.small_disk import mounted
from tests.testdata.recorded_runs import Recorder


@pytest.fixture
def database(tmp_path: pathlib.Path) -> pathlib.Path:
    """The database of a pipeline with 30 runs and one pushed version."""
    recorder = Recorder(tmp_path)
    for run in range(30):
        recorder.execution(str(run), "Trainer", outputs={"model": recorder.artifact("Model")})
    (tmp_path / "serving" / "p" / "17").mkdir(parents=True)
    return tmp_path / DATABASE


def empty(file: pathlib.Path) -> None:
    file.write_bytes(b"")


def garbage(file: pathlib.Path) -> None:
    file.write_bytes(b"garbage" * 5_000)


def truncate(file: pathlib.Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def overwrite(file: pathlib.Path) -> None:
    whole = file.read_bytes()
    file.write_bytes(whole[:4096] + b"\xaa" * 36_864 + whole[40_960:])


def make_folder(file: pathlib.Path) -> None:
    file.unlink()
    file.mkdir()


DAMAGES = (empty, garbage, truncate, overwrite, make_folder)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(
    "read", [lambda folder: RunHistory(folder).run_ids(), read_attempts, has_database]
)
def test_a_damaged_database_is_refused_and_not_changed(
    database: pathlib.Path,
    damage: Callable[[pathlib.Path], None],
    read: Callable[[pathlib.Path], object],
) -> None:
    damage(database)
    before = database.read_bytes() if database.is_file() else b""
    if read is has_database and damage in (truncate, overwrite):
        assert has_database(database.parent)  # it reads only the header
        return
    with pytest.raises(ConfigError, match="the metadata database") as refused:
        read(database.parent)
    assert refused.value.where == str(database)
    assert refused.value.remedy
    assert len(str(refused.value)) < 1_000
    assert (database.read_bytes() if database.is_file() else b"") == before


class Broken:
    """A store that fails every call."""

    def get_contexts(self) -> None:
        raise InternalError("cannot get: database disk image is malformed")

    def put_contexts(self) -> None:
        raise InvalidArgumentError("Type id is missing.")


def test_damage_that_a_later_query_finds_is_reported_too(
    database: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml_metadata.MetadataStore", lambda _: Broken())
    store = open_store(database)
    with pytest.raises(ConfigError, match="database disk image is malformed") as refused:
        store.get_contexts()
    assert refused.value.where == str(database)
    with pytest.raises(InvalidArgumentError):  # the call is wrong, not the database
        store.put_contexts()


def test_an_empty_file_that_a_killed_run_left_is_not_a_database(tmp_path: pathlib.Path) -> None:
    (tmp_path / DATABASE).touch()
    assert not has_database(tmp_path)
    write_attempt(tmp_path, Attempt("a", 1, "1"))
    assert [attempt.run_id for attempt in read_attempts(tmp_path)] == ["a"]


@pytest.fixture
def small_disk(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A folder on a disk of 1 MB."""
    with mounted(tmp_path / "disk") as folder:
        yield folder


def test_a_full_disk_is_an_error(
    small_disk: pathlib.Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_attempt(small_disk, Attempt("a", 1, "1"))
    with pytest.raises(OSError, match="No space"):
        (small_disk / "filler").write_bytes(b"x" * 2_000_000)
    with pytest.raises(DiskFull) as full:
        write_attempt(small_disk, Attempt("b", 1, "1" * 100_000))
    assert full.value.where == str(small_disk / DATABASE)
    assert capfd.readouterr().err == ""  # ML Metadata's own long log record is left out


def test_a_read_only_database_can_be_read_and_not_written(small_disk: pathlib.Path) -> None:
    write_attempt(small_disk, Attempt("a", 1, "1"))
    gc.collect()  # which closes the database
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert read_attempts(small_disk)[0].run_id == "a"
    with pytest.raises(ConfigError, match="it is read-only") as refused:
        write_attempt(small_disk, Attempt("c", 1, "1"))
    assert refused.value.where == str(small_disk / DATABASE)
