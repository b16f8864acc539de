"""A small whole dataset of each format, 3 photos of 16 × 12 pixels: what the fuzzer damages of datasets."""

from __future__ import annotations

import importlib
import json
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from scene.camera_models import PARAMETERS
from scene.inputs.workspace import MADE_OF, fingerprint
from scene.io import write_gaussians
from scene.io.points import write_points
from scene.readers.base import OPENCV_FROM_OPENGL
from scene.sfm.run import SETTINGS
from scene.types import GaussianArrays, PointCloud
from tests.helpers.exr import write_exr
from tests.helpers.recordings import lzfse_stream
from tests.helpers.videos import write_video
from utils.files import write_json

WIDTH, HEIGHT, FRAMES, POINTS = 16, 12, 3, 40
MATRIX = [[14.0, 0.0, 7.5], [0.0, 14.0, 5.5], [0.0, 0.0, 1.0]]


def poses() -> list[np.ndarray]:
    """(4, 4) world_from_camera, OpenCV's axes, beside each other and turned a little."""
    result = []
    for k in range(FRAMES):
        pose = np.eye(4)
        pose[:3, :3] = Rotation.from_euler("y", 5 * (k - 1), degrees=True).as_matrix()
        pose[:3, 3] = 0.2 * (k - 1), 0.05 * k, 0
        result.append(pose)
    return result


def cloud() -> PointCloud:
    rng = np.random.default_rng(0)
    positions = np.concatenate([rng.uniform(-1, 1, (POINTS, 2)), rng.uniform(2, 4, (POINTS, 1))], axis=1)
    return PointCloud(positions.astype(np.float32), rng.uniform(size=(POINTS, 3)).astype(np.float32))


