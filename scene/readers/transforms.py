"""transforms.json of Blender's NeRF scenes, instant-ngp and nerfstudio: poses camera-to-world, OpenGL's axes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from scene.io.points import read_points
from scene.readers.base import (
    FARTHEST,
    OPENCV_FROM_OPENGL,
    ParsedDataset,
    PosedImage,
    ReadOptions,
    lost_frames,
    rigid,
)
from scene.readers.json_input import decoded, read_json, unknown_keys
from scene.readers.masks import pair_masks
from scene.readers.photo_paths import PhotoFinder
from scene.readers.transforms_lens import lens_of
from scene.readers.transforms_schema import (
    CONVENTIONS,
    HARMLESS_IN_FILE,
    HARMLESS_IN_FRAME,
    RIGHT_CONVENTIONS,
    File,
    Frame,
)
from scene.types import NO_POINTS, PointCloud
from utils.errors import UserError
from utils.files import is_file

SUFFIXES = ("", ".png", ".jpg", ".jpeg")  # that Blender's file_path leaves out
FILES = ("transforms.json", "transforms_train.json")  # of which the first that is there is read
HELD_OUT = ("transforms_test.json", "transforms_val.json")  # beside the second; the first that is there is read
LAYOUT = "transforms.json or transforms_train.json (Blender, instant-ngp, nerfstudio)"
NAMED_AT_MOST = 3


def can_read(source: Path) -> bool:
    return any((source / name).is_file() for name in FILES)


def read(source: Path, options: ReadOptions) -> ParsedDataset:
    """Read transforms.json, or transforms_train.json and, to be held out, the first of HELD_OUT beside it.

    Photos that they list and that are not there are skipped and named in `missing`. Raises: UserError, naming the file,
    for what is not understood.
    """
    path = next(source / name for name in FILES if (source / name).is_file())
    first = _read_file(path, options)
    beside = [source / name for name in HELD_OUT if (source / name).is_file()]
    if path.name != FILES[1] or not beside:
        return first
    held_out, *others = beside
    left = (*others, *(source / each.stem.removeprefix("transforms_") for each in others))  # and their photos' folders
    second = _read_file(held_out, options)
    test = frozenset(frame.name for frame in second.frames)
    both = [frame for frame in first.frames if frame.name in test]
    if both and len(both) == len(first.frames):
        raise UserError(
            f"{path} and {held_out} list the same {len(both)} photos, which cannot be trained on and held out; remove "
            f"{held_out.name}, or let it list others"
        )
    overlap = f"{len(both)} photos that {held_out.name} lists too are held out, such as {both[0].name}" if both else ""
    return replace(
        first,
        frames=tuple(frame for frame in first.frames if frame.name not in test) + second.frames,
        missing=first.missing + second.missing,
        test=test,
        files=first.files + second.files,
        unused={**first.unused, **second.unused, **dict.fromkeys(left, f"{held_out.name} has the test views")},
        notes=first.notes + second.notes,
        warnings=(*first.warnings, *second.warnings, *([overlap] if overlap else [])),
    )


def _read_file(path: Path, options: ReadOptions) -> ParsedDataset:
    raw = read_json(path)
    content = decoded(raw, File, path)
    _check_convention(raw, path)
    folder = _Folder(path, _photo_folder(path.parent, options))
    frames, missing, lost, by_listed = [], [], [], {}
    for number, entry in enumerate(content.frames):
        image_path = folder.photo(entry.file_path)
        if image_path is None:
            missing.append(entry.file_path)
        elif not np.isfinite(_matrix(entry)).all():
            lost.append(image_path)
        else:
            frames.append(_posed(entry, content, image_path, folder, f"frames[{number}]"))
            by_listed[_plain(entry.file_path)] = frames[-1].name
    test, left_out, said = _split(content, by_listed, path)
    posed = frames
    frames, fits_several = _with_masks([frame for frame in posed if frame.name not in left_out], path.parent)
    return ParsedDataset(
        kind="nerfstudio" if _has_lens(content) else "Blender",
        frames=tuple(sorted(frames, key=lambda frame: frame.name)),
        missing=tuple(sorted(missing)),
        test=test,
        points=_points(content, folder),
        depth_scale=_depth_scale(content, path),
        meters_per_unit=content.meters_per_unit,
        is_transparent=True,
        files=(path, *([ply] if (ply := folder.other(content.ply_file_path)) else [])),
        unused=_unused(content, folder, lost, {frame.image_path for frame in posed if frame.name in left_out}),
        notes=(*folder.notes(), *said),
        warnings=(*_unknown(raw, path), *lost_frames(lost), *fits_several),
    )


# ---- files


class _Folder:
    """Where a transforms file looks for the files that it names: for photos in the folder of -i, if there is one."""

    def __init__(self, path: Path, images: Path | None) -> None:
        self.path, self.is_other = path, images is not None
        self.photos, self.others = PhotoFinder(images or path.parent), PhotoFinder(path.parent)

    def photo(self, name: str) -> Path | None:
        return self.photos.find(name, SUFFIXES)

    def other(self, name: str | None) -> Path | None:
        """Where a mask, map or point file is, or would be."""
        return (self.others.find_beside(name) or self.path.parent / name) if name else None

    def notes(self) -> tuple[str, ...]:
        return () if self.is_other else self.photos.note()


def _unused(content: File, folder: _Folder, lost: Iterable[Path], left_out: Iterable[Path]) -> dict[Path, str]:
    """Why photos that are listed are not used, and why those beside them are not."""
    own = folder.path.parent
    beside = {path: "not read beside it" for path in own.glob("transforms*.json") if path.name not in FILES}
    photos = {folder.photo(frame.file_path) for frame in content.frames}
    unlisted = {path.parent: f"{folder.path.name} does not list it" for path in photos if path and path.parent != own}
    no_pose = dict.fromkeys(lost, "its pose is not finite")
    return {**beside, **unlisted, **no_pose, **dict.fromkeys(left_out, "neither a training nor a test view")}


def _photo_folder(folder: Path, options: ReadOptions) -> Path | None:
    """The folder that -i names, if it names another than the usual one, which the file itself names."""
    if options.images == ReadOptions().images:
        return None
    if not (folder / options.images).is_dir():
        raise UserError(f"the image folder {folder / options.images} is not there; -i names another")
    return folder / options.images


def _points(content: File, folder: _Folder) -> PointCloud:
    path = folder.other(content.ply_file_path)
    points = NO_POINTS if path is None else read_points(path)
    somewhere = (np.abs(points.positions) <= FARTHEST).all(axis=1)
    return points if somewhere.all() else PointCloud(points.positions[somewhere], points.colors[somewhere])


def _unknown(raw: Any, path: Path) -> tuple[str, ...]:
    """The line about keys that are not known, if there are any: they may have meant something."""
    of_file = unknown_keys([raw], File, (*HARMLESS_IN_FILE, *CONVENTIONS))
    of_frames = [f"{key} of frames" for key in unknown_keys(raw["frames"], Frame, HARMLESS_IN_FRAME)]
    keys = [*of_file, *of_frames]
    return (f"{path}: not known, and not used: {', '.join(keys)}",) if keys else ()


def _check_convention(raw: Mapping[str, Any], path: Path) -> None:
    """UserError where the file says that its poses are not what they are read as."""
    for key in CONVENTIONS:
        said = raw.get(key)
        if said is not None and str(said).lower() not in RIGHT_CONVENTIONS:
            raise UserError(
                f"{path}: {key} is {said!r}; poses are read as those of OpenGL, camera to world with y up and z "
                f"backward: convert them and write {RIGHT_CONVENTIONS[0]}, or remove the key if they are already so"
            )


# ---- frames


def _posed(frame: Frame, content: File, image_path: Path, folder: _Folder, place: str) -> PosedImage:
    where = f"{folder.path}: {place} ({frame.file_path})"
    pose = rigid(_matrix(frame), f"{where}: transform_matrix")
    mask = folder.other(frame.mask_path)
    if mask is not None and not is_file(mask):
        raise UserError(f"{where}: its mask_path {mask} is not there")
    return PosedImage(
        name=_name(image_path, folder.path.parent),
        image_path=image_path,
        mask_path=mask,
        lens=lens_of(frame, content, image_path, where),
        camera_from_world=OPENCV_FROM_OPENGL @ np.linalg.inv(pose),
        depth_path=folder.other(_depth_path(frame, content, where)),
    )


def _name(image_path: Path, folder: Path) -> str:
    return str(image_path.relative_to(folder) if image_path.is_relative_to(folder) else image_path)


def _matrix(frame: Frame) -> np.ndarray:
    """The numbers of a pose; none of one whose rows differ in length."""
    lengths = {len(row) for row in frame.transform_matrix}
    return np.array(frame.transform_matrix if len(lengths) == 1 else [], dtype=np.float64)


def _has_lens(content: File) -> bool:
    """Whether a focal length is stated: Blender's scenes have only a field of view."""
    return any(part.fl_x is not None or part.fl_y is not None for part in (content, *content.frames))


