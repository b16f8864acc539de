"""The sphere of tests.rgbd as public RGB-D datasets lay out their recordings, a writer for each format.

Each writer makes a whole dataset in a folder and returns its true cameras, by the names that the reader gives them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from scene.camera_models import distort, named, rescaled
from scene.readers import seven_scenes, tum
from scene.readers.base import HALF_PIXEL, OPENCV_FROM_OPENGL
from scene.types import Camera, CameraModel, PointCloud
from tests.helpers import rgbd, scenes
from tests.helpers.exr import write_exr


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


# ---- phones, and their apps: world_from_camera in OpenGL's axes


def opengl_pose(camera: Camera) -> np.ndarray:
    return world_from(camera) @ OPENCV_FROM_OPENGL


def xyzw(pose: np.ndarray) -> list[float]:
    return Rotation.from_matrix(pose[:3, :3]).as_quat().tolist()


PHONE = CameraModel("PINHOLE", 80, 60, (70.0, 72.0, 39.0, 31.0))
PHONE_MATRIX = [[70.0, 0.0, 38.5], [0.0, 72.0, 30.5], [0.0, 0.0, 1.0]]  # OpenCV's pixels


def write_sensor(depth: Path, confidence: Path, camera: Camera, levels: tuple[int, int]) -> None:
    """A true map in mm, but for a corner that is a metre off, of which the sensor is less sure: the first level."""
    numbers, sure = 1000 * rgbd.sphere_depth(camera), np.full((camera.height, camera.width), levels[1], np.uint8)
    numbers[:15, :20] += 1000
    sure[:15, :20] = levels[0]
    rgbd.write_map(depth, numbers)
    rgbd.write_map(confidence, sure)


def write_scanner_app(folder: Path, count: int = 4) -> list[Camera]:
    """With a pose more than there are photos."""
    cameras = cameras_of(PHONE, [f"frame_{number:05}.jpg" for number in range(count + 1)])
    write_photos(folder, cameras[:count])
    for number, camera in enumerate(cameras):
        entry = {
            "cameraPoseARFrame": opengl_pose(camera).ravel().tolist(),
            "intrinsics": np.ravel(PHONE_MATRIX).tolist(),
        }
        (folder / f"frame_{number:05}.json").write_text(json.dumps({**entry, "frame_index": number}))
        write_sensor(folder / f"depth_{number:05}.png", folder / f"conf_{number:05}.png", camera, (1, 2))
    return cameras[:count]


def write_polycam(folder: Path, count: int = 4, corrected: bool = True) -> list[Camera]:
    """Of corrected frames, the photos of tracking and their poses are there too, which are elsewhere."""
    images, cameras_folder = ("corrected_images", "corrected_cameras") if corrected else ("images", "cameras")
    names = [str(163_000_000 + number) for number in range(count)]
    cameras = cameras_of(PHONE, [f"keyframes/{images}/{name}.jpg" for name in names])
    write_photos(folder, cameras)
    for name, camera in zip(names, cameras, strict=True):
        pose = opengl_pose(camera)
        lens = {"fx": 70.0, "fy": 72.0, "cx": 38.5, "cy": 30.5, "width": 80, "height": 60, "blur_score": 90.0}
        for place, by in (("cameras", 5.0), (cameras_folder, 0.0)):
            elements = {f"t_{row}{col}": pose[row, col] + by * (col == 3) for row in range(3) for col in range(4)}
            path = folder / "keyframes" / place / f"{name}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({**lens, **elements}))
        scenes.write_photo(folder / "keyframes" / "images" / f"{name}.jpg", 80, 60)
        keyframes = folder / "keyframes"
        write_sensor(keyframes / "depth" / f"{name}.png", keyframes / "confidence" / f"{name}.png", camera, (127, 255))
    return cameras


def write_record3d(folder: Path, count: int = 4, inside: str = "EXR_RGBD") -> list[Camera]:
    """Depth is of half floats; `inside` "" puts the files into the folder itself."""
    place = folder / inside
    cameras = cameras_of(PHONE, [(Path(inside) / "rgb" / f"{number}.jpg").as_posix() for number in range(count)])
    write_photos(folder, cameras)
    poses = []
    for number, camera in enumerate(cameras):
        write_exr(place / "depth" / f"{number}.exr", {"R": rgbd.sphere_depth(camera).astype(np.float16)})
        pose = opengl_pose(camera)
        poses.append([*xyzw(pose), *pose[:3, 3].tolist()])
    content = {"w": 80, "h": 60, "K": np.transpose(PHONE_MATRIX).ravel().tolist(), "poses": poses, "fps": 60}
    (place / "metadata.json").write_text(json.dumps(content))
    return cameras


def write_r3d(folder: Path, count: int = 4) -> list[Camera]:
    """An .r3d file's contents; maps are coarser than the photos, and all depth is sure but for a corner."""
    cameras = cameras_of(PHONE, [f"rgbd/{number}.jpg" for number in range(count)])
    write_photos(folder, cameras)
    poses = []
    for number, camera in enumerate(cameras):
        coarse = replace(
            camera, width=40, height=30, fx=camera.fx / 2, fy=camera.fy / 2, cx=camera.cx / 2, cy=camera.cy / 2
        )
        depth = rgbd.sphere_depth(coarse).astype("<f4")
        sure = np.full(depth.shape, 2, np.uint8)
        depth[:3, :3], sure[:3, :3] = 9.0, 1
        for name, numbers in ((f"{number}.depth", depth), (f"{number}.conf", sure)):
            (folder / "rgbd" / name).write_bytes(lzfse_stream(numbers.tobytes()))
        pose = opengl_pose(camera)
        poses.append([*xyzw(pose), *pose[:3, 3].tolist()])
    content = {"w": 80, "h": 60, "dw": 40, "dh": 30, "K": np.transpose(PHONE_MATRIX).ravel().tolist(), "poses": poses}
    (folder / "metadata").write_text(json.dumps(content))
    return cameras