def picture(path: Path, channels: int = 3, dtype: type = np.uint8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    ramp = np.linspace(1500, 3500, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)
    if path.suffix == ".npy":
        np.save(path, ramp.astype(np.float32))
        return
    pixels = ramp.astype(dtype) if channels == 1 else np.stack([ramp / 16 + 9 * c for c in range(channels)], -1)
    assert cv2.imwrite(str(path), pixels.astype(dtype))


# ---- COLMAP


def colmap(folder: Path, *, binary: bool = False, suffix: str = "png", depth: str = "", masks: bool = False) -> None:
    model = folder / "sparse" / "0"
    model.mkdir(parents=True)
    names = [f"{k}.{suffix}" for k in range(FRAMES)]
    (_write_binary if binary else _write_text)(model, names, [np.linalg.inv(pose) for pose in poses()])
    for k, name in enumerate(names):
        picture(folder / "images" / name)
        if depth:
            picture(folder / "depth" / f"{k}.{depth}", 1, np.uint16)
        if masks:
            picture(folder / "masks" / f"{k}.png", 1)


def _write_text(model: Path, names: list[str], cameras: list[np.ndarray]) -> None:
    (model / "cameras.txt").write_text("# c\n1 PINHOLE 16 12 14 14 8 6\n2 OPENCV 16 12 14 14 8 6 0.01 0 0 0\n")
    seen, lines = " ".join(f"3.0 4.0 {n}" for n in range(1, 21)), ["# i"]
    for k, (name, pose) in enumerate(zip(names, cameras, strict=True), start=1):
        x, y, z, w = Rotation.from_matrix(pose[:3, :3]).as_quat()
        lines += [
            " ".join(map(repr, map(float, (w, x, y, z, *pose[:3, 3])))).join((f"{k} ", f" {1 + k // 3} {name}")),
            seen,
        ]
    (model / "images.txt").write_text("\n".join(lines) + "\n")
    rows = [f"{n} {x} {y} {z} 10 200 30 0.5 1 2 2 3" for n, (x, y, z) in enumerate(cloud().positions.tolist(), start=1)]
    (model / "points3D.txt").write_text("\n".join(rows) + "\n")


def lenses(folder: Path) -> None:
    """A camera of each model that has coefficients, each of one photo."""
    colmap(folder)
    known = {name: text.split() for name, text in PARAMETERS.items() if len(text.split()) > 4 or "f " in text}
    values = dict.fromkeys(("f", "fx", "fy"), 14.0) | {"cx": 8.0, "cy": 6.0, "omega": 0.5, "alpha": 0.5, "beta": 1.1}
    lines, entries = [], ["# i"]
    for number, (name, parameters) in enumerate(known.items(), start=1):
        row = " ".join(str(values.get(each, 0.01)) for each in parameters)
        lines.append(f"{number} {name} {WIDTH} {HEIGHT} {row}")
        entries += [f"{number} 1 0 0 0 {0.1 * number} 0 0 {number} {number}.png", ""]
        picture(folder / "images" / f"{number}.png")
    (folder / "sparse" / "0" / "cameras.txt").write_text("\n".join(lines) + "\n")
    (folder / "sparse" / "0" / "images.txt").write_text("\n".join(entries) + "\n")


def lists(folder: Path) -> None:
    """Photos that are held out by lists, and far views of a dataset of their own."""
    colmap(folder)
    (folder / "sparse" / "0" / "test.txt").write_text("1.png\n")
    (folder / "test_far.txt").write_text("2\n")
    nerfstudio(folder / "test_far")


def placed_photos(folder: Path) -> None:
    """Photos whose poses SfM has found before: data/ and workspace/."""
    colmap(folder / "workspace" / "sfm")
    (folder / "workspace" / "sfm" / "images").rename(folder / "data")
    names = sorted(path.name for path in (folder / "data").iterdir())
    photos = {name: fingerprint(folder / "data" / name) for name in names}
    write_json(folder / "workspace" / "sfm" / MADE_OF, {"photos": photos, "settings": SETTINGS, "is_sequence": False})
    found = {"registered": FRAMES, "error": 0.5, "points": POINTS, "others": []}
    write_json(folder / "workspace" / "sfm" / "sfm.json", found)


def _write_binary(model: Path, names: list[str], cameras: list[np.ndarray]) -> None:
    data = struct.pack("<QiiQQ4d", 2, 1, 1, WIDTH, HEIGHT, 14, 14, 8, 6)
    (model / "cameras.bin").write_bytes(data + struct.pack("<iiQQ8d", 2, 4, WIDTH, HEIGHT, 14, 14, 8, 6, 0.01, 0, 0, 0))
    data = struct.pack("<Q", FRAMES)
    for k, (name, pose) in enumerate(zip(names, cameras, strict=True), start=1):
        x, y, z, w = Rotation.from_matrix(pose[:3, :3]).as_quat()
        data += struct.pack("<i7di", k, w, x, y, z, *pose[:3, 3], 1 + k // 3) + name.encode() + b"\0"
        data += struct.pack("<Q", 20) + b"".join(struct.pack("<2dq", 3, 4, n) for n in range(1, 21))
    (model / "images.bin").write_bytes(data)
    data = struct.pack("<Q", POINTS)
    for n, position in enumerate(cloud().positions.tolist(), start=1):
        data += struct.pack("<Q3d3BdQ4i", n, *position, 10, 200, 30, 0.5, 2, 1, 2, 2, 3)
    (model / "points3D.bin").write_bytes(data)


# ---- transforms.json


def nerfstudio(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    lens = {"w": WIDTH, "h": HEIGHT, "fl_x": 14.0, "fl_y": 14.0, "cx": 8.0, "cy": 6.0, "k1": 0.01, "k2": 0.0}
    frames = [{**_frame(f"images/{k}.png", k), "depth_file_path": f"depth/{k}.png"} for k in range(FRAMES)]
    content = {**lens, "ply_file_path": "sparse.ply", "depth_unit_scale_factor": 0.001, "frames": frames}
    (folder / "transforms.json").write_text(json.dumps(content))
    write_points(folder / "sparse.ply", cloud())
    for k in range(FRAMES):
        picture(folder / "images" / f"{k}.png")
        picture(folder / "depth" / f"{k}.png", 1, np.uint16)


def blender(folder: Path) -> None:
    for part, numbers in (("train", (0, 1)), ("test", (2,))):
        frames = [_frame(f"./{part}/r_{k}", k) for k in numbers]
        (folder / f"transforms_{part}.json").write_text(json.dumps({"camera_angle_x": 0.9, "frames": frames}))
        for k in numbers:
            picture(folder / part / f"r_{k}.png", 4)


def _frame(path: str, number: int) -> dict[str, object]:
    return {"file_path": path, "transform_matrix": (poses()[number] @ OPENCV_FROM_OPENGL).tolist()}


# ---- recordings


def tum(folder: Path) -> None:
    for name, channels, dtype in (("rgb", 3, np.uint8), ("depth", 1, np.uint16)):
        (folder / f"{name}.txt").write_text("# h\n" + "".join(f"{k}.00 {name}/{k}.png\n" for k in range(FRAMES)))
        for k in range(FRAMES):
            picture(folder / name / f"{k}.png", channels, dtype)
    rows = [(k + 0.005, *pose[:3, 3], *Rotation.from_matrix(pose[:3, :3]).as_quat()) for k, pose in enumerate(poses())]
    (folder / "groundtruth.txt").write_text("# h\n" + "".join(" ".join(map(str, row)) + "\n" for row in rows))


def scannet(folder: Path) -> None:
    for name in ("pose", "intrinsic"):
        (folder / name).mkdir()
    for name in ("color", "depth"):
        matrix = np.eye(4)
        matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2] = 14, 14, 7.5, 5.5
        np.savetxt(folder / "intrinsic" / f"intrinsic_{name}.txt", matrix)
    for k, pose in enumerate(poses()):
        picture(folder / "color" / f"{k}.jpg")
        picture(folder / "depth" / f"{k}.png", 1, np.uint16)
        np.savetxt(folder / "pose" / f"{k}.txt", pose)


def seven_scenes(folder: Path) -> None:
    (folder / "TrainSplit.txt").write_text("sequence1\n")
    (folder / "TestSplit.txt").write_text("sequence2\n")
    for k, pose in enumerate(poses()):
        stem = folder / f"seq-0{1 + k // 2}" / f"frame-{k:06}"
        picture(Path(f"{stem}.color.png"))
        picture(Path(f"{stem}.depth.png"), 1, np.uint16)
        np.savetxt(f"{stem}.pose.txt", pose)


def replica(folder: Path) -> None:
    camera = {"w": WIDTH, "h": HEIGHT, "fx": 14.0, "fy": 14.0, "cx": 7.5, "cy": 5.5, "scale": 1000.0}
    (folder / "cam_params.json").write_text(json.dumps({"camera": camera}))
    np.savetxt(folder / "traj.txt", [pose.ravel() for pose in poses()], fmt="%.9g")
    for k in range(FRAMES):
        picture(folder / "results" / f"frame{k:06}.jpg")
        picture(folder / "results" / f"depth{k:06}.png", 1, np.uint16)


def redwood(folder: Path) -> None:
    lines = [[f"{k} {k} {k + 1}", *(" ".join(map(str, row)) for row in pose)] for k, pose in enumerate(poses())]
    (folder / "trajectory.log").write_text("\n".join("\n".join(part) for part in lines) + "\n")
    matrix = np.transpose(MATRIX).ravel().tolist()
    (folder / "camera.json").write_text(json.dumps({"width": WIDTH, "height": HEIGHT, "intrinsic_matrix": matrix}))
    for k in range(FRAMES):
        picture(folder / "color" / f"{k:05}.jpg")
        picture(folder / "depth" / f"{k:05}.png", 1, np.uint16)


def kitti(folder: Path) -> None:
    rows = " ".join(str(value) for value in np.hstack([MATRIX, [[1.0], [0.0], [0.0]]]).ravel())
    (folder / "calib.txt").write_text(f"P0: {rows}\nP2: {rows}\n")
    np.savetxt(folder / "poses.txt", [pose[:3].ravel() for pose in poses()])
    for k in range(FRAMES):
        picture(folder / "image_2" / f"{k:06}.png")
        picture(folder / "depth" / f"{k:06}.png", 1, np.uint16)


def opensfm(folder: Path) -> None:
    lens = {"projection_type": "perspective", "width": WIDTH, "height": HEIGHT, "focal": 0.9, "k1": 0.01, "k2": 0.0}
    shots = {}
    for k, pose in enumerate(poses()):
        inverse = np.linalg.inv(pose)
        turn = Rotation.from_matrix(inverse[:3, :3]).as_rotvec().tolist()
        shots[f"{k}.jpg"] = {"rotation": turn, "translation": inverse[:3, 3].tolist(), "camera": "a"}
        picture(folder / "images" / f"{k}.jpg")
    places = enumerate(cloud().positions.tolist())
    points = {str(k): {"coordinates": place, "color": [10.0, 200.0, 30.0]} for k, place in places}
    content = [{"cameras": {"a": lens}, "shots": shots, "points": points}]
    (folder / "reconstruction.json").write_text(json.dumps(content))


# ---- phones


def scanner_app(folder: Path) -> None:
    for k, pose in enumerate(poses()):
        values = {
            "cameraPoseARFrame": (pose @ OPENCV_FROM_OPENGL).ravel().tolist(),
            "intrinsics": np.ravel(MATRIX).tolist(),
        }
        (folder / f"frame_{k:05}.json").write_text(json.dumps(values))
        picture(folder / f"frame_{k:05}.jpg")
        picture(folder / f"depth_{k:05}.png", 1, np.uint16)
        sureness(folder / f"conf_{k:05}.png", 2)


def polycam(folder: Path) -> None:
    keyframes = folder / "keyframes"
    for name in ("corrected_cameras", "cameras"):
        (keyframes / name).mkdir(parents=True)
    lens = {"fx": 14.0, "fy": 14.0, "cx": 7.5, "cy": 5.5, "width": WIDTH, "height": HEIGHT, "blur_score": 90}
    for k, pose in enumerate(poses()):
        matrix = pose @ OPENCV_FROM_OPENGL
        elements = {f"t_{row}{column}": float(matrix[row, column]) for row in range(3) for column in range(4)}
        for name in ("cameras", "corrected_cameras")[: 1 + k % 2]:
            (keyframes / name / f"{k}.json").write_text(json.dumps({**lens, **elements}))
            picture(keyframes / name.replace("cameras", "images") / f"{k}.jpg")
        picture(keyframes / "depth" / f"{k}.png", 1, np.uint16)
        sureness(keyframes / "confidence" / f"{k}.png", 255)


def record3d(folder: Path, compression: int = 3) -> None:
    listed = []
    for k, pose in enumerate(poses()):
        turned = pose @ OPENCV_FROM_OPENGL
        listed.append([*Rotation.from_matrix(turned[:3, :3]).as_quat().tolist(), *turned[:3, 3].tolist()])
        picture(folder / "rgb" / f"{k}.jpg")
        depth = np.linspace(1.5, 3.5, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).round(1).astype(np.float16)
        write_exr(folder / "depth" / f"{k}.exr", {"R": depth}, compression)
    content = {"w": WIDTH, "h": HEIGHT, "K": np.transpose(MATRIX).ravel().tolist(), "poses": listed}
    (folder / "metadata.json").write_text(json.dumps(content))


def r3d(folder: Path) -> None:
    record3d(folder)
    (folder / "metadata.json").rename(folder / "metadata")
    (folder / "rgb").rename(folder / "rgbd")
    shutil.rmtree(folder / "depth")
    for k in range(FRAMES):
        depth = np.linspace(1.5, 3.5, HEIGHT * WIDTH).round(1).astype("<f4")
        (folder / "rgbd" / f"{k}.depth").write_bytes(lzfse_stream(depth.tobytes()))
        (folder / "rgbd" / f"{k}.conf").write_bytes(lzfse_stream(bytes([2]) * (HEIGHT * WIDTH)))


def stray(folder: Path) -> None:
    rng = np.random.default_rng(0)
    write_video(folder / "rgb.mp4", [rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8) for _ in range(FRAMES)])
    rows = ["timestamp, frame, x, y, z, qx, qy, qz, qw"]
    for k, pose in enumerate(poses()):
        values = (k / 60, k, *pose[:3, 3], *Rotation.from_matrix(pose[:3, :3]).as_quat())
        rows.append(", ".join(map(str, values)))
        picture(folder / "depth" / f"{k:06}.png", 1, np.uint16)
        sureness(folder / "confidence" / f"{k:06}.png", 2)
    (folder / "odometry.csv").write_text("\n".join(rows) + "\n")
    (folder / "camera_matrix.csv").write_text("\n".join(", ".join(map(str, row)) for row in MATRIX) + "\n")


def sureness(path: Path, level: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((HEIGHT, WIDTH), level, np.uint8))


def by_pillow(suffix: str) -> Callable[[Path], None]:
    """Photos in a format that cv2 does not write."""

    def write(folder: Path) -> None:
        colmap(folder)
        if suffix == ".heic":
            importlib.import_module("pillow_heif").register_heif_opener()
        for path in (folder / "images").iterdir():
            Image.open(path).save(path.with_suffix(suffix))
            path.unlink()

    return write


def deep_photos(folder: Path) -> None:
    """Photos of 16 bits and with transparency."""
    colmap(folder)
    for k, path in enumerate(sorted((folder / "images").iterdir())):
        picture(path, 3 + k % 2, np.uint16)


# ---- files by themselves


def ply_points(folder: Path) -> None:
    write_points(folder / "a.ply", cloud())


def zipped(folder: Path) -> None:
    colmap(folder / "scene", binary=True)
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((folder / "scene").rglob("*.*")):
            archive.write(path, path.relative_to(folder))
    shutil.rmtree(folder / "scene")


def ply_gaussians(folder: Path) -> None:
    rng = np.random.default_rng(0)
    shapes = {"means": (5, 3), "scales": (5, 3), "quats": (5, 4), "opacities": (5, 1), "shs": (5, 4, 3)}
    arrays = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    write_gaussians(folder / "a.ply", GaussianArrays(**arrays))
