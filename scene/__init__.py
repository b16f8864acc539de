"""Datasets: `load_scene` recognises one by what it contains and returns a `Scene`, whatever its format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from scene.build import Request, make_scene
from scene.readers import read_dataset
from scene.readers.base import ReadOptions
from scene.sfm import MIN_PHOTOS, PosesUnknown
from scene.source import opened
from scene.types import Scene
from utils.errors import UserError


def load_scene(
    source: Path | str,
    *,
    images: str = "images",
    depths: str = "",
    depth_scale: float | None = None,
    resolution: int = -1,
    eval_split: bool = False,
    test_images: Sequence[str] = (),
    white_background: bool = False,
    keep_background: bool = False,
    workspace: Path | None = None,
    frames: int = ReadOptions.frames,
    quiet: bool = True,
    find_poses: bool = True,
    guess_points: bool = True,
) -> Scene:
    """Read a dataset of any format that `scene.readers` lists, photos without poses, a video, or a zip of these.

    Args:
        source: the dataset's folder, or the file, which is only read.
        images: the folder of the photos in it, for a COLMAP model.
        depths: the folder of the depth maps in it; "": what the scene itself lists, or else `depth` or `depths`;
            "none": depth is ignored.
        depth_scale: world units of a step of the depth maps; None: found out (scene.depth.scale).
        resolution: as `-r` has it (scene.images.resized).
        eval_split: every 8th photo by name is a test view; a scene that comes with test views has those.
        test_images: names or stems of the photos that are test views instead.
        white_background: what is behind transparent pixels of renderings: white, else black.
        keep_background: whether a plain background of one color that all photos share is a surface; else it is taken
            for transparent, and where it is white, white is behind it.
        workspace: the folder that keeps what has to be made of the dataset: poses, frames of a video, a zip's files.
            None: only what needs nothing of that can be read.
        frames: how many frames of a video are taken.
        quiet: whether no progress is printed of what is made.
        find_poses: whether SfM may run, which takes minutes, for photos without poses that the workspace does not have.
        guess_points: whether points are added where photos show none of the scene's, for which photos are decoded:
            only the start of a training needs them.

    Raises: UserError for what is not a dataset, or not a whole one; PosesUnknown where SfM would have to run.
    """
    if depth_scale is not None and not 0 < depth_scale < np.inf:
        raise UserError(f"the scale of the depth maps is {depth_scale}; it must be above 0: world units of a step")
    if resolution != -1 and resolution < 1:
        raise UserError(f"resolution is {resolution}; it must be -1, 1, 2, 4, 8, or the largest width in pixels")
    if frames < MIN_PHOTOS:
        raise UserError(f"frames of a video to take: {frames}; at least {MIN_PHOTOS} are needed")
    gray = 1.0 if white_background else 0.0
    request = Request(
        images, depths, depth_scale, resolution, eval_split, test_images, gray, guess_points, keep_background
    )
    options = ReadOptions(
        images, None if workspace is None else Path(workspace), frames, quiet=quiet, find_poses=find_poses
    )
    folder, options, said = opened(Path(source), options)
    try:
        dataset = read_dataset(folder, options)
    except PosesUnknown as unknown:
        raise PosesUnknown(f"{Path(source).name}: {'; '.join([*said, str(unknown)])}") from None
    return make_scene(folder, replace(dataset, notes=(*said, *dataset.notes)), request)
