"""Files that are there whole or not at all: written under another name, then renamed."""

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterable


def write_whole(path: str, lines: Iterable[str]) -> None:
    """Writes lines as UTF-8, in place of what is there; an error names the file."""
    temporary = f"{path}.{uuid.uuid4().hex}"
    try:
        # Lines may name files, and a file's name may hold bytes that are no UTF-8.
        with open(temporary, "w", encoding="utf-8", errors="backslashreplace") as stream:
            stream.writelines(lines)
        os.replace(temporary, path)
    except BaseException as error:
        if isinstance(error, OSError):
            error.filename, error.filename2 = path, None  # a full disk has no name by itself
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def link_whole(source: str, target: str, scratch: str) -> None:
    """Gives a file a second name, or a copy on another file system, in place of what is there.

    Args:
        source, target: the two names.
        scratch: a folder on the target's file system, for a name that a killed worker may leave:
            beside the target it would be read as one more file.
    """
    temporary = os.path.join(scratch, f"{os.path.basename(target)}.{uuid.uuid4().hex}")
    try:
        os.link(source, temporary)
    except OSError:
        shutil.copyfile(source, temporary)
    os.replace(temporary, target)
    # Where both were names of one file already, as after a retry, renaming did nothing.
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
