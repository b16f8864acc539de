"""Datasets: `load_scene` recognises one by what it contains and returns a `Scene`, whatever its format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scene.build import Request, make_scene
from scene.readers import colmap, replica, scannet, seven_scenes, transforms, tum
from scene.readers.base import ParsedDataset, PosedImage
from scene.types import Scene
from utils.errors import UserError

READERS = (transforms, seven_scenes, scannet, tum, replica)  # each with is_here(folder) and read(folder)
PHOTOS = (".jpg", ".jpeg", ".png")
NAMED_AT_MOST = 8  # of a folder that is no dataset


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
) -> Scene:
    """Read a dataset: a COLMAP model (`sparse/0` or `sparse`) beside `images`, or what one of READERS knows.

    Args:
        source: the dataset's folder, which is only read.
        images: the folder of the photos in it, for a COLMAP model.
        depths: the folder of the depth maps in it; "": what the scene itself lists, or else `depth` or `depths`;
            "none": depth is ignored.
        depth_scale: world units of a step of the depth maps; None: found out (scene.depth.scale).
        resolution: as `-r` has it (scene.images.resized).
        eval_split: every 8th photo by name is a test view; a scene that comes with test views has those.
        test_images: names or stems of the photos that are test views instead.
        white_background: what is behind transparent pixels of renderings: white, else black.

    Raises: UserError for what is not a dataset, or not a whole one.
    """
    source = Path(source)
    if not source.is_dir():
        raise UserError(f"the dataset folder {source} is not there")
    if depth_scale is not None and not 0 < depth_scale < np.inf:
        raise UserError(f"the scale of the depth maps is {depth_scale}; it must be above 0: world units of a step")
    gray = 1.0 if white_background else 0.0
    request = Request(images, depths, depth_scale, resolution, eval_split, test_images, gray)
    return make_scene(source, _read(source, images), request)


def _read(source: Path, images: str) -> ParsedDataset:
    if (model_folder := colmap.find_model(source)) is not None:
        return _of_colmap(source, model_folder, images)
    for reader in READERS:
        if reader.is_here(source):
            return reader.read(source)
    raise UserError(_what_is_missing(source))


def _of_colmap(source: Path, folder: Path, images: str) -> ParsedDataset:
    model = colmap.read_model(folder)
    image_folder = source / images
    if not image_folder.is_dir():
        raise UserError(f"the image folder {image_folder} is not there; -i names another")
    here = [image for image in model.images if (image_folder / image.name).is_file()]
    masks = {image.name: _mask_beside(image_folder, image.name) for image in here}
    tracked = any(len(image.observed) for image in model.images)
    return ParsedDataset(
        kind="COLMAP",
        frames=tuple(
            PosedImage(each.name, image_folder / each.name, each.lens, each.camera_from_world, masks[each.name])
            for each in here
        ),
        missing=tuple(image.name for image in model.images if image.name not in masks),
        points=model.points,
        tracks={image.name: image.observed for image in model.images} if tracked else {},
    )


def _mask_beside(image_folder: Path, name: str) -> Path | None:
    """`masks/<name>.png` or `masks/<name with .png>`, beside the image folder."""
    masks = image_folder.parent / "masks"
    candidates = (masks / f"{name}.png", (masks / name).with_suffix(".png"))
    return next((path for path in candidates if path.is_file()), None)


def _what_is_missing(source: Path) -> str:
    """Of photos without poses, what to run; of anything else, what is accepted."""
    for folder in (source / "images", source):
        count = sum(path.suffix.lower() in PHOTOS for path in folder.iterdir()) if folder.is_dir() else 0
        if count:
            return (
                f"{folder} has {count} photos, but nothing in {source} says from where they were taken. COLMAP finds "
                f"out: with the photos in {source / 'images'}, run `colmap automatic_reconstructor --workspace_path "
                f"{source} --image_path {source / 'images'}`, or pycolmap as docs/datasets.md has it; either leaves "
                f"{source / 'sparse' / '0'}"
            )
    found = ", ".join(sorted(path.name for path in source.iterdir())[:NAMED_AT_MOST]) or "nothing"
    return (
        f"{source} is no dataset: it needs sparse/0 with cameras, images and points3D (COLMAP), transforms.json or "
        "transforms_train.json, or the files of 7-Scenes, ScanNet, TUM RGB-D or Replica that docs/datasets.md lists; "
        f"it has {found}"
    )
