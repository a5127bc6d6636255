"""Opens a pipeline's `metadata.sqlite`, and reports a database that cannot be used."""

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
_SQLITE_HEADER = b"SQLite format 3\0"
_FILLED = (ARTIFACTS, SERVING)  # folders that a run fills after it has created the database
_MODES = metadata_store_pb2.SqliteMetadataSourceConfig


def _is_not_raised_too(record: logging.LogRecord) -> bool:
    """Whether to keep a log record: ML Metadata logs, at length, errors that it also raises."""
    return not str(record.msg).startswith("mlmd client")


logging.getLogger("absl").addFilter(_is_not_raised_too)


def has_database(folder: pathlib.Path) -> bool:
    """Whether a pipeline's folder has a metadata database.

    Raises:
        ConfigError: the database is damaged, or cannot be read.
    """
    file = folder / DATABASE
    try:
        with open(file, "rb") as stream:
            header = stream.read(len(_SQLITE_HEADER))
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ConfigError(
            f"the metadata database cannot be read: {error.strerror}",
            where=str(file),
            remedy="repair the file or its permissions",
        ) from error
    if header == _SQLITE_HEADER:
        return True
    if not header and not any((folder / name).exists() for name in _FILLED):
        return False  # a run was killed when it created the file
    raise database_refused("it is empty" if not header else "it is not an SQLite database", file)


def open_store(file: pathlib.Path) -> Any:
    """Opens the metadata store in a file, creating the file if it does not exist.

    Returns:
        An `ml_metadata.MetadataStore` whose methods raise `ConfigError` if the database cannot be
        used, and `DiskFull` if the disk is full.

    Raises:
        ConfigError: the database cannot be used.
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
    except Exception as error:  # the constructor queries the tables
        raise database_refused(error, file) from error


class _Store:
    """A metadata store whose methods raise errors that name the database's file."""

    def __init__(self, file: pathlib.Path, store: ml_metadata.MetadataStore) -> None:
        self._file = file
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return _with_file_in_errors(self._file, getattr(self._store, name))


def _with_file_in_errors(file: pathlib.Path, method: Any) -> Any:
    """The method, with errors of the database converted to ones with the file and a remedy."""

    @functools.wraps(method)
    def call(*arguments: Any, **named: Any) -> Any:
        try:
            return method(*arguments, **named)
        except Exception as error:
            if explain(error) is None:
                raise
            raise database_refused(error, file) from error

    return call
