"""Views far from the path of the training photos: a dataset of its own in test_far/, or the photos of test_far.txt.

They are measured like test views, and apart from them: held-out neighbors of training photos hide spikes and floaters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from scene.origin import about_origin
from scene.readers import read_dataset
from scene.readers.base import ParsedDataset, ReadOptions, read_text
from utils.errors import UserError

FOLDER = "test_far"  # in the dataset's folder: a dataset of any format, in the same frame
LIST = "test_far.txt"  # in the dataset's folder: photos of its own, a name or stem a line


@dataclass(frozen=True)
class FarViews:
    """What a dataset says of its far views."""

    listed: frozenset[str]  # names of photos of the dataset itself
    own: ParsedDataset | None  # of the folder; its names begin with the folder's
    files: tuple[Path, ...] = ()  # that were read


def split_far(source: Path, recording: ParsedDataset, origin: np.ndarray) -> tuple[ParsedDataset, FarViews]:
    """The dataset in `source`, whose coordinates are about `origin`, (3,), and its far views. Photos that the folder
    of far views has too are no longer the dataset's.

    Raises: UserError for a name of no photo, and for a folder that is no dataset.
    """
    path, folder = source / LIST, source / FOLDER
    listed = _listed(path, [frame.name for frame in recording.frames]) if path.is_file() else set()
    files = (path,) if path.is_file() else ()
    if not folder.is_dir():
        return recording, FarViews(frozenset(listed), None, files)
    own = about_origin(read_dataset(folder, ReadOptions()), origin)
    if not own.frames:
        raise UserError(f"{folder}: none of its {len(own.missing)} photos is there, such as {own.missing[0]}")
    paths = {frame.image_path.resolve() for frame in own.frames}
    others = tuple(frame for frame in recording.frames if frame.image_path.resolve() not in paths)
    frames = tuple(replace(frame, name=f"{FOLDER}/{frame.name}") for frame in own.frames)
    own = replace(own, frames=frames, points=recording.points, tracks={}, test=frozenset())
    far = FarViews(frozenset(listed & {frame.name for frame in others}), own, (*files, *own.files))
    return replace(recording, frames=others), far


def _listed(path: Path, names: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for line in filter(None, map(str.strip, read_text(path).splitlines())):
        meant = [name for name in names if line in (name, Path(name).name, Path(name).stem)]
        if not meant:
            raise UserError(f"{path} lists {line}, which is no photo of the dataset; such are {', '.join(names[:3])}")
        found.update(meant)
    return found
