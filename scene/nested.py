"""The dataset in a folder that is none itself: benchmarks and apps put theirs into folders of folders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from scene import far
from scene.inputs.workspace import is_workspace
from scene.readers import has_poses
from utils.errors import UserError

LEVELS = 3  # below the folder, at which datasets are looked for
MAX_FOLDERS = 1000  # of a level that are looked into
NAMED_AT_MOST = 8


def dataset_below(source: Path) -> Path | None:
    """The folder with photos and poses in `source`; None where there is none. Raises: UserError where there are
    several, which are not one scene."""
    found, level = list[Path](), [source]
    for _ in range(LEVELS):
        level = [path for folder in level for path in _folders(folder)][:MAX_FOLDERS]
        found += [path for path in level if has_poses(path)]
        level = [path for path in level if path not in found]
    if len(found) > 1:
        names = [path.relative_to(source).as_posix() for path in found[:NAMED_AT_MOST]]
        more = ", ..." if len(found) > NAMED_AT_MOST else ""
        raise UserError(f"{source} has {len(found)} datasets, of which one must be named: {', '.join(names)}{more}")
    return found[0] if found else None


def _folders(folder: Path) -> Iterator[Path]:
    """Those that people have put there: no hidden ones, none of a run that found poses, and none of far views."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.name.startswith(".") and path.name != far.FOLDER and not is_workspace(path):
            yield path
