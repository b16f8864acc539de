"""transforms.json of Blender's NeRF scenes, instant-ngp and nerfstudio: poses camera-to-world, OpenGL's axes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from scene import camera_models
from scene.io.points import read_points
from scene.readers.base import NO_POINTS, ParsedDataset, PosedImage, ReadOptions, rigid
from scene.types import CameraModel
from utils.errors import UserError

SUFFIXES = ("", ".png", ".jpg", ".jpeg")  # that Blender's file_path leaves out
OPENCV_FROM_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])  # y up, z backward -> y down, z forward
FILES = ("transforms.json", "transforms_train.json")  # of which the first that is there is read
LAYOUT = "transforms.json or transforms_train.json (Blender, instant-ngp, nerfstudio)"


def can_read(source: Path) -> bool:
    return any((source / name).is_file() for name in FILES)


def read(source: Path, options: ReadOptions) -> ParsedDataset:
    """Read transforms.json, or transforms_train.json and the transforms_test.json beside it.

    Photos that they list and that are not there are skipped and named in `missing`. Raises: UserError, naming the file,
    for what is not understood.
    """
    path = next(source / name for name in FILES if (source / name).is_file())
    first, *others = [_read_file(path)]
    held_out = source / "transforms_test.json"
    if path.name == FILES[1] and held_out.is_file():
        others = [_read_file(held_out)]
    test = frozenset(frame.name for part in others for frame in part.frames)
    return replace(
        first,
        frames=tuple(frame for part in (first, *others) for frame in part.frames),
        missing=tuple(name for part in (first, *others) for name in part.missing),
        test=test,
    )


def _read_file(path: Path) -> ParsedDataset:
    try:
        content = json.loads(path.read_text())
        listed = content["frames"]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise UserError(f'{path} is not a transforms file: {error!r}; it must be JSON with a list "frames"') from None
    frames, missing = [], []
    for entry in listed:
        image_path = _find_image(path.parent, entry, path)
        if image_path is None:
            missing.append(str(entry["file_path"]))
        else:
            frames.append(_frame({**content, **entry}, image_path, path))
    points = content.get("ply_file_path")
    scale = content.get("depth_unit_scale_factor")
    if scale is not None and not (isinstance(scale, int | float) and 0 < scale < math.inf):
        raise UserError(f"{path}: depth_unit_scale_factor is {scale!r}; it must be a number above 0")
    has_lens = any("fl_x" in part for part in (content, *listed))  # Blender's scenes have only a field of view
    return ParsedDataset(
        kind="nerfstudio" if has_lens else "Blender",
        frames=tuple(sorted(frames, key=lambda frame: frame.name)),
        missing=tuple(sorted(missing)),
        points=read_points(path.parent / points) if points else NO_POINTS,
        depth_scale=scale,
        is_transparent=True,
    )


def _find_image(folder: Path, entry: Mapping[str, Any], where: Path) -> Path | None:
    if "file_path" not in entry or "transform_matrix" not in entry:
        raise UserError(f"{where}: a frame lacks file_path or transform_matrix")
    candidates = (folder / f"{entry['file_path']}{suffix}" for suffix in SUFFIXES)
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _frame(entry: Mapping[str, Any], image_path: Path, where: Path) -> PosedImage:
    pose = rigid(entry["transform_matrix"], f"{where}: the transform_matrix of {entry['file_path']}")
    mask, depth = entry.get("mask_path"), entry.get("depth_file_path")
    try:
        name = str(image_path.relative_to(where.parent))
    except ValueError:
        name = str(image_path)
    return PosedImage(
        name=name,
        image_path=image_path,
        mask_path=where.parent / mask if mask else None,
        lens=_lens(entry, image_path, where),
        camera_from_world=OPENCV_FROM_OPENGL @ np.linalg.inv(pose),
        depth_path=where.parent / depth if depth else None,
    )


def _lens(entry: Mapping[str, Any], image_path: Path, where: Path) -> CameraModel:
    """Intrinsics of the frame, of the file, or from the field of view, brought to the size that the image has."""
    with Image.open(image_path) as image:
        real_width, real_height = image.size
    width, height = int(entry.get("w", real_width)), int(entry.get("h", real_height))
    if "fl_x" in entry:
        fx = float(entry["fl_x"])
    elif "camera_angle_x" in entry:
        fx = width / (2 * math.tan(float(entry["camera_angle_x"]) / 2))
    else:
        raise UserError(f"{where}: {entry['file_path']} has neither fl_x nor camera_angle_x")
    fy = float(entry["fl_y"]) if "fl_y" in entry else fx
    middle = (fx, fy, float(entry.get("cx", width / 2)), float(entry.get("cy", height / 2)))
    k1, k2, k3, k4, p1, p2 = (float(entry.get(name, 0)) for name in ("k1", "k2", "k3", "k4", "p1", "p2"))
    if entry.get("camera_model") == "OPENCV_FISHEYE":
        lens = camera_models.checked("OPENCV_FISHEYE", width, height, (*middle, k1, k2, k3, k4), str(where))
    else:
        lens = camera_models.checked(
            "FULL_OPENCV", width, height, (*middle, k1, k2, p1, p2, k3, 0.0, 0.0, 0.0), str(where)
        )
    return camera_models.rescaled(lens, real_width, real_height)
