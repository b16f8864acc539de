"""Readers of datasets: one file per format, converted to the project's conventions at the door.

A format is a module with the names of `scene.readers.base.Reader`, and an entry of READERS.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from scene.readers import (
    colmap,
    colmap_elsewhere,
    kitti,
    opensfm,
    photos,
    polycam,
    record3d,
    redwood,
    replica,
    scanner_app,
    scannet,
    seven_scenes,
    stray,
    transforms,
    tum,
)
from scene.readers.base import ParsedDataset, Reader, ReadOptions
from utils.errors import UserError

READERS: tuple[Reader, ...] = (  # the first that can read a folder reads it
    colmap,
    transforms,
    seven_scenes,
    scannet,
    tum,
    replica,
    opensfm,
    scanner_app,
    record3d,
    polycam,
    redwood,
    kitti,
    stray,
    colmap_elsewhere,
)
NAMED_AT_MOST = 8  # of a folder that is no dataset


def read_dataset(source: Path, options: ReadOptions) -> ParsedDataset:
    """What the first reader that knows the folder finds in it. Raises: UserError for what is not a dataset, or not a
    whole one."""
    for reader in READERS:
        if reader.can_read(source):
            dataset = _guarded(reader, source, options)
            others = [other.LAYOUT for other in READERS if other is not reader and other.can_read(source)]
            also = (f"there are files of {', '.join(others)} too, which are not read",) if others else ()
            return replace(dataset, notes=(*dataset.notes, *also))
    if photos.can_read(source):  # after all others, whose folders have photos too
        return _guarded(photos, source, options)
    raise UserError(what_is_missing(source))


def has_poses(source: Path) -> bool:
    """Whether a reader knows the folder, other than as photos without poses."""
    return any(reader.can_read(source) for reader in READERS)


def _guarded(reader: Reader, source: Path, options: ReadOptions) -> ParsedDataset:
    """What a reader did not foresee of a damaged file becomes an error that its user can read."""
    try:
        return reader.read(source, options)
    except UserError:
        raise
    except (ArithmeticError, LookupError, MemoryError, OSError, RecursionError, TypeError, ValueError) as error:
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise UserError(f"{source} has the files of {reader.LAYOUT}, but they cannot be read: {what}") from error


def what_is_missing(source: Path) -> str:
    """Of a folder that is no dataset, what is accepted."""
    raw = [path for path in sorted(source.iterdir()) if path.suffix.lower() in photos.RAW]
    if raw:
        return f"{source}: {len(raw)} photos such as {raw[0].name} cannot be decoded here; convert them to JPEG"
    found = ", ".join(sorted(path.name for path in source.iterdir())[:NAMED_AT_MOST]) or "nothing"
    layouts = "; ".join(reader.LAYOUT for reader in (*READERS, photos))
    return f"{source} is no dataset: it has {found}, and it needs one of these: {layouts}"
