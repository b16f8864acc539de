"""Views of a synthetic room off the path of its photos, where spikes and floaters show: closer, higher and aside.

test_far/transforms.json     a dataset of its own in the room's frame, with depth in metres
test_far/images/closer_0.png 8-bit photos
test_far/depth/closer_0.npy  (H, W) float32, exact z of the ray through each pixel's center
test_far/masks/closer_0.png  white where at least SEEN_BY training photos show the same place
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from scene.build import TEST_EVERY
from scene.far import FOLDER
from scene.synthetic.points import times_seen, unproject
from scene.synthetic.render import Picture
from scene.types import Camera
from utils.errors import UserError
from utils.files import write_json

SEEN_BY = 3  # training photos at least: what fewer have seen no training can place
OPENGL_FROM_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])


def write_far(
    folder: Path,
    far: tuple[Sequence[Camera], Sequence[Picture]],
    photos: tuple[Sequence[Camera], Sequence[Picture]],
) -> None:
    """Write the far views (cameras, pictures) into the scene in `folder`; `photos` are what it is trained on."""
    place, frames = folder / FOLDER, []
    for camera, picture in zip(*far, strict=True):
        color = np.round(picture.color * 255).astype(np.uint8)
        seen = _seen(camera, picture, photos)
        files = {kind: f"{kind}/{camera.name}" for kind in ("images", "masks")}
        files["depth"] = f"depth/{Path(camera.name).stem}.npy"
        _write_picture(place / files["images"], color[..., ::-1])
        _write_picture(place / files["masks"], 255 * seen.astype(np.uint8))
        (place / files["depth"]).parent.mkdir(exist_ok=True)
        np.save(place / files["depth"], np.where(np.isfinite(picture.depth), picture.depth, 0).astype(np.float32))
        frames.append(_frame(camera, files))
    write_json(place / "transforms.json", {"meters_per_unit": 1.0, "depth_unit_scale_factor": 1.0, "frames": frames})


def _seen(camera: Camera, picture: Picture, photos: tuple[Sequence[Camera], Sequence[Picture]]) -> np.ndarray:
    """(H, W) bool: whether SEEN_BY photos show what a pixel shows. What --eval holds out does not count."""
    row, column = (grid.ravel() for grid in np.mgrid[0 : camera.height, 0 : camera.width])
    solid = np.isfinite(picture.depth).ravel()
    points = unproject(camera, np.where(solid, picture.depth.ravel(), 1.0), row, column)
    trained = [index for index in range(len(photos[0])) if index % TEST_EVERY]
    cameras, pictures = [photos[0][index] for index in trained], [photos[1][index] for index in trained]
    count = times_seen(points, cameras, pictures)
    return (solid & (count >= SEEN_BY)).reshape(camera.height, camera.width)


def _frame(camera: Camera, files: dict[str, str]) -> dict[str, object]:
    pose = np.linalg.inv(camera.camera_from_world) @ OPENGL_FROM_OPENCV
    lens = {"w": camera.width, "h": camera.height, "fl_x": camera.fx, "fl_y": camera.fy}
    paths = {"file_path": files["images"], "mask_path": files["masks"], "depth_file_path": files["depth"]}
    return {**paths, **lens, "cx": camera.cx, "cy": camera.cy, "transform_matrix": pose.tolist()}


def _write_picture(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), pixels):
        raise UserError(f"{path} could not be written")