def lzfse_stream(data: bytes) -> bytes:
    """LZFSE without compression, two blocks and the end."""
    blocks = (data[:100], data[100:])
    return b"".join(b"bvx-" + len(block).to_bytes(4, "little") + block for block in blocks) + b"bvx$"


def write_redwood(folder: Path, count: int = 4, with_camera: bool = True, first: int = 1) -> list[Camera]:
    """Names begin with the number of the frame, counted from `first`, and go on with times that differ."""
    lens, size = (
        (PHONE, (80, 60)) if with_camera else (CameraModel("PINHOLE", 640, 480, (525, 525, 320, 240)), (64, 48))
    )
    names = [f"color/{number + first:06}-{33300 * number:012}.jpg" for number in range(count)]
    cameras = cameras_of(lens, names, *size)
    write_photos(folder, cameras)
    lines = []
    for number, camera in enumerate(cameras):
        depth = folder / "depth" / f"{number + first:06}-{33400 * number:012}.png"
        rgbd.write_map(depth, 1000 * rgbd.sphere_depth(camera))
        rows = ["\t".join(f"{value:.9g}" for value in row) for row in world_from(camera)]
        lines += [f"{number}\t{number}\t{number + 1}", *rows]
    (folder / "trajectory.log").write_text("\n".join(lines) + "\n")
    if with_camera:
        matrix = np.transpose(PHONE_MATRIX).ravel().tolist()
        (folder / "camera.json").write_text(json.dumps({"width": 80, "height": 60, "intrinsic_matrix": matrix}))
    return cameras


def write_kitti(folder: Path, count: int = 4) -> list[Camera]:
    """The color camera is beside camera 0, whose poses are written."""
    cameras = cameras_of(PHONE, [f"image_2/{number:06}.png" for number in range(count)])
    write_photos(folder, cameras)
    beside = np.eye(4)
    beside[:3, 3] = 0.06, 0.001, -0.002
    projection = np.array(PHONE_MATRIX) @ beside[:3]
    rows = {"P0": np.hstack([PHONE_MATRIX, np.zeros((3, 1))]), "P2": projection}
    lines = [f"{name}: {' '.join(map(repr, map(float, row.ravel())))}" for name, row in rows.items()]
    (folder / "calib.txt").write_text("\n".join(lines) + "\n")
    poses = [(world_from(camera) @ beside)[:3].ravel() for camera in cameras]
    np.savetxt(folder / "poses.txt", poses, fmt="%.9g")
    for number, camera in enumerate(cameras):
        rgbd.write_map(folder / "depth" / f"{number:010}.png", 256 * rgbd.sphere_depth(camera))
    return cameras


def opensfm_file(cameras: Sequence[Camera], lens: Mapping[str, object], points: PointCloud) -> dict[str, object]:
    """A reconstruction of cameras that all have this lens, in OpenSfM's units."""
    shots = {}
    for camera in cameras:
        pose = camera.camera_from_world
        turn = Rotation.from_matrix(pose[:3, :3]).as_rotvec().tolist()
        shots[camera.name] = {"rotation": turn, "translation": pose[:3, 3].tolist(), "camera": "v2 phone"}
    cloud = zip(points.positions.tolist(), (255 * points.colors).tolist(), strict=True)
    listed = {str(number): {"coordinates": place, "color": color} for number, (place, color) in enumerate(cloud)}
    return {"cameras": {"v2 phone": dict(lens)}, "shots": shots, "points": listed}


def write_opensfm(folder: Path, count: int = 4, place: str = "") -> list[Camera]:
    """A brown camera of 80 × 60 pixels without distortion; a second reconstruction has a photo less."""
    cameras = cameras_of(PHONE, [f"{number}.jpg" for number in range(count)])
    write_photos(folder / place / "images", cameras)
    lens = {"projection_type": "brown", "width": 80, "height": 60, "focal_x": 70 / 80, "focal_y": 72 / 80}
    lens |= {"c_x": (39 - 40) / 80, "c_y": (31 - 30) / 80, "k1": 0.0}
    found = [opensfm_file(part, lens, rgbd.sphere_points(200)) for part in (cameras[1:], cameras)]
    (folder / place / "reconstruction.json").write_text(json.dumps(found))
    return cameras
