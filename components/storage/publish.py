"""Atomic writers of text files, links and folders: a reader never sees a part of one."""

import contextlib
import os
import pathlib
import shutil
from collections.abc import Iterable, Iterator

from models.published import published


def write_whole(path: str | os.PathLike[str], lines: Iterable[str]) -> None:
    """Writes lines to a UTF-8 text file, replacing an older file; an error names `path`."""
    # Lines may contain file names, and a file name may contain bytes that are not UTF-8.
    with (
        published(path) as partial,
        open(partial, "w", encoding="utf-8", errors="backslashreplace") as stream,
    ):
        stream.writelines(lines)


def link_whole(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    scratch: str | os.PathLike[str],
) -> None:
    """Makes `target` a hard link to a file, or a copy where links are not possible.

    Args:
        source: the file.
        target: the new name; an older file there is replaced.
        scratch: a folder on the target's file system for a temporary file, see `published`.
    """
    with published(target, scratch=scratch) as partial:
        try:
            os.link(source, partial)
        except OSError:
            shutil.copyfile(source, partial)


@contextlib.contextmanager
def published_folder(folder: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """Yields an empty temporary folder to fill, and renames it to `folder` when the block ends.

    The temporary folder is `.<name>.partial` next to `folder`. What a killed process left there is
    removed, so only one process may publish a folder at a time.

    Args:
        folder: the final name; an older folder there is replaced.
    """
    target = pathlib.Path(folder)
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
