"""Opens a pipeline's `metadata.sqlite`, and says what is wrong with one that cannot be used."""

from __future__ import annotations

import functools
import logging
import os
import pathlib
from typing import Any

import ml_metadata
from ml_metadata.proto import metadata_store_pb2

from models.errors import ConfigError
from pipeline.layout import ARTIFACTS, SERVING
from pipeline.terminal.failures import database_refused, explain

DATABASE = "metadata.sqlite"
_BEGINNING = b"SQLite format 3\0"
_FILLED = (ARTIFACTS, SERVING)  # folders that runs fill after they have written a record
_MODES = metadata_store_pb2.SqliteMetadataSourceConfig


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether nobody else tells it: ML Metadata logs, at length, what it then raises."""
    return not str(record.msg).startswith("mlmd client")


logging.getLogger("absl").addFilter(_is_ours)


def has_database(folder: pathlib.Path) -> bool:
    """Whether a run has left its record in a pipeline's folder.

    Raises:
        ConfigError: the record is damaged, or cannot be read.
    """
    file = folder / DATABASE
    try:
        with open(file, "rb") as stream:
            beginning = stream.read(len(_BEGINNING))
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ConfigError(
            f"the record of the runs cannot be read: {error.strerror}",
            where=str(file),
            remedy="mend what is there, or its permissions",
        ) from error
    if beginning == _BEGINNING:
        return True
    if not beginning and not any((folder / name).exists() for name in _FILLED):
        return False  # a run was killed as it began
    raise database_refused("it is empty" if not beginning else "it is no SQLite database", file)


def open_store(file: pathlib.Path) -> Any:
    """The store in a file, which is made if there is none.

    Returns:
        An `ml_metadata.MetadataStore` whose methods raise `ConfigError` where the database cannot
        be used, and `DiskFull` where there is no room.

    Raises:
        ConfigError: likewise.
    """
    has_database(file.parent)
    connection = metadata_store_pb2.ConnectionConfig()
    connection.sqlite.filename_uri = str(file)
    # READONLY cannot roll back the journal that a killed run left.
    read_only = file.exists() and not os.access(file, os.W_OK)
    connection.sqlite.connection_mode = (
        _MODES.READONLY if read_only else _MODES.READWRITE_OPENCREATE
    )
    try:
        return _Store(file, ml_metadata.MetadataStore(connection))
    except Exception as error:  # it has looked for its tables
        raise database_refused(error, file) from error


class _Store:
    """A store whose methods name the file where its database cannot be used."""

    def __init__(self, file: pathlib.Path, store: ml_metadata.MetadataStore) -> None:
        self._file = file
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return _told(self._file, getattr(self._store, name))


def _told(file: pathlib.Path, call: Any) -> Any:
    """The call, whose errors of the database name the file and what to do."""

    @functools.wraps(call)
    def told(*given: Any, **named: Any) -> Any:
        try:
            return call(*given, **named)
        except Exception as error:
            if explain(error) is None:
                raise
            raise database_refused(error, file) from error

    return told
