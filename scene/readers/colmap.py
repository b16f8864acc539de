"""COLMAP models: cameras, images and points3D, and the photos, masks and test views that belong to one."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from scene.readers.base import ParsedDataset, PosedImage, ReadOptions, read_text
from scene.readers.colmap_files import read_cameras, read_images, read_model_points
from scene.readers.masks import pair_masks
from scene.readers.photo_paths import PhotoFinder
from scene.types import Camera, CameraModel, PointCloud
from utils.errors import UserError
from utils.files import atomic_write

LAYOUT = "sparse/0 with cameras, images and points3D (COLMAP)"
ENDS = (".bin", ".txt")  # of a model's files: the first that is there is read
NEEDED = ("cameras", "images")  # without which a model is none
TEST_LIST = "test.txt"  # in the folder of the model, of the photos to hold out


@dataclass(frozen=True)
class ModelImage:
    """An image as COLMAP knows it."""

    name: str  # path relative to the image folder
    lens: CameraModel
    camera_from_world: np.ndarray  # (4, 4) float64
    observed: np.ndarray  # (K,) int64, which of the model's points were found in it: none where tracks are not kept


@dataclass(frozen=True)
class Model:
    images: tuple[ModelImage, ...]  # sorted by name
    points: PointCloud


def can_read(source: Path) -> bool:
    return bool(find_models(source))


def read(source: Path, options: ReadOptions) -> ParsedDataset:
    """Read the model that has most of the photos; the first of equals. Raises: UserError, naming the file."""
    return read_best(source, find_models(source), source / options.images)


def read_best(source: Path, folders: Sequence[Path], image_folder: Path) -> ParsedDataset:
    """Read the model of these folders in `source` that has most of the photos in `image_folder`; the first of equals.

    Raises: UserError, naming the file.
    """
    if not image_folder.is_dir():
        raise UserError(f"the image folder {image_folder} is not there; -i names another")
    photos = PhotoFinder(image_folder)
    models = {folder: read_model(folder) for folder in folders}
    here = {folder: _photos(model, photos) for folder, model in models.items()}
    folder = max(models, key=lambda each: len(here[each]))
    model, paths = models[folder], here[folder]
    found, contested = pair_masks(image_folder.parent, list(paths))
    others = [f"{each.relative_to(source)} with {len(here[each])} photos" for each in models if each != folder]
    used = f"{folder.relative_to(source)} is used, and not {', '.join(others)}"
    tracked = any(len(image.observed) for image in model.images)
    return ParsedDataset(
        kind="COLMAP",
        frames=tuple(
            PosedImage(each.name, paths[each.name], each.lens, each.camera_from_world, found.get(each.name))
            for each in model.images
            if each.name in paths
        ),
        missing=tuple(image.name for image in model.images if image.name not in paths),
        test=_listed_test(folder, [image.name for image in model.images]),
        points=model.points,
        files=model_files(folder),
        unused=_unused(folder, models, source, image_folder),
        tracks={image.name: image.observed for image in model.images} if tracked else {},
        notes=(*((used,) if others else ()), *photos.note()),
        warnings=tuple(contested),
    )


def model_files(folder: Path) -> tuple[Path, ...]:
    """The files of a model that are read: those of its three parts, and the list of its test views."""
    parts = [
        next((path for path in (folder / f"{stem}{end}" for end in ends) if path.exists()), None)
        for stem, ends in (("cameras", ENDS), ("images", ENDS), ("points3D", (*ENDS, ".ply")), ("test", (".txt",)))
    ]
    return tuple(path for path in parts if path is not None)


def _unused(used: Path, models: Mapping[Path, Model], source: Path, image_folder: Path) -> dict[Path, str]:
    """Why what else lies in the folders of models and photos is not used."""
    others = {folder: "another model, with fewer photos" for folder in models if folder != used}
    resized = {path: "-i names another folder of photos" for path in source.glob("images*") if path != image_folder}
    second = dict.fromkeys(used.glob("*.txt"), f"its part is read from a {ENDS[0]} file")
    return {
        **others,
        **resized,
        used: "not needed of a model",
        used / "depth_params.json": "each depth map is fitted to the points anew",
        **second,
        image_folder: "the model has no camera for it",
    }


def _photos(model: Model, photos: PhotoFinder) -> dict[str, Path]:
    """The photos of a model that are there, by the name that the model has for them."""
    found = {image.name: photos.find(image.name) for image in model.images}
    return {name: path for name, path in found.items() if path is not None}


def _listed_test(folder: Path, names: Sequence[str]) -> frozenset[str]:
    """The photos of test.txt beside the model, a name or stem a line. Raises: UserError for one that is of no photo."""
    path = folder / TEST_LIST
    if not path.is_file():
        return frozenset()
    held_out = set()
    for line in filter(None, map(str.strip, read_text(path).splitlines())):
        found = [name for name in names if line in (name, str(Path(name).with_suffix("")))]
        if not found:
            raise UserError(f"{path} lists {line}, which is no photo of the model; such are {', '.join(names[:3])}")
        held_out.update(found)
    return frozenset(held_out)


def find_models(source: Path) -> list[Path]:
    """The folders of the models in a dataset: `sparse/0`, `sparse/1`, ..., and `sparse`; where none is whole, those of
    models that lack a file, which reading them then names."""
    numbered = sorted(
        (path for path in source.glob("sparse/*") if path.name.isdecimal()), key=lambda path: int(path.name)
    )
    folders = (*numbered, source / "sparse")
    has = {each: [any((each / f"{stem}{end}").is_file() for end in ENDS) for stem in NEEDED] for each in folders}
    return [each for each in folders if all(has[each])] or [each for each in folders if any(has[each])]


def read_model(folder: Path) -> Model:
    """Read a model. Raises: UserError, naming the file, for one that is missing, cut short or not understood."""
    cameras = read_cameras(folder)
    points = read_model_points(folder)
    images = []
    for name, camera_id, pose, ids in read_images(folder):
        if camera_id not in cameras:
            raise UserError(
                f"{folder}: the image {name!r} has camera {camera_id}, which the cameras file does not list"
            )
        images.append(ModelImage(name, cameras[camera_id], pose, np.flatnonzero(np.isin(points.ids, ids))))
    if not images:
        raise UserError(f"{folder}: the model has no images")
    colors = np.clip(np.nan_to_num(points.colors.astype(np.float32)), 0, 255) / 255
    cloud = PointCloud(points.positions, colors)
    return Model(tuple(sorted(images, key=lambda image: image.name)), cloud)


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
