"""The three files of a COLMAP model, binary or text, as COLMAP's documentation lays them out."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from scipy.spatial.transform import Rotation

from scene import camera_models
from scene.io.points import read_points
from scene.readers.base import FARTHEST, read_text
from scene.types import CameraModel
from utils.errors import UserError

Entry = TypeVar("Entry")

MODELS = (  # by COLMAP's number
    "SIMPLE_PINHOLE PINHOLE SIMPLE_RADIAL RADIAL OPENCV OPENCV_FISHEYE FULL_OPENCV FOV SIMPLE_RADIAL_FISHEYE "
    "RADIAL_FISHEYE THIN_PRISM_FISHEYE RAD_TAN_THIN_PRISM_FISHEYE SIMPLE_DIVISION DIVISION SIMPLE_FISHEYE FISHEYE EUCM "
    "EQUIRECTANGULAR"
).split()
LEAST = {"cameras": 24, "images": 73, "points3D": 51}  # bytes that an entry of a binary file takes
SHOWN = 60  # characters of a bad line
DAMAGE = (struct.error, LookupError, ArithmeticError, ValueError)  # what reading a damaged file raises


class ImageEntry(NamedTuple):
    """An image as a file lists it."""

    name: str  # path relative to the image folder
    camera_id: int
    camera_from_world: np.ndarray  # (4, 4) float64
    point_ids: np.ndarray  # (K,) int64, of the points found in it; -1 where a feature has none


class PointTable(NamedTuple):
    """Points as a file lists them."""

    ids: np.ndarray  # (P,) int64
    positions: np.ndarray  # (P, 3) float64
    colors: np.ndarray  # (P, 3) 0 to 255


def read_cameras(folder: Path) -> dict[int, CameraModel]:
    """By camera id. Raises: UserError, naming the file, for one that is missing, cut short or not understood."""
    found: dict[int, CameraModel] = {}
    for camera_id, lens in _read(folder, "cameras", _binary_cameras, _text_cameras):
        if found.setdefault(camera_id, lens) != lens:
            path = _path_of(folder, "cameras")
            raise UserError(f"{path} lists the camera {camera_id} twice, with different parameters")
    return found


def read_images(folder: Path) -> list[ImageEntry]:
    """Raises: UserError as read_cameras, and for poses of numbers that are not finite."""
    return _read(folder, "images", _binary_images, _text_images)


def _read(
    folder: Path, stem: str, binary: Callable[[Path], Iterator[Entry]], text: Callable[[Path], Iterator[Entry]]
) -> list[Entry]:
    """The entries of `stem`.bin, or of `stem`.txt."""
    path = _path_of(folder, stem)
    read = binary if path.suffix == ".bin" else text
    return _guarded(path, lambda each: list(read(each)))


def _path_of(folder: Path, stem: str) -> Path:
    path = next((path for path in (folder / f"{stem}.bin", folder / f"{stem}.txt") if path.exists()), None)
    if path is None:
        raise UserError(f"{folder} has neither {stem}.bin nor {stem}.txt")
    return path


def _guarded(path: Path, read: Callable[[Path], Entry]) -> Entry:
    try:
        return read(path)
    except UserError:
        raise
    except DAMAGE as error:
        raise UserError(f"{path} is damaged or cut short: {error}") from None


def _pose(quat_wxyz: Sequence[float], translation: Sequence[float], where: str) -> np.ndarray:
    w, x, y, z = quat_wxyz
    pose = np.eye(4)
    if not np.abs(quat_wxyz).max() <= FARTHEST or np.linalg.norm(quat_wxyz) < 1e-6:  # the first is true of NaN
        raise UserError(f"{where} has the rotation {tuple(quat_wxyz)}, which is none: it must be a quaternion w x y z")
    pose[:3, :3] = Rotation.from_quat([x, y, z, w]).as_matrix()
    pose[:3, 3] = translation
    if not np.isfinite(translation).all() or np.abs(translation).max() > FARTHEST:
        raise UserError(f"{where} has the translation {tuple(translation)}; it must be 3 numbers up to {FARTHEST:g}")
    return pose


# ---- binary


def _counted(path: Path) -> tuple[bytes, int]:
    """The bytes of a file, and how many entries it says it has. Raises: UserError for more than the bytes can hold."""
    data = path.read_bytes()
    if len(data) < 8:
        raise UserError(f"{path} is cut short: it has {len(data)} bytes, and the number of its entries alone takes 8")
    (count,) = struct.unpack_from("<Q", data)
    most = (len(data) - 8) // LEAST[path.stem]
    if count > most:
        raise UserError(f"{path} is damaged or cut short: it says {count} entries, and has bytes for at most {most}")
    return data, count


def _binary_cameras(path: Path) -> Iterator[tuple[int, CameraModel]]:
    (data, count), offset = _counted(path), 8
    for _ in range(count):
        camera_id, number, width, height = struct.unpack_from("<iiQQ", data, offset)
        if not 0 <= number < len(MODELS):
            raise UserError(f"{path}: camera model number {number} is not one of 0 to {len(MODELS) - 1}")
        size = camera_models.parameter_count(MODELS[number], str(path))
        params = struct.unpack_from(f"<{size}d", data, offset + 24)
        offset += 24 + 8 * size
        yield camera_id, camera_models.checked(MODELS[number], width, height, params, str(path))


def _binary_images(path: Path) -> Iterator[ImageEntry]:
    (data, count), offset = _counted(path), 8
    observation = np.dtype([("pixel", "<f8", 2), ("point", "<i8")])
    for _ in range(count):
        values = struct.unpack_from("<i7di", data, offset)
        end = data.index(b"\0", offset + 64)
        name = data[offset + 64 : end].decode(errors="surrogateescape")
        (observations,) = struct.unpack_from("<Q", data, end + 1)
        offset = end + 9 + observation.itemsize * observations
        if offset > len(data):
            raise UserError(f"{path} is cut short: {len(data)} bytes of {offset} or more")
        found = np.frombuffer(data, observation, observations, end + 9)
        yield ImageEntry(name, values[8], _pose(values[1:5], values[5:8], f"{path}: {name}"), found["point"])


def _binary_points(path: Path) -> PointTable:
    """Points are followed by tracks of any length: a loop finds only where points begin, numpy does the rest."""
    (data, count), offset = _counted(path), 8
    starts = np.empty(count, dtype=np.int64)
    length = struct.Struct("<Q")
    for index in range(count):
        starts[index] = offset
        offset += 51 + 8 * length.unpack_from(data, offset + 43)[0]
        if offset > len(data):
            raise UserError(f"{path} is cut short: {len(data)} bytes of {offset} or more")
    layout = np.dtype([("id", "<i8"), ("position", "<f8", 3), ("color", "u1", 3)])
    bytes_of = np.frombuffer(data, dtype=np.uint8)[starts[:, None] + np.arange(layout.itemsize)]
    points = np.ascontiguousarray(bytes_of).view(layout)[:, 0] if count else np.empty(0, layout)
    return PointTable(points["id"], points["position"], points["color"])


# ---- text


def _lines(path: Path) -> Iterator[str]:
    for line in map(str.strip, read_text(path).splitlines()):
        if not line.startswith("#"):
            yield line


def _text_cameras(path: Path) -> Iterator[tuple[int, CameraModel]]:
    for line in filter(None, _lines(path)):
        camera_id, model, width, height, *params = line.split()
        lens = camera_models.checked(model, int(width), int(height), tuple(map(float, params)), str(path))
        yield int(camera_id), lens


def _text_images(path: Path) -> Iterator[ImageEntry]:
    """Two lines an image, of which the second, its observations, may be empty. As COLMAP does, this steps over empty
    lines before the first of the two, and takes whatever comes next as the second."""
    lines = _lines(path)
    for line in lines:
        if not line:
            continue
        observations = next(lines, "")
        parts = line.split(maxsplit=9)
        if len(parts) != 10:
            raise UserError(f"{path}: {line!r} is no image; it must read: id qw qx qy qz tx ty tz camera name")
        values, name = [float(number) for number in parts[1:8]], parts[9]
        words = observations.split()
        if len(words) % 3:
            raise UserError(
                f"{path}: behind {name} stands {observations[:SHOWN]!r}; an image has a second line, which is empty or "
                "has x, y and a point's id for each of its features"
            )
        ids = np.array(words[2::3], dtype=np.int64)
        yield ImageEntry(name, int(parts[8]), _pose(values[:4], values[4:], f"{path}: {name}"), ids)


def _text_points(path: Path) -> PointTable:
    rows = [line.split(maxsplit=7)[:7] for line in filter(None, _lines(path))]
    ids = np.array([int(row[0]) for row in rows], dtype=np.int64)
    table = np.array([row[1:] for row in rows], dtype=np.float64).reshape(-1, 6)
    return PointTable(ids, table[:, :3], table[:, 3:])


# ---- points


def read_model_points(folder: Path) -> PointTable:
    """The points that are somewhere; none where the model has no file of them. Raises: UserError as read_cameras."""
    for path, read in ((folder / "points3D.bin", _binary_points), (folder / "points3D.txt", _text_points)):
        if path.exists():
            table = _guarded(path, read)
            somewhere = (np.abs(table.positions) <= FARTHEST).all(axis=1)  # which NaN is not
            return PointTable(*(column[somewhere] for column in table))
    if (path := folder / "points3D.ply").exists():
        cloud = read_points(path)  # which keeps no ids, so that no track finds them
        return PointTable(np.full(len(cloud), -1), cloud.positions.astype(np.float64), 255 * cloud.colors.astype(float))
    return PointTable(np.zeros(0, np.int64), np.zeros((0, 3)), np.zeros((0, 3)))
