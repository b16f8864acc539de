"""OpenSfM and OpenDroneMap: reconstruction.json beside images/, and undistorted/ with the same of undistorted photos.

The file is a list of reconstructions. A shot has world-to-camera: `rotation`, axis times angle, and `translation`, in
OpenCV's axes. A camera's lengths are in units of the photo's larger side, its principal point from the photo's middle
(OpenSfM's "Geometric Models"). EXIF turns nothing: a camera has the size of the stored pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
from scipy.spatial.transform import Rotation

from scene.camera_models import checked
from scene.readers.base import FARTHEST, ParsedDataset, PosedImage, ReadOptions, lost_frames, rigid
from scene.readers.json_input import Finite, Pixels, Positive, decoded, read_json
from scene.readers.masks import masks_beside, pair_masks
from scene.readers.photo_paths import PhotoFinder
from scene.types import NO_POINTS, CameraModel, PointCloud
from utils.errors import UserError

FILE = "reconstruction.json"
PLACES = ("", "undistorted", "opensfm", "opensfm/undistorted")  # of the file, the first with most photos is read
LAYOUT = "reconstruction.json, also in opensfm/ or undistorted/ (OpenSfM, OpenDroneMap)"
SUFFIXES = ("", ".jpg", ".png", ".tif")  # that undistorted photos have behind their names
LENSES = {  # by OpenSfM's name: COLMAP's model, and its coefficients in COLMAP's order, "0" for none
    "perspective": ("RADIAL", "k1 k2"),
    "simple_radial": ("FULL_OPENCV", "k1 0 0 0 0 0 0 0"),
    "radial": ("FULL_OPENCV", "k1 k2 0 0 0 0 0 0"),
    "brown": ("FULL_OPENCV", "k1 k2 p1 p2 k3 0 0 0"),
    "fisheye": ("RADIAL_FISHEYE", "k1 k2"),
    "fisheye_opencv": ("OPENCV_FISHEYE", "k1 k2 k3 k4"),
}
Three = Annotated[list[float], msgspec.Meta(min_length=3, max_length=3)]


class _Camera(msgspec.Struct):
    width: Pixels
    height: Pixels
    projection_type: str = "perspective"
    focal: Positive | None = None
    focal_x: Positive | None = None
    focal_y: Positive | None = None
    c_x: Finite = 0.0
    c_y: Finite = 0.0
    k1: Finite = 0.0
    k2: Finite = 0.0
    k3: Finite = 0.0
    k4: Finite = 0.0
    p1: Finite = 0.0
    p2: Finite = 0.0


class _Shot(msgspec.Struct):
    camera: str
    rotation: Three
    translation: Three


class _Point(msgspec.Struct):
    coordinates: Three
    color: Three


class _Reconstruction(msgspec.Struct):
    cameras: dict[str, _Camera]
    shots: dict[str, _Shot]
    points: dict[str, _Point] = {}


class _Found(NamedTuple):
    """A reconstruction, and its photos that are there."""

    path: Path
    content: _Reconstruction
    finder: PhotoFinder
    photos: Mapping[str, Path]  # by the shot's name


def can_read(source: Path) -> bool:
    return any((source / place / FILE).is_file() for place in PLACES)


def read(source: Path, options: ReadOptions) -> ParsedDataset:
    """Read the reconstruction with most photos; the first of equals, those of distorted photos first.

    Raises: UserError, naming the file, for one that is not understood.
    """
    found = list(_reconstructions(source, options))
    best = max(found, key=lambda each: len(each.photos))
    path, shots = best.path, best.content.shots
    masked, contested = pair_masks(best.finder.folder.parent, list(best.photos))
    frames, lost = [], []
    for name in sorted(best.photos):
        where = f"{path}: shots[{name!r}]"
        pose = _camera_from_world(shots[name], where)
        if pose is None:
            lost.append(best.photos[name])
            continue
        lens = _lens(best.content, shots[name].camera, where)
        frames.append(PosedImage(name, best.photos[name], lens, pose, masked.get(name)))
    others = [f"one of {each.path.relative_to(source)} with {len(each.photos)}" for each in found if each is not best]
    used = f"a reconstruction of {path.relative_to(source)} is used, and not {', '.join(others)}"
    return ParsedDataset(
        kind="OpenSfM",
        frames=tuple(frames),
        missing=tuple(sorted(set(shots) - set(best.photos))),
        points=_points(best.content, path),
        files=(path,),
        unused={
            **{source / place: "another version of the photos is used" for place in PLACES if place},
            path.parent: "not needed beside the reconstruction",
            best.finder.folder: "the reconstruction has no pose for it",
            masks_beside(best.finder.folder.parent): "the mask of no photo that is used",
            **dict.fromkeys(lost, "its pose is not finite"),
        },
        notes=(*((used,) if others else ()), *best.finder.note()),
        warnings=(*lost_frames(lost), *contested),
    )


def _reconstructions(source: Path, options: ReadOptions) -> Iterator[_Found]:
    """All that the files hold. Raises: UserError, naming the file, for one that holds none."""
    for path in (source / place / FILE for place in PLACES):
        if not path.is_file():
            continue
        contents = decoded(read_json(path), list[_Reconstruction], path)
        if not contents:
            raise UserError(f"{path} holds no reconstruction: OpenSfM registered no photo")
        for content in contents:
            finder = PhotoFinder(_photo_folder(path, source, options))
            here = {name: finder.find(name, SUFFIXES) for name in content.shots}
            yield _Found(path, content, finder, {name: photo for name, photo in here.items() if photo is not None})


def _photo_folder(path: Path, source: Path, options: ReadOptions) -> Path:
    """Beside the file; or, as OpenDroneMap has it, beside the folder opensfm."""
    candidates = [path.parent / options.images]
    if path.parent.name == "opensfm":
        candidates.append(path.parent.parent / options.images)
    if options.images != ReadOptions().images:
        candidates = [source / options.images]
    return next((folder for folder in candidates if folder.is_dir()), candidates[0])


def _camera_from_world(shot: _Shot, where: str) -> np.ndarray | None:
    """None for numbers that are not finite."""
    numbers = np.array([*shot.rotation, *shot.translation])
    if not np.isfinite(numbers).all():
        return None
    if np.abs(numbers).max() > FARTHEST:
        raise UserError(f"{where} is no camera pose: its numbers must not be above {FARTHEST:g}")
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = Rotation.from_rotvec(numbers[:3]).as_matrix(), numbers[3:]
    return rigid(pose, where)


def _lens(content: _Reconstruction, name: str, where: str) -> CameraModel:
    camera = content.cameras.get(name)
    if camera is None:
        raise UserError(f"{where}: its camera {name!r} is not among the cameras")
    kind = camera.projection_type
    if kind not in LENSES:
        raise UserError(f"{where}: its camera is {kind!r}, which is not read; these are: {', '.join(LENSES)}")
    fx, fy = camera.focal_x or camera.focal, camera.focal_y or camera.focal_x or camera.focal
    if fx is None or fy is None:
        raise UserError(f"{where}: its camera {name!r} has no focal length: focal, or focal_x and focal_y")
    width, height = int(camera.width), int(camera.height)
    size = max(width, height)
    cx, cy = width / 2 + size * camera.c_x, height / 2 + size * camera.c_y
    model, coefficients = LENSES[kind]
    focal = (size * fx,) if model.startswith("RADIAL") else (size * fx, size * fy)
    values = (0.0 if each == "0" else float(getattr(camera, each)) for each in coefficients.split())
    return checked(model, width, height, (*focal, cx, cy, *values), where)


def _points(content: _Reconstruction, path: Path) -> PointCloud:
    points: list[Any] = list(content.points.values())
    if not points:
        return NO_POINTS
    positions = np.array([point.coordinates for point in points], dtype=np.float64)
    colors = np.clip(np.nan_to_num(np.array([point.color for point in points])) / 255, 0, 1)
    somewhere = (np.abs(positions) <= FARTHEST).all(axis=1)  # which NaN is not
    return PointCloud(positions[somewhere], colors[somewhere].astype(np.float32))
