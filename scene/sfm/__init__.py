"""From photos without poses to a COLMAP model, by pycolmap: structure from motion (SfM)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scene.inputs.workspace import fingerprint, is_made, made_once
from scene.sfm.outlook import outlook
from scene.sfm.pairs import pairs_of
from scene.sfm.run import SETTINGS, reconstruct
from utils.errors import UserError
from utils.metrics_log import read_object

FOLDER = "sfm"  # in the workspace
MIN_PHOTOS = 3
FEW = 0.25  # of the photos: if fewer find their place, the model is of little use
ADVICE = (
    "Neighboring photos must show two thirds of the same things, sharp and with texture, and be taken from different "
    "places: walk around, do not turn on the spot; take more photos, or give more --frames of a video"
)


@dataclass(frozen=True)
class Poses:
    """What came of it."""

    model: Path  # the folder of the COLMAP model
    registered: int  # photos whose place was found
    error: float  # mean reprojection error of the points, pixels
    points: int
    others: tuple[int, ...]  # photos of the parts that are left out, which could not be joined to it


class PosesUnknown(UserError):
    """Photos whose poses have to be found first, which was not asked for: the message says what is known of them."""


def find_poses(
    folder: Path,
    names: Sequence[str],
    workspace: Path,
    is_sequence: bool,
    *,
    quiet: bool = False,
    may_run: bool = True,
) -> Poses:
    """Where the photos `names` of `folder` were taken from, found once and kept in `workspace`.

    Args:
        is_sequence: whether neighbors by name are neighbors in the scene, as frames of a video are.
        may_run: whether poses that `workspace` does not have are found now, which takes minutes.

    Raises: UserError where pycolmap is missing, or too few photos find their place; PosesUnknown where `may_run` is
    false and they would have to be found.
    """
    if len(names) < MIN_PHOTOS:
        raise UserError(f"{folder} has {len(names)} photos; at least {MIN_PHOTOS} are needed, and 20 to 200 are usual")
    photos = {name: fingerprint(folder / name) for name in sorted(names)}
    key = {"photos": photos, "settings": SETTINGS, "is_sequence": is_sequence}
    place = workspace / FOLDER
    if not may_run and not is_made(place, key):
        raise PosesUnknown(outlook(folder, list(photos), is_sequence))
    made_once(place, key, lambda into: reconstruct(folder, list(photos), into, pairs_of(is_sequence), quiet))
    found = read_object(place / "sfm.json")
    poses = Poses(place / "sparse" / "0", found["registered"], found["error"], found["points"], tuple(found["others"]))
    if poses.registered < max(MIN_PHOTOS, FEW * len(names)):
        raise UserError(
            f"{folder}: only {poses.registered} of {len(names)} photos could be placed by their features. {ADVICE}"
        )
    return poses
