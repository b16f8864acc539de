"""Lens distortion, and the pinhole camera that an image has once it is undone.

The models are COLMAP's (its sensor/models.h documents them): a ray's slopes (x/z, y/z) become distorted ones, which
focal lengths and principal point turn into pixels. Only that direction is needed: each pixel of the undistorted image
asks where in the file it is.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from scene.types import CameraModel
from utils.errors import UserError

# Names of the parameters in COLMAP's order; f stands for both focal lengths.
PARAMETERS = {
    "SIMPLE_PINHOLE": "f cx cy",
    "PINHOLE": "fx fy cx cy",
    "SIMPLE_RADIAL": "f cx cy k1",
    "RADIAL": "f cx cy k1 k2",
    "OPENCV": "fx fy cx cy k1 k2 p1 p2",
    "OPENCV_FISHEYE": "fx fy cx cy k1 k2 k3 k4",
    "FULL_OPENCV": "fx fy cx cy k1 k2 p1 p2 k3 k4 k5 k6",
    "FOV": "fx fy cx cy omega",
    "SIMPLE_RADIAL_FISHEYE": "f cx cy k1",
    "RADIAL_FISHEYE": "f cx cy k1 k2",
    "THIN_PRISM_FISHEYE": "fx fy cx cy k1 k2 p1 p2 k3 k4 sx1 sy1",
}
LENGTHS = ("f", "fx", "fy", "cx", "cy")  # in pixels; all others have no unit


def parameter_count(model: str) -> int:
    return len(PARAMETERS[model].split())


def named(lens: CameraModel) -> dict[str, float]:
    """The parameters by name, fx and fy always, absent coefficients 0."""
    values = dict.fromkeys("k1 k2 k3 k4 k5 k6 p1 p2 sx1 sy1 omega".split(), 0.0)
    values |= dict(zip(PARAMETERS[lens.model].split(), lens.params, strict=True))
    if "f" in values:
        values["fx"] = values["fy"] = values.pop("f")
    return values


def is_pinhole(lens: CameraModel) -> bool:
    """Whether there is nothing to undo: no coefficient, or all of them 0."""
    p = named(lens)
    return "FISHEYE" not in lens.model and all(value == 0 for name, value in p.items() if name not in LENGTHS)


def rescaled(lens: CameraModel, width: int, height: int) -> CameraModel:
    """The same lens for an image file of another size, as in `images_4`."""
    x, y = width / lens.width, height / lens.height
    factors = {"f": (x + y) / 2, "fx": x, "cx": x, "fy": y, "cy": y}
    names = PARAMETERS[lens.model].split()
    params = tuple(value * factors.get(name, 1.0) for name, value in zip(names, lens.params, strict=True))
    return CameraModel(lens.model, width, height, params)


def distort(lens: CameraModel, slopes: np.ndarray) -> np.ndarray:
    """(..., 2) slopes x/z, y/z of rays -> (..., 2) pixels in the distorted image, COLMAP's convention."""
    p = named(lens)
    u, v = slopes[..., 0], slopes[..., 1]
    if "FISHEYE" in lens.model:
        u, v = _fisheye(lens.model, p, u, v)
    elif lens.model == "FOV":
        radius = np.hypot(u, v)
        bent = np.arctan(2 * radius * np.tan(p["omega"] / 2)) / p["omega"]
        factor = np.divide(bent, radius, out=np.ones_like(radius), where=radius > 1e-9)
        u, v = u * factor, v * factor
    else:
        r2 = u * u + v * v
        ratio = (1 + r2 * (p["k1"] + r2 * (p["k2"] + r2 * p["k3"]))) / (
            1 + r2 * (p["k4"] + r2 * (p["k5"] + r2 * p["k6"]))
        )
        u, v = u * ratio + _tangential(p, u, v), v * ratio + _tangential(_swapped(p), v, u)
    return np.stack([p["fx"] * u + p["cx"], p["fy"] * v + p["cy"]], axis=-1)


