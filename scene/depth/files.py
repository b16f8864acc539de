"""Where the depth maps of a scene are: in a folder beside the photos."""

from __future__ import annotations

from pathlib import Path

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
