"""Tests of the TFRecord writer."""

import gzip
import pathlib

import pytest
import tensorflow as tf

from components.storage import record_files
from components.storage.record_files import RecordWriter


def read(path: pathlib.Path) -> list[bytes]:
    return list(tf.data.TFRecordDataset(str(path), "GZIP").as_numpy_iterator())


def test_tensorflow_writes_the_same_records(tmp_path: pathlib.Path) -> None:
    records = [b"", b"bank", bytes(range(256)), b"\0" * 70_000]
    ours, theirs = tmp_path / "ours.gz", tmp_path / "theirs"
    with RecordWriter(str(ours)) as writer:
        writer.write(records[:1])
        writer.write(iter(records[1:]))
    with tf.io.TFRecordWriter(str(theirs)) as plain:
        for record in records:
            plain.write(record)
    assert gzip.decompress(ours.read_bytes()) == theirs.read_bytes()
    assert read(ours) == records


def test_a_file_of_several_gzip_members_is_read_completely(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_files, "_MEMBER_BYTES", 10)
    records = [f"the river bank {number}".encode() for number in range(50)]
    path = tmp_path / "records.gz"
    with RecordWriter(str(path)) as writer:
        writer.write(records)
    assert path.read_bytes().count(b"\x1f\x8b\x08") >= len(records)
    assert read(path) == records


def test_a_file_without_a_record_is_read(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "records.gz"
    with RecordWriter(str(path)):
        pass
    assert read(path) == []


def test_the_bytes_depend_only_on_the_records(tmp_path: pathlib.Path) -> None:
    """The file holds no time and no name. A literal, so that a change of libdeflate is noticed."""
    path = tmp_path / "records.gz"
    with RecordWriter(str(path)) as writer:
        writer.write([b"money in the bank", b"the river bank"])
    assert path.read_bytes().hex() == (
        "1f8b08000000000004ff13648080b9b95bf572f3f3522b1532f3144a3252159212f3b2379dd0cde2034b33301c"
        "7d9a690f122fca2c4b2d02cb6ef68c3900008ce1f6633f000000"
    )
