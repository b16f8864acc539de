"""COLMAP models: cameras, images and points3D, binary or text, as COLMAP's documentation lays them out."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from scipy.spatial.transform import Rotation

from scene import camera_models
from scene.io.points import read_points
from scene.readers.base import ParsedDataset, PosedImage, ReadOptions
from scene.types import Camera, CameraModel, PointCloud
from utils.errors import UserError
from utils.files import atomic_write

Entry = TypeVar("Entry")

LAYOUT = "sparse/0 with cameras, images and points3D (COLMAP)"
MASK_SUFFIXES = (".png", ".PNG", ".jpg", ".JPG", ".jpeg")

MODELS = (  # by COLMAP's number
    "SIMPLE_PINHOLE PINHOLE SIMPLE_RADIAL RADIAL OPENCV OPENCV_FISHEYE FULL_OPENCV FOV SIMPLE_RADIAL_FISHEYE "
    "RADIAL_FISHEYE THIN_PRISM_FISHEYE"
).split()


@dataclass(frozen=True)
class ModelImage:
    """An image as COLMAP knows it."""

    name: str  # path relative to the image folder
    lens: CameraModel
    camera_from_world: np.ndarray  # (4, 4) float64
    observed: np.ndarray  # (K,) int64, which of the model's points were found in it: none where tracks are not kept


class PointTable(NamedTuple):
    """Points as a file lists them."""

    ids: np.ndarray  # (P,) int64
    positions: np.ndarray  # (P, 3) float64
    colors: np.ndarray  # (P, 3) 0 to 255


@dataclass(frozen=True)
class Model:
    images: tuple[ModelImage, ...]  # sorted by name
    points: PointCloud


def can_read(source: Path) -> bool:
    return bool(find_models(source))


def read(source: Path, options: ReadOptions) -> ParsedDataset:
    """Read the model that has most of the photos; the first of equals. Raises: UserError, naming the file."""
    image_folder = source / options.images
    if not image_folder.is_dir():
        raise UserError(f"the image folder {image_folder} is not there; -i names another")
    models = {folder: read_model(folder) for folder in find_models(source)}
    here = {
        folder: [image for image in model.images if (image_folder / image.name).is_file()]
        for folder, model in models.items()
    }
    folder = max(models, key=lambda each: len(here[each]))
    model, names = models[folder], {image.name for image in here[folder]}
    others = [f"{each.relative_to(source)} with {len(here[each])} photos" for each in models if each != folder]
    used = f"{folder.relative_to(source)} is used, and not {', '.join(others)}"
    tracked = any(len(image.observed) for image in model.images)
    return ParsedDataset(
        kind="COLMAP",
        frames=tuple(
            PosedImage(
                each.name, image_folder / each.name, each.lens, each.camera_from_world, _mask(image_folder, each.name)
            )
            for each in here[folder]
        ),
        missing=tuple(image.name for image in model.images if image.name not in names),
        points=model.points,
        tracks={image.name: image.observed for image in model.images} if tracked else {},
        notes=(used,) if others else (),
    )


def _mask(image_folder: Path, name: str) -> Path | None:
    """A photo's mask in `masks`, beside the image folder: `<name>.png`, or its name with another suffix."""
    masks = image_folder.parent / "masks"
    candidates = (
        path for suffix in MASK_SUFFIXES for path in (masks / f"{name}{suffix}", (masks / name).with_suffix(suffix))
    )
    return next((path for path in candidates if path.is_file()), None)


def find_models(source: Path) -> list[Path]:
    """The folders of the models in a dataset: `sparse/0`, `sparse/1`, ..., and `sparse`."""
    numbered = sorted(
        (path for path in source.glob("sparse/*") if path.name.isdigit()), key=lambda path: int(path.name)
    )
    folders = (*numbered, source / "sparse")
    return [folder for folder in folders if any(folder.glob("cameras.*")) and any(folder.glob("images.*"))]


