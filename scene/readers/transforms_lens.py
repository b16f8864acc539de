"""The lens of a frame of transforms.json: of its own keys, or of the file's, or from the field of view."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scene import camera_models
from scene.image_header import read_header
from scene.readers.transforms_schema import File, Frame
from scene.types import CameraModel
from utils.errors import UserError

PERSPECTIVE = "SIMPLE_PINHOLE PINHOLE SIMPLE_RADIAL RADIAL OPENCV FULL_OPENCV PERSPECTIVE".split()
FISHEYE = "OPENCV_FISHEYE FISHEYE SIMPLE_FISHEYE SIMPLE_RADIAL_FISHEYE RADIAL_FISHEYE".split()
NO_PINHOLE = ("equirectangular", "latlong", "ftheta_p0")  # keys of lenses that are not read
USED_BY = {  # the coefficients of each kind of lens; others must be 0
    "OPENCV_FISHEYE": "k1 k2 k3 k4".split(),
    "FULL_OPENCV": "k1 k2 p1 p2 k3 k4 k5 k6".split(),
    "OPENCV": "k1 k2 p1 p2 k3".split(),
}
COEFFICIENTS = "k1 k2 k3 k4 k5 k6 p1 p2".split()


def lens_of(frame: Frame, file: File, image_path: Path, where: str) -> CameraModel:
    """The lens for an image of the stated size, or, where none is stated, of the size that the photo has.

    Raises: UserError, which `where` begins, for a lens that is not read, and for a frame without focal length.
    """
    values = frame.over(file)
    width, height = _size(values, image_path, where)
    fx, fy = _focal_lengths(frame, file, width, height, where)
    middle = (fx, fy, _or(values["cx"], width / 2), _or(values["cy"], height / 2))
    kind = _kind(values, where)
    used = {name: values[name] or 0.0 for name in COEFFICIENTS}
    foreign = [name for name in COEFFICIENTS if used[name] and name not in USED_BY[kind]]
    if foreign:
        raise UserError(
            f"{where}: {foreign[0]} is {used[foreign[0]]}, but a camera of this model has {', '.join(USED_BY[kind])} "
            "only; camera_model names another"
        )
    model = "OPENCV_FISHEYE" if kind == "OPENCV_FISHEYE" else "FULL_OPENCV"
    return camera_models.checked(model, width, height, (*middle, *(used[name] for name in USED_BY[model])), where)


def _kind(values: Mapping[str, Any], where: str) -> str:
    """A key of USED_BY, as camera_model or is_fisheye says it."""
    model, is_fisheye = (values["camera_model"] or "").upper(), values["is_fisheye"]
    strange = next((name for name in NO_PINHOLE if values[name]), None)
    if strange or (model and model not in (*PERSPECTIVE, *FISHEYE)):
        said = f"{strange} is {values[strange]}" if strange else f"camera_model is {values['camera_model']!r}"
        raise UserError(f"{where}: {said}, a lens that is not read; these are: {', '.join((*PERSPECTIVE, *FISHEYE))}")
    if is_fisheye and model in PERSPECTIVE:
        raise UserError(f"{where}: is_fisheye is true, but camera_model is {values['camera_model']!r}, which is none")
    if is_fisheye or model in FISHEYE:
        return "OPENCV_FISHEYE"
    return "FULL_OPENCV" if model == "FULL_OPENCV" else "OPENCV"


def _size(values: Mapping[str, Any], image_path: Path, where: str) -> tuple[int, int]:
    if values["w"] is not None and values["h"] is not None:
        return int(values["w"]), int(values["h"])
    if values["w"] is not None or values["h"] is not None:
        raise UserError(f"{where}: of w and h one is stated; both must be, or neither")
    header = read_header(image_path)
    return header.width, header.height


def _focal_lengths(frame: Frame, file: File, width: int, height: int, where: str) -> tuple[float, float]:
    """Of the frame before the file, in pixels before the field of view; of one axis where the other has none."""
    fx = _first(focal for part in (frame, file) for focal in (part.fl_x, _seen(part.camera_angle_x, width)))
    fy = _first(focal for part in (frame, file) for focal in (part.fl_y, _seen(part.camera_angle_y, height)))
    if fx is None and fy is None:
        raise UserError(f"{where} has neither fl_x nor camera_angle_x")
    return _or(fx, fy), _or(fy, fx)


def _seen(angle: float | None, pixels: int) -> float | None:
    """The focal length, in pixels, of a field of view."""
    return None if angle is None else pixels / (2 * math.tan(angle / 2))


def _first(values: Any) -> float | None:
    return next((value for value in values if value is not None), None)


def _or(value: Any, otherwise: Any) -> Any:
    return otherwise if value is None else value
