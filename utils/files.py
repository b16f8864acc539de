"""Files that appear whole or not at all."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a file beside `path` for writing; on success it is synced and renamed to `path`, on failure removed.

    A reader, or a run that was killed, therefore sees the old file or the new one and never a part. An OSError names
    `path`, and not the file beside it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _beside(path) as file:
            yield file
    except OSError as error:
        if error.filename not in (None, str(path)) and not _is_beside(error.filename, path):
            raise
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


@contextmanager
def _beside(path: Path) -> Iterator[BinaryIO]:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def temporary_pattern(name: str) -> str:
    """What the name of a file matches that `atomic_write` has begun beside `name`, and a killed process has left."""
    return re.escape(f".{name}.") + "[a-z0-9_]{8}"  # as tempfile makes them


def _is_beside(name: object, path: Path) -> bool:
    return isinstance(name, str) and re.fullmatch(temporary_pattern(path.name), Path(name).name) is not None


def is_file(path: Path) -> bool:
    """Whether a file is there; a name that no file system takes is of none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    with atomic_write(path) as file:
        file.write((json.dumps(value, indent=2) + "\n").encode())


def _umask() -> int:
    """The process's umask, which can only be read by setting it."""
    current = os.umask(0)
    os.umask(current)
    return current