def _with_masks(frames: Sequence[PosedImage], folder: Path) -> tuple[list[PosedImage], list[str]]:
    """The frames, those without a mask_path with the mask of their name beside the file; and what fits several."""
    found, contested = pair_masks(folder, [frame.name for frame in frames])
    masked = [replace(frame, mask_path=frame.mask_path or found.get(frame.name)) for frame in frames]
    return masked, contested


# ---- depth


def _depth_path(frame: Frame, content: File, where: str) -> str | None:
    """nerfstudio's depth_file_path, or instant-ngp's depth_path, which its file can switch off."""
    if content.enable_depth_loading is False:
        return None
    both = {path for path in (frame.depth_file_path, frame.depth_path) if path}
    if len(both) > 1:
        raise UserError(
            f"{where} has two depth maps: depth_file_path {frame.depth_file_path}, depth_path {frame.depth_path}"
        )
    return next(iter(both), None)


def _depth_scale(content: File, path: Path) -> float | None:
    """World units of a step, as nerfstudio or instant-ngp calls it."""
    scales = {scale for scale in (content.depth_unit_scale_factor, content.integer_depth_scale) if scale is not None}
    if len(scales) > 1:
        raise UserError(
            f"{path}: depth_unit_scale_factor is {content.depth_unit_scale_factor} and integer_depth_scale is "
            f"{content.integer_depth_scale}; both are world units of a step of the depth maps, and must agree"
        )
    return next(iter(scales), None)