def _fisheye(model: str, p: dict[str, float], u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The angle takes the place of its tangent; polynomials in it follow."""
    radius = np.hypot(u, v)
    factor = np.divide(np.arctan(radius), radius, out=np.ones_like(radius), where=radius > 1e-9)
    u, v = u * factor, v * factor
    r2 = u * u + v * v
    ratio = 1 + r2 * (p["k1"] + r2 * (p["k2"] + r2 * (p["k3"] + r2 * p["k4"])))
    if model != "THIN_PRISM_FISHEYE":
        return u * ratio, v * ratio
    return (
        u * ratio + _tangential(p, u, v) + p["sx1"] * r2,
        v * ratio + _tangential(_swapped(p), v, u) + p["sy1"] * r2,
    )


def _tangential(p: dict[str, float], u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return 2 * p["p1"] * u * v + p["p2"] * (3 * u * u + v * v)


def _swapped(p: dict[str, float]) -> dict[str, float]:
    return {"p1": p["p2"], "p2": p["p1"]}


@lru_cache(maxsize=256)
def pinhole(lens: CameraModel) -> tuple[float, float, float, float]:
    """fx, fy, cx, cy of the undistorted image, which has the file's size: the widest view that shows no blank border.

    Raises: UserError where no such view exists.
    """
    p = named(lens)
    low, high = 0.25, 4.0  # factors on the focal lengths; a longer one sees less
    if is_pinhole(lens):
        return p["fx"], p["fy"], p["cx"], p["cy"]
    if not _is_filled(lens, high):
        raise UserError(f"the camera model {lens.model} with parameters {lens.params} has no usable pinhole view")
    while high / low > 1.0005:
        middle = (low * high) ** 0.5
        low, high = (low, middle) if _is_filled(lens, middle) else (middle, high)
    return p["fx"] * high, p["fy"] * high, p["cx"], p["cy"]


def _is_filled(lens: CameraModel, zoom: float) -> bool:
    """Whether the border of the undistorted image lies inside the distorted one, and in the right order."""
    p = named(lens)
    x, y = np.linspace(0, lens.width, 65), np.linspace(0, lens.height, 65)
    edges = [(x, np.zeros(65)), (x, np.full(65, lens.height)), (np.zeros(65), y), (np.full(65, lens.width), y)]
    for edge_x, edge_y in edges:
        slopes = np.stack([(edge_x - p["cx"]) / (zoom * p["fx"]), (edge_y - p["cy"]) / (zoom * p["fy"])], axis=-1)
        # Halfway to the border must be halfway in the file as well: polynomials fold back outside their range.
        far, near = distort(lens, slopes), distort(lens, 0.9 * slopes)
        inside = (far >= 0).all() and (far[:, 0] <= lens.width).all() and (far[:, 1] <= lens.height).all()
        center = np.array([p["cx"], p["cy"]])
        if not inside or (np.abs(near - center).sum(-1) > np.abs(far - center).sum(-1)).any():
            return False
    return True


@lru_cache(maxsize=8)
def sampling_map(lens: CameraModel) -> tuple[np.ndarray, np.ndarray]:
    """Where in the file each pixel of the undistorted image is: x and y, (H, W) float32, as cv2.remap counts them."""
    fx, fy, cx, cy = pinhole(lens)
    columns, rows = np.meshgrid(np.arange(lens.width) + 0.5, np.arange(lens.height) + 0.5)
    pixels = distort(lens, np.stack([(columns - cx) / fx, (rows - cy) / fy], axis=-1)) - 0.5
    return pixels[..., 0].astype(np.float32), pixels[..., 1].astype(np.float32)


def checked(model: str, width: int, height: int, params: tuple[float, ...], where: str) -> CameraModel:
    """A lens from what a file says of it. Raises: UserError, naming the file, for what is no camera."""
    if model not in PARAMETERS:
        raise UserError(f"{where}: camera model {model!r} is not one of {', '.join(PARAMETERS)}")
    lens = CameraModel(model, width, height, params)
    if len(params) != parameter_count(model):
        raise UserError(f"{where}: {model} has {parameter_count(model)} parameters, not {len(params)}")
    p = named(lens)
    if width < 1 or height < 1 or not np.isfinite(params).all() or p["fx"] <= 0 or p["fy"] <= 0:
        raise UserError(f"{where}: a camera of {width}×{height} pixels with parameters {params} cannot be")
    return lens
