"""Photos of a spotted ball before one color, as Blender writes a scene."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from scene.types import Camera
from tests.helpers import scenes
from tests.helpers.recordings import opengl_pose

SIZE, FOCAL, RADIUS = 48, 70.0, 0.7
FINE = 8  # samples along each side of a pixel
Color = tuple[float, float, float]


def make_cameras(count: int) -> list[Camera]:
    """Around the ball, each aimed a little beside its middle, so that its outline moves in the photos."""
    found = []
    for index in range(count):
        pose = scenes.looking_at_origin(2 * np.pi * index / count)
        pose[0, 3] += 0.25 * np.sin(3.0 * index)
        found.append(Camera(f"{index:03d}.png", SIZE, SIZE, FOCAL, FOCAL, SIZE / 2, SIZE / 2, pose))
    return found


def ball(camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """(H, W, 3) the straight colors of the ball, and (H, W) its alpha, both from many rays for each pixel."""
    row, column = (np.mgrid[: SIZE * FINE, : SIZE * FINE] + 0.5) / FINE
    ways = np.stack([(column - camera.cx) / camera.fx, (row - camera.cy) / camera.fy, np.ones_like(row)], axis=-1)
    ways = ways @ camera.camera_from_world[:3, :3]
    ways /= np.linalg.norm(ways, axis=-1, keepdims=True)
    along = -(ways @ camera.center)
    inside = along**2 - (camera.center @ camera.center - RADIUS**2)
    at = camera.center + (along - np.sqrt(np.maximum(inside, 0)))[..., None] * ways
    color = 0.45 + 0.2 * np.sin(9 * at)
    alpha = (inside > 0).astype(float)
    parts = [np.dstack([color * alpha[..., None], alpha])]
    premultiplied = cv2.resize(parts[0], (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    straight = premultiplied[..., :3] / np.maximum(premultiplied[..., 3:], 1e-9)
    return straight, premultiplied[..., 3]


def photo(camera: Camera, background: Color) -> np.ndarray:
    """(H, W, 3) uint8."""
    color, alpha = ball(camera)
    shown = color * alpha[..., None] + np.array(background) * (1 - alpha[..., None])
    return np.round(255 * shown).astype(np.uint8)


def write_scene(folder: Path, background: Color, count: int = 8, suffix: str = ".png", test: int = 1) -> list[Camera]:
    """The last `test` photos are held out."""
    cameras = [replace(each, name=each.name.replace(".png", suffix)) for each in make_cameras(count)]
    (folder / "images").mkdir(parents=True)
    for camera in cameras:
        pixels = cv2.cvtColor(photo(camera, background), cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(folder / "images" / camera.name), pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])
    for name, part in (("train", cameras[: count - test]), ("test", cameras[count - test :])):
        write_transforms(folder / f"transforms_{name}.json", part)
    return cameras


def write_transforms(path: Path, cameras: Sequence[Camera]) -> None:
    """The cameras as Blender's NeRF scenes have them."""
    frames = [
        {"file_path": f"./images/{each.name}", "transform_matrix": opengl_pose(each).tolist()} for each in cameras
    ]
    path.write_text(json.dumps({"camera_angle_x": 2 * np.arctan(SIZE / 2 / FOCAL), "frames": frames}))
