"""Where the depth maps of a scene are: a folder beside the photos, with the photos' names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scene.depth.maps import SUFFIXES
from utils.errors import UserError

USUAL_FOLDERS = ("depth", "depths")
IGNORED = "none"  # what -d says to leave depth alone


def find_folder(source: Path, depths: str) -> Path | None:
    """The folder of the depth maps of the scene in `source`, as -d has it: its name, "" for a usual one if there is
    one, "none" for none.

    Raises: UserError for a named folder that is not there.
    """
    if depths == IGNORED:
        return None
    if depths:
        if not (source / depths).is_dir():
            raise UserError(f'the depth folder {source / depths} is not there; -d names another, "none" ignores depth')
        return source / depths
    return next((source / name for name in USUAL_FOLDERS if (source / name).is_dir()), None)


def find_maps(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """The depth maps of the photos `names` (paths relative to their folder): the same path with another suffix, or with
    another suffix behind its own, or just its last part; 7-Scenes' "x.color.png" has "x.depth.png". Not every photo
    needs one."""
    found = {}
    for name in names:
        stem = Path(name).with_suffix("")
        stems = (stem, Path(name), Path(stem.name), Path(stem.name.removesuffix(".color") + ".depth"))
        candidates = (folder / f"{each}{suffix}" for each in stems for suffix in SUFFIXES)
        path = next((candidate for candidate in candidates if candidate.is_file()), None)
        if path is not None:
            found[name] = path
    return found
