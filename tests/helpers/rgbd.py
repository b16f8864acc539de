"""A small RGB-D scene whose depth is known: cameras inside a large sphere with points on it."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from scene.loading.image_cache import ViewCache
from scene.readers import colmap
from scene.readers.base import OPENCV_FROM_OPENGL
from scene.types import Camera, PointCloud, Scene, View
from tests.helpers import scenes

RADIUS = 6.0


def make_cameras(count: int) -> list[Camera]:
    """Those of tests.scenes, with twice as many pixels each way: 80 × 60."""
    return [
        Camera(c.name, 2 * c.width, 2 * c.height, 2 * c.fx, 2 * c.fy, 2 * c.cx, 2 * c.cy, c.camera_from_world)
        for c in scenes.cameras(count)
    ]


def sphere_depth(camera: Camera) -> np.ndarray:
    """(H, W) z at which the ray through each pixel's center meets the sphere around the origin: 3 to 9."""
    column, row = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    return depth_along(np.stack([(column - camera.cx) / camera.fx, (row - camera.cy) / camera.fy], axis=-1), camera)


def depth_along(slopes: np.ndarray, camera: Camera, radius: float = RADIUS) -> np.ndarray:
    """(...) z at which rays of slopes x/z, y/z (..., 2) from a camera meet the sphere around the origin."""
    ray = np.concatenate([slopes, np.ones((*slopes.shape[:-1], 1))], axis=-1) @ camera.camera_from_world[:3, :3]
    along, square = ray @ camera.center, (ray * ray).sum(-1)
    return (np.sqrt(along**2 + square * (radius**2 - camera.center @ camera.center)) - along) / square


def sphere_points(count: int = 3000) -> PointCloud:
    rng = np.random.default_rng(5)
    directions = rng.normal(size=(count, 3))
    positions = RADIUS * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    return PointCloud(positions.astype(np.float32), rng.uniform(size=(count, 3)).astype(np.float32))


def scaled(cameras: list[Camera], factor: float) -> list[Camera]:
    """The same cameras in another unit of length."""
    poses = [camera.camera_from_world.copy() for camera in cameras]
    for pose in poses:
        pose[:3, 3] *= factor
    return [
        Camera(c.name, c.width, c.height, c.fx, c.fy, c.cx, c.cy, pose) for c, pose in zip(cameras, poses, strict=True)
    ]


def write_scene(folder: Path, count: int = 4, *, world: float = 1.0, points: PointCloud | None = None) -> list[Camera]:
    """A COLMAP scene without depth, `world` units to a metre; returns the cameras in metres."""
    cameras, cloud = make_cameras(count), sphere_points() if points is None else points
    cloud = PointCloud(cloud.positions * np.float32(world), cloud.colors)
    colmap.write_model(folder / "sparse" / "0", scaled(cameras, world), cloud)
    for camera in cameras:
        scenes.write_photo(folder / "images" / camera.name, camera.width, camera.height)
    return cameras


def write_transforms(folder: Path, cameras: list[Camera], **fields: object) -> None:
    """A transforms.json that lists depth/<photo>, beside what `fields` adds; the photos are there already."""
    frames = []
    for camera in cameras:
        pose = np.linalg.inv(OPENCV_FROM_OPENGL @ camera.camera_from_world).tolist()
        frame = {"file_path": f"images/{camera.name}", "depth_file_path": f"depth/{camera.name}"}
        frames.append({**frame, "transform_matrix": pose})
    c = cameras[0]
    lens = {"fl_x": c.fx, "fl_y": c.fy, "cx": c.cx, "cy": c.cy, "w": c.width, "h": c.height}
    (folder / "transforms.json").write_text(json.dumps({**lens, **fields, "frames": frames}))


def write_map(path: Path, numbers: np.ndarray) -> None:
    """PNG or npy, after the suffix; PNG numbers are rounded, to 16 bits unless they are uint8."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, numbers)
    else:
        whole = numbers if numbers.dtype == np.uint8 else np.round(numbers).astype(np.uint16)
        assert cv2.imwrite(str(path), whole)


def write_depth(folder: Path, cameras: list[Camera], per_metre: float = 1000, name: str = "depth") -> None:
    """The exact depth of every camera as 16-bit PNG."""
    for camera in cameras:
        write_map(folder / name / camera.name, per_metre * sphere_depth(camera))


def depth_of(view: View) -> tuple[np.ndarray, np.ndarray]:
    """Depth and validity, as a training step sees them."""
    photo = ViewCache([view])[0]
    assert photo.depth is not None and photo.depth_valid is not None
    return photo.depth[0].numpy(), photo.depth_valid[0].numpy()


def scales(scene: Scene) -> dict[str, float]:
    return {view.camera.name: view.depth.scale for view in scene.train if view.depth is not None}
