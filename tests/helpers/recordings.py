"""The sphere of tests.rgbd as public RGB-D datasets lay out their recordings, a writer for each format.

Each writer makes a whole dataset in a folder and returns its true cameras, by the names that the reader gives them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from scene.camera_models import distort, named, rescaled
from scene.readers import seven_scenes, tum
from scene.readers.base import HALF_PIXEL
from scene.types import Camera, CameraModel
from tests.helpers import rgbd, scenes


def cameras_of(lens: CameraModel, names: Sequence[str], width: int = 80, height: int = 60) -> list[Camera]:
    """Cameras around the origin as in tests.rgbd, with another lens and other names."""
    k = named(rescaled(lens, width, height))
    around = rgbd.make_cameras(len(names))
    sized = dict(width=width, height=height, fx=k["fx"], fy=k["fy"], cx=k["cx"], cy=k["cy"])
    return [replace(camera, name=name, **sized) for camera, name in zip(around, names, strict=True)]


def world_from(camera: Camera) -> np.ndarray:
    return np.linalg.inv(camera.camera_from_world)


def write_matrix(path: Path, matrix: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(path, matrix)


def write_photos(folder: Path, cameras: Sequence[Camera]) -> None:
    for camera in cameras:
        scenes.write_photo(folder / camera.name, camera.width, camera.height)


def write_seven_scenes(folder: Path, count: int = 4, sequence: str = "seq-01") -> list[Camera]:
    """`sequence` "" puts the frames into the folder itself."""
    stems = [str(Path(sequence) / f"frame-{number:06}") for number in range(count)]
    cameras = cameras_of(seven_scenes.PHOTO_LENS, [f"{stem}.color.png" for stem in stems])
    write_photos(folder, cameras)
    beside = np.linalg.inv(seven_scenes.PHOTO_FROM_DEPTH)
    for stem, camera in zip(stems, cameras, strict=True):
        (seen,) = cameras_of(seven_scenes.DEPTH_CAMERA.lens, [stem])
        seen = replace(seen, camera_from_world=beside @ camera.camera_from_world)
        rgbd.write_map(folder / f"{stem}.depth.png", 1000 * rgbd.sphere_depth(seen))
        write_matrix(folder / f"{stem}.pose.txt", world_from(seen))
    return cameras


def write_scannet(folder: Path, count: int = 4, beside: np.ndarray | None = None) -> list[Camera]:
    """Photos of 162 × 121 pixels and depth of 80 × 60, whose principal points differ; `beside` is photo_from_depth."""
    photo_lens = CameraModel("PINHOLE", 162, 121, (146.0, 147.0, 80.0, 62.0))
    depth_lens = CameraModel("PINHOLE", 80, 60, (71.0, 73.0, 43.5, 26.5))
    cameras = cameras_of(photo_lens, [f"color/{5 * number}.jpg" for number in range(count)], 162, 121)
    write_photos(folder, cameras)
    for camera in cameras:
        stem = Path(camera.name).stem
        write_matrix(folder / "pose" / f"{stem}.txt", world_from(camera))
        (seen,) = cameras_of(depth_lens, ["depth"])
        pose = camera.camera_from_world if beside is None else np.linalg.inv(beside) @ camera.camera_from_world
        rgbd.write_map(
            folder / "depth" / f"{stem}.png", 1000 * rgbd.sphere_depth(replace(seen, camera_from_world=pose))
        )
    for name, (fx, fy, cx, cy) in (("color", photo_lens.params), ("depth", depth_lens.params)):
        matrix = np.eye(4)
        matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2] = fx, fy, cx - HALF_PIXEL, cy - HALF_PIXEL
        write_matrix(folder / "intrinsic" / f"intrinsic_{name}.txt", matrix)
    if beside is not None:
        write_matrix(folder / "intrinsic" / "extrinsic_depth.txt", beside)
    return cameras


def write_tum(folder: Path, count: int = 4, lens: CameraModel = tum.DEFAULT) -> list[Camera]:
    """Depth is a moment later than color, poses come ten times as often."""
    times = [1305031102.175304 + 0.033 * number for number in range(count)]
    cameras = cameras_of(lens, [f"rgb/{time:.6f}.png" for time in times])
    write_photos(folder, cameras)
    poses = ["# ground truth trajectory"]
    for time, camera in zip(times, cameras, strict=True):
        rgbd.write_map(folder / "depth" / f"{time + 0.004:.6f}.png", 5000 * distorted_depth(lens, camera))
        turn = Rotation.from_matrix(world_from(camera)[:3, :3]).as_quat()
        for late in (-0.0095, 0.0005, 0.0105):  # the nearest is right, the others are elsewhere
            place = world_from(camera)[:3, 3] + (0 if late == 0.0005 else 5)
            poses.append(" ".join(f"{value:.7f}" for value in (time + late, *place, *turn)))
    for name, late in (("rgb", 0.0), ("depth", 0.004)):
        lines = [f"{time + late:.6f} {name}/{time + late:.6f}.png" for time in times]
        (folder / f"{name}.txt").write_text("\n".join(["# timestamp filename", *lines, ""]))
    (folder / "groundtruth.txt").write_text("\n".join(poses) + "\n")
    return cameras


def distorted_depth(lens: CameraModel, camera: Camera) -> np.ndarray:
    """(H, W) true z at the pixels of the file, whose lens bends rays."""
    lens = rescaled(lens, camera.width, camera.height)
    pixels = np.stack(np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5), axis=-1)
    focal, slopes = np.array([camera.fx, camera.fy]), np.zeros((camera.height, camera.width, 2))
    for _ in range(50):
        slopes += (pixels - distort(lens, slopes)) / focal
    return rgbd.depth_along(slopes, camera)


def write_replica(folder: Path, count: int = 4, with_camera: bool = True) -> list[Camera]:
    """Without cam_params.json, photos are a tenth of the usual size."""
    stated = {"w": 80, "h": 60, "fx": 70.0, "fy": 72.0, "cx": 38.5, "cy": 30.5, "scale": 6553.5}
    lens, size = CameraModel("PINHOLE", 80, 60, (70.0, 72.0, 39.0, 31.0)), (80, 60)
    if not with_camera:
        lens, size = CameraModel("PINHOLE", 1200, 680, (600.0, 600.0, 600.0, 340.0)), (120, 68)
    cameras = cameras_of(lens, [f"results/frame{number:06}.jpg" for number in range(count)], *size)
    write_photos(folder, cameras)
    for number, camera in enumerate(cameras):
        rgbd.write_map(folder / "results" / f"depth{number:06}.png", 6553.5 * rgbd.sphere_depth(camera))
    np.savetxt(folder / "traj.txt", [world_from(camera).ravel() for camera in cameras])
    if with_camera:
        (folder / "cam_params.json").write_text(json.dumps({"camera": stated}))
    return cameras
