"""The errors that users see for exceptions of Beam, TFX, worker processes and the system."""

import errno
import pathlib
import tempfile
from collections.abc import Callable

import pytest

from models.errors import ConfigError, DataRefused, ServingCheckFailed
from pipeline.terminal.failures import (
    DiskFull,
    as_polyseme_error,
    explain,
    one_line,
    unexpected_error,
    without_secrets,
)


def raised(function: Callable[[], object]) -> BaseException:
    """The exception that a function raises."""
    try:
        function()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def test_a_polyseme_error_is_returned_unchanged() -> None:
    error = DataRefused("bad", where="a.jsonl:3", remedy="correct it")
    assert explain(error) is error


def test_a_polyseme_error_is_found_among_causes_and_contexts() -> None:
    inner = ConfigError("no [MASK]", where="vocab.txt")

    def fail() -> None:
        try:
            try:
                raise inner
            except ConfigError as error:
                raise ValueError("wrapped") from error
        except ValueError:
            raise RuntimeError("while handling")  # noqa: B904  implicitly chained on purpose

    assert explain(raised(fail)) is inner


def test_an_error_of_a_worker_process_is_parsed_from_its_traceback() -> None:
    text = """Traceback (most recent call last):
  File "sdk_worker.py", line 307, in _execute
    response = task()
models.errors.DataRefused: the text is not fit: 2 checks failed
  split train, lang: xx; bound: one of en
  split eval, lang: yy; bound: one of en
  where: DataGate, span 3
  to do: correct the documents [while running 'Check/ParDo(Gate)-ptransform-31']

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "apache_beam/runners/common.py", line 1498, in process
    raise new_exn
RuntimeError: models.errors.DataRefused: the text is not fit: 2 checks failed
  split train, lang: xx; bound: one of en
  split eval, lang: yy; bound: one of en
  where: DataGate, span 3
  to do: correct the documents [while running 'Check/ParDo(Gate)-ptransform-31']
"""
    found = explain(RuntimeError(text))
    assert isinstance(found, DataRefused)
    assert found.what == (
        "the text is not fit: 2 checks failed\n"
        "  split train, lang: xx; bound: one of en\n"
        "  split eval, lang: yy; bound: one of en"
    )
    assert found.where == "DataGate, span 3"
    assert found.remedy == "correct the documents"


def test_an_error_without_where_and_remedy_is_parsed_too() -> None:
    text = "models.errors.ServingCheckFailed: op Foo is unknown [while running 'x']"
    found = explain(RuntimeError(text))
    assert isinstance(found, ServingCheckFailed)
    assert str(found) == "op Foo is unknown"


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "/full/file"),
        RuntimeError("UNKNOWN: mysql? no: database or disk is full"),
        RuntimeError("ResourceExhaustedError: variables.data: No space left on device [Op:Save]"),
    ],
)
def test_a_full_disk_is_recognised(error: Exception) -> None:
    found = explain(error)
    assert isinstance(found, DiskFull)
    assert "disk is full" in str(found)
    assert found.where == getattr(error, "filename", None)


def test_an_unexpected_exception_is_not_explained() -> None:
    assert explain(KeyError("models.errors.NoSuchError: x")) is None


def test_secrets_are_hidden_in_every_text_of_an_error() -> None:
    error = without_secrets(DataRefused("a hush", where="b hush"), {"hush": "${WORD}"})
    assert isinstance(error, DataRefused)
    assert (error.what, error.where, error.remedy) == ("a ${WORD}", "b ${WORD}", None)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("\n\n  first\tline  \nsecond"), "ValueError: first line"),
        (KeyError(), "KeyError"),
        (RuntimeError("\x1b[2J\x07 bell \ud800"), "RuntimeError: ?[2J? bell ?"),
        (RuntimeError("b" * 10_000_000), "RuntimeError: " + "b" * 299 + "…"),
        (RuntimeError("\n" * 10_000_000 + "far below"), "RuntimeError"),
        (DataRefused("bad\nand more", where="here"), "bad"),
    ],
)
def test_any_exception_is_shown_in_one_short_line(error: Exception, line: str) -> None:
    assert one_line(error) == line
    shown = str(unexpected_error(error, pathlib.Path("a.log")))
    assert shown.splitlines() == [
        line,
        "  where: the traceback is in a.log",
        "  to do: run the same command again to resume after the last finished step",
    ]


def test_an_exception_whose_text_cannot_be_read_is_shown_by_its_type() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise ZeroDivisionError

    assert one_line(Broken()) == "Broken: (no text: ZeroDivisionError)"


def test_a_system_error_about_a_path_names_the_path(tmp_path: pathlib.Path) -> None:
    error = as_polyseme_error(raised(lambda: open(tmp_path)))
    assert isinstance(error, ConfigError)
    assert (error.what, error.where) == (
        "a file or folder cannot be used: Is a directory",
        str(tmp_path),
    )
    disk_error = as_polyseme_error(OSError(errno.EIO, "Input/output error", b"a\xff"))
    assert not isinstance(disk_error, ConfigError)
    assert disk_error.where == "a\\xff"
    assert "Input/output error" in disk_error.what


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Error when executing query: database disk image is malformed query: CREATE", "damaged"),
        ("Error when executing query: file is not a database query: CREATE", "damaged"),
        ("attempt to write a readonly database", "it is read-only"),
        ("Error: database is locked", "another process is using it"),
    ],
)
def test_database_errors_of_any_library_are_explained(text: str, problem: str) -> None:
    found = explain(RuntimeError(text))
    assert isinstance(found, ConfigError)
    assert found.what.startswith("the metadata database ")
    assert problem in found.what
    assert found.remedy


def test_the_traceback_of_an_unexpected_exception_is_kept(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def fail() -> None:
        raise KeyError("k" * 10_000_000)

    error = as_polyseme_error(raised(fail))
    (file,) = tmp_path.iterdir()
    assert str(file) in (error.where or "")
    assert "in fail" in file.read_text(encoding="utf-8")
    assert len(str(error)) < 1_000

    file.unlink()
    tmp_path.rmdir()  # no temporary file can be written now
    error = as_polyseme_error(raised(fail))
    assert "in fail" in error.what
    assert len(str(error)) < 6_000
    assert len(str(error).splitlines()) < 20