def read_model(folder: Path) -> Model:
    """Read a model. Raises: UserError, naming the file, for one that is missing, cut short or not understood."""
    cameras = dict(_read(folder, "cameras", _binary_cameras, _text_cameras))
    points = _read_points(folder)
    images = []
    for name, camera_id, pose, ids in _read(folder, "images", _binary_images, _text_images):
        if camera_id not in cameras:
            raise UserError(
                f"{folder}: the image {name!r} has camera {camera_id}, which the cameras file does not list"
            )
        images.append(ModelImage(name, cameras[camera_id], pose, np.flatnonzero(np.isin(points.ids, ids))))
    if not images:
        raise UserError(f"{folder}: the model has no images")
    cloud = PointCloud(points.positions.astype(np.float32), points.colors.astype(np.float32) / 255)
    return Model(tuple(sorted(images, key=lambda image: image.name)), cloud)


def _read(
    folder: Path, stem: str, binary: Callable[[Path], Iterator[Entry]], text: Callable[[Path], Iterator[Entry]]
) -> list[Entry]:
    """The entries of `stem`.bin, or of `stem`.txt."""
    path, read = folder / f"{stem}.bin", binary
    if not path.exists():
        path, read = folder / f"{stem}.txt", text
    if not path.exists():
        raise UserError(f"{folder} has neither {stem}.bin nor {stem}.txt")
    try:
        return list(read(path))
    except (struct.error, IndexError, UnicodeDecodeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path} is damaged or cut short: {error}") from None


def _pose(quat_wxyz: Sequence[float], translation: Sequence[float]) -> np.ndarray:
    w, x, y, z = quat_wxyz
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_quat([x, y, z, w]).as_matrix()
    pose[:3, 3] = translation
    return pose


# ---- binary


def _binary_cameras(path: Path) -> Iterator[tuple[int, CameraModel]]:
    data = path.read_bytes()
    (count,), offset = struct.unpack_from("<Q", data), 8
    for _ in range(count):
        camera_id, number, width, height = struct.unpack_from("<iiQQ", data, offset)
        if not 0 <= number < len(MODELS):
            raise UserError(f"{path}: camera model number {number} is not one of 0 to {len(MODELS) - 1}")
        size = camera_models.parameter_count(MODELS[number])
        params = struct.unpack_from(f"<{size}d", data, offset + 24)
        offset += 24 + 8 * size
        yield camera_id, camera_models.checked(MODELS[number], width, height, params, str(path))


def _binary_images(path: Path) -> Iterator[tuple[str, int, np.ndarray, np.ndarray]]:
    data = path.read_bytes()
    observation = np.dtype([("pixel", "<f8", 2), ("point", "<i8")])
    (count,), offset = struct.unpack_from("<Q", data), 8
    for _ in range(count):
        values = struct.unpack_from("<i7di", data, offset)
        end = data.index(b"\0", offset + 64)
        name = data[offset + 64 : end].decode()
        (observations,) = struct.unpack_from("<Q", data, end + 1)
        offset = end + 9 + observation.itemsize * observations
        if offset > len(data):
            raise UserError(f"{path} is cut short: {len(data)} bytes of {offset} or more")
        found = np.frombuffer(data, observation, observations, end + 9)
        yield name, values[8], _pose(values[1:5], values[5:8]), found["point"]


def _binary_points(path: Path) -> PointTable:
    """Points are followed by tracks of any length: a loop finds only where points begin, numpy does the rest."""
    data = path.read_bytes()
    (count,) = struct.unpack_from("<Q", data)
    starts, offset = np.empty(count, dtype=np.int64), 8
    length = struct.Struct("<Q")
    for index in range(count):
        starts[index] = offset
        offset += 51 + 8 * length.unpack_from(data, offset + 43)[0]
    if offset > len(data):
        raise UserError(f"{path} is cut short: {len(data)} bytes of {offset}")
    layout = np.dtype([("id", "<i8"), ("position", "<f8", 3), ("color", "u1", 3)])
    bytes_of = np.frombuffer(data, dtype=np.uint8)[starts[:, None] + np.arange(layout.itemsize)]
    points = np.ascontiguousarray(bytes_of).view(layout)[:, 0] if count else np.empty(0, layout)
    return PointTable(points["id"], points["position"], points["color"])