# ---- which are held out


def _plain(name: str) -> str:
    return str(PurePosixPath(name.replace("\\", "/")))


def _split(content: File, names: Mapping[str, str], path: Path) -> tuple[frozenset[str], set[str], tuple[str, ...]]:
    """By train_filenames, val_filenames and test_filenames, the names of the frames to hold out and of those to leave
    out; and what is to be said of it. `names` are those of the frames by their file_path. Validation views are held out
    where there are no test views, and left out where there are."""
    train, val, test = (
        _listed(content, key, names, path) for key in ("train_filenames", "val_filenames", "test_filenames")
    )
    held_out, other = (test, val) if test else (val, set())
    both = sorted(train & held_out)
    if both:
        raise UserError(f"{path}: {both[0]} is in train_filenames, and held out by val_filenames or test_filenames")
    unlisted = set(names.values()) - train - held_out if train else set()
    left_out = ((other - train) | unlisted) - held_out
    said = f"{len(left_out)} photos are neither in train_filenames nor in test_filenames, and are not used"
    return frozenset(held_out), left_out, (said,) if left_out else ()


def _listed(content: File, key: str, names: Mapping[str, str], path: Path) -> set[str]:
    """Names of the frames in a list; a photo that is not there may be listed, a frame that is not may not."""
    frames = {_plain(frame.file_path) for frame in content.frames}
    listed = [_plain(name) for name in getattr(content, key) or ()]
    strange = [name for name in listed if name not in frames]
    if strange:
        raise UserError(f"{path}: {key} names {', '.join(strange[:NAMED_AT_MOST])}, which is the file_path of no frame")
    return {names[name] for name in listed if name in names}