# ---- text


def _lines(path: Path) -> Iterator[str]:
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            yield line.strip()


def _text_cameras(path: Path) -> Iterator[tuple[int, CameraModel]]:
    for line in filter(None, _lines(path)):
        camera_id, model, width, height, *params = line.split()
        yield (
            int(camera_id),
            camera_models.checked(model, int(width), int(height), tuple(map(float, params)), str(path)),
        )


def _text_images(path: Path) -> Iterator[tuple[str, int, np.ndarray, np.ndarray]]:
    """Two lines an image, of which the second, its observations, may be empty. As COLMAP does, this steps over empty
    lines before the first of the two, and takes whatever comes next as the second."""
    lines = _lines(path)
    for line in lines:
        if not line:
            continue
        observations = next(lines, "")
        _, *numbers, camera_id, name = line.split(maxsplit=9)
        values = [float(number) for number in numbers]
        if len(values) != 7:
            raise UserError(f"{path}: {line!r} is no image; it must read: id qw qx qy qz tx ty tz camera name")
        ids = np.array(observations.split()[2::3], dtype=np.int64)
        yield name, int(camera_id), _pose(values[:4], values[4:]), ids


def _text_points(path: Path) -> PointTable:
    rows = [line.split(maxsplit=7)[:7] for line in filter(None, _lines(path))]
    table = np.array(rows, dtype=np.float64).reshape(-1, 7)
    return PointTable(table[:, 0].astype(np.int64), table[:, 1:4], table[:, 4:])


# ---- points


def _read_points(folder: Path) -> PointTable:
    """The points that are somewhere; none where the model has no file of them."""
    for path, read in ((folder / "points3D.bin", _binary_points), (folder / "points3D.txt", _text_points)):
        if path.exists():
            try:
                table = read(path)
            except (struct.error, IndexError, ValueError) as error:
                if isinstance(error, UserError):
                    raise
                raise UserError(f"{path} is damaged or cut short: {error}") from None
            finite = np.isfinite(table.positions).all(axis=1)
            return PointTable(*(column[finite] for column in table))
    if (path := folder / "points3D.ply").exists():
        cloud = read_points(path)  # which keeps no ids, so that no track finds them
        return PointTable(np.full(len(cloud), -1), cloud.positions.astype(np.float64), 255 * cloud.colors.astype(float))
    return PointTable(np.zeros(0, np.int64), np.zeros((0, 3)), np.zeros((0, 3)))


# ---- writing


def write_model(folder: Path, cameras: Sequence[Camera], points: PointCloud) -> None:
    """Write a text model of pinhole cameras, one camera for each image, and of points without tracks."""
    camera_lines, image_lines, point_lines = io.StringIO(), io.StringIO(), io.StringIO()
    for number, camera in enumerate(cameras, start=1):
        intrinsics = " ".join(repr(float(value)) for value in (camera.fx, camera.fy, camera.cx, camera.cy))
        camera_lines.write(f"{number} PINHOLE {camera.width} {camera.height} {intrinsics}\n")
        x, y, z, w = Rotation.from_matrix(camera.camera_from_world[:3, :3]).as_quat()
        pose = " ".join(repr(float(value)) for value in (w, x, y, z, *camera.camera_from_world[:3, 3]))
        image_lines.write(f"{number} {pose} {number} {camera.name}\n\n")
    colors = np.round(points.colors * 255).astype(int)
    for number, (position, color) in enumerate(zip(points.positions, colors, strict=True), start=1):
        place = " ".join(repr(float(value)) for value in position)
        point_lines.write(f"{number} {place} {color[0]} {color[1]} {color[2]} 0\n")
    for stem, lines in (("cameras", camera_lines), ("images", image_lines), ("points3D", point_lines)):
        with atomic_write(folder / f"{stem}.txt") as file:
            file.write(lines.getvalue().encode())
