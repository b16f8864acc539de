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
    "RAD_TAN_THIN_PRISM_FISHEYE": "fx fy cx cy k0 k1 k2 k3 k4 k5 p0 p1 s0 s1 s2 s3",
    "SIMPLE_DIVISION": "f cx cy k",
    "DIVISION": "fx fy cx cy k",
    "SIMPLE_FISHEYE": "f cx cy",
    "FISHEYE": "fx fy cx cy",
    "EUCM": "fx fy cx cy alpha beta",
}
PANORAMA = "EQUIRECTANGULAR"  # COLMAP's one model that no pinhole image can show
LARGEST = 1e7  # pixels, of a focal length or a size
SHORTEST = 1e-3  # of the larger side: shorter focal lengths see 179.8 degrees and more, in damaged files only
LENGTHS = ("f", "fx", "fy", "cx", "cy")  # in pixels; all others have no unit


def parameter_count(model: str, where: str) -> int:
    """Raises: UserError, which `where` begins, for a model that is not read."""
    if model == PANORAMA:
        raise UserError(f"{where}: the camera is {PANORAMA}, which no pinhole image shows; cut the photos into views")
    if model not in PARAMETERS:
        raise UserError(f"{where}: camera model {model!r} is not one of {', '.join(PARAMETERS)}")
    return len(PARAMETERS[model].split())


def named(lens: CameraModel) -> dict[str, float]:
    """The parameters by name, fx and fy always, absent coefficients 0."""
    values = dict.fromkeys("k k0 k1 k2 k3 k4 k5 k6 p0 p1 p2 sx1 sy1 s0 s1 s2 s3 omega alpha beta".split(), 0.0)
    values |= dict(zip(PARAMETERS[lens.model].split(), lens.params, strict=True))
    if "f" in values:
        values["fx"] = values["fy"] = values.pop("f")
    return values


def is_pinhole(lens: CameraModel) -> bool:
    """Whether there is nothing to undo: no coefficient, or all of them 0."""
    p = named(lens)
    if lens.model == "EUCM":
        return p["alpha"] == 0  # whatever beta is
    return not is_fisheye(lens) and all(value == 0 for name, value in p.items() if name not in LENGTHS)


def is_fisheye(lens: CameraModel) -> bool:
    """Whether the lens maps angles, not their tangents, to the image."""
    return "FISHEYE" in lens.model


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
    if is_fisheye(lens):
        u, v = _fisheye(lens.model, p, u, v)
    elif "DIVISION" in lens.model:
        with np.errstate(invalid="ignore"):  # NaN for rays that this lens does not take
            factor = 2 / (1 + np.sqrt(1 - 4 * p["k"] * (u * u + v * v)))
        u, v = u * factor, v * factor
    elif lens.model == "EUCM":
        factor = 1 / (p["alpha"] * np.sqrt(p["beta"] * (u * u + v * v) + 1) + 1 - p["alpha"])
        u, v = u * factor, v * factor
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
    if model == "RAD_TAN_THIN_PRISM_FISHEYE":
        return _thin_prism(p, u, v, r2)
    ratio = 1 + r2 * (p["k1"] + r2 * (p["k2"] + r2 * (p["k3"] + r2 * p["k4"])))
    if model != "THIN_PRISM_FISHEYE":
        return u * ratio, v * ratio
    return (
        u * ratio + _tangential(p, u, v) + p["sx1"] * r2,
        v * ratio + _tangential(_swapped(p), v, u) + p["sy1"] * r2,
    )


def _thin_prism(p: dict[str, float], u: np.ndarray, v: np.ndarray, r2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the model with six radial coefficients, whose other terms follow the radial ones instead of being added."""
    ratio = 1 + r2 * np.polynomial.polynomial.polyval(r2, [p[f"k{n}"] for n in range(6)])
    u, v = u * ratio, v * ratio
    r2 = u * u + v * v
    tangential = {"p1": p["p1"], "p2": p["p0"]}  # counted from 0 here, and the other way round
    return (
        u + _tangential(tangential, u, v) + r2 * (p["s0"] + r2 * p["s1"]),
        v + _tangential(_swapped(tangential), v, u) + r2 * (p["s2"] + r2 * p["s3"]),
    )


def _tangential(p: dict[str, float], u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return 2 * p["p1"] * u * v + p["p2"] * (3 * u * u + v * v)


def _swapped(p: dict[str, float]) -> dict[str, float]:
    return {"p1": p["p2"], "p2": p["p1"]}


# ---- the pinhole camera

Intrinsics = tuple[float, float, float, float]  # fx, fy, cx, cy

ZOOMS = 0.25, 4.0  # the factors on the focal lengths that are tried; a longer one sees less
WIDEST = 0.8  # the least of a lens that is not made to be wide


@lru_cache(maxsize=256)
def pinhole(lens: CameraModel) -> Intrinsics:
    """fx, fy, cx, cy of the undistorted image, which has the file's size: the widest view that shows no blank border,
    in which the middle of a wide lens keeps its focal length. What such a lens sees beyond it is cropped.

    Raises: UserError where no such view exists.
    """
    p = named(lens)
    if is_pinhole(lens):
        return p["fx"], p["fy"], p["cx"], p["cy"]
    low, high = ZOOMS
    if not _is_filled(lens, _view(lens, high)):
        raise UserError(f"the camera model {lens.model} with parameters {lens.params} has no usable pinhole view")
    while high / low > 1.0005:
        middle = (low * high) ** 0.5
        low, high = (low, middle) if _is_filled(lens, _view(lens, middle)) else (middle, high)
    return _view(lens, max(high, 1.0 if is_wide(lens) else WIDEST))


def is_wide(lens: CameraModel) -> bool:
    """Whether the lens may see more than a pinhole image can show without making its middle tiny."""
    return is_fisheye(lens) or "DIVISION" in lens.model or lens.model in ("FOV", "EUCM")


def shown_share(lens: CameraModel) -> float:
    """How much of the file's area the undistorted image shows, in [0, 1]."""
    x, y = np.concatenate(_edges(lens, pinhole(lens))).T
    area = 0.5 * abs(float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))))
    return min(1.0, area / (lens.width * lens.height))


def _view(lens: CameraModel, zoom: float) -> Intrinsics:
    """Zoomed about the principal point, or, in the crop of a larger picture that lies beside it, about the middle."""
    p = named(lens)
    fx, fy = zoom * p["fx"], zoom * p["fy"]
    if 0 <= p["cx"] <= lens.width and 0 <= p["cy"] <= lens.height:
        return fx, fy, p["cx"], p["cy"]
    x, y = _middle_ray(lens)
    return fx, fy, lens.width / 2 - fx * x, lens.height / 2 - fy * y


@lru_cache(maxsize=256)
def _middle_ray(lens: CameraModel) -> tuple[float, float]:
    """The slopes of the ray that the middle of the file shows, by iteration from those of a pinhole camera."""
    p = named(lens)
    pixel, focal = np.array([lens.width / 2, lens.height / 2]), np.array([p["fx"], p["fy"]])
    slopes = (pixel - (p["cx"], p["cy"])) / focal
    for _ in range(50):
        slopes = slopes + (pixel - distort(lens, slopes)) / focal
    return float(slopes[0]), float(slopes[1])


def _is_filled(lens: CameraModel, view: Intrinsics) -> bool:
    """Whether the border of the undistorted image lies inside the distorted one, and in the right order."""
    p = named(lens)
    center = np.array([p["cx"], p["cy"]])
    # Nearly as far as the border must be nearly as far in the file as well: polynomials fold back outside their range.
    for far, near in zip(_edges(lens, view), _edges(lens, view, 0.9), strict=True):
        inside = (far >= 0).all() and (far[:, 0] <= lens.width).all() and (far[:, 1] <= lens.height).all()
        if not inside or (np.abs(near - center).sum(-1) > np.abs(far - center).sum(-1)).any():
            return False
    return True


def _edges(lens: CameraModel, view: Intrinsics, factor: float = 1.0) -> list[np.ndarray]:
    """Where in the file the four edges of the undistorted image are, (65, 2) pixels each, one after the other; `factor`
    is on the slopes of their rays."""
    fx, fy, cx, cy = view
    x, y = np.linspace(0, lens.width, 65), np.linspace(0, lens.height, 65)
    right, bottom = np.full(65, lens.width), np.full(65, lens.height)
    edges = [(x, 0 * x), (right, y), (x[::-1], bottom), (0 * y, y[::-1])]
    return [distort(lens, factor * np.stack([(u - cx) / fx, (v - cy) / fy], axis=-1)) for u, v in edges]


@lru_cache(maxsize=8)
def sampling_map(lens: CameraModel, reduced: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Where in the file each pixel of the undistorted image is: x and y, (H, W) float32, as cv2.remap counts them.

    `reduced`: pixels of file and image are that many of the lens's, along a side; the last ones may be cut.
    """
    fx, fy, cx, cy = pinhole(lens)
    across, down = (reduced * (np.arange(-(-size // reduced)) + 0.5) for size in (lens.width, lens.height))
    columns, rows = np.meshgrid(across, down)
    pixels = distort(lens, np.stack([(columns - cx) / fx, (rows - cy) / fy], axis=-1)) / reduced - 0.5
    return pixels[..., 0].astype(np.float32), pixels[..., 1].astype(np.float32)


def checked(model: str, width: int, height: int, params: tuple[float, ...], where: str) -> CameraModel:
    """A lens from what a file says of it. Raises: UserError, naming the file, for what is no camera."""
    count = parameter_count(model, where)
    lens = CameraModel(model, width, height, params)
    if len(params) != count:
        raise UserError(f"{where}: {model} has {count} parameters, not {len(params)}")
    p = named(lens)
    shortest = SHORTEST * max(width, height)
    sized = 1 <= width <= LARGEST and 1 <= height <= LARGEST
    if (
        not sized
        or not np.isfinite(params).all()
        or not min(p["fx"], p["fy"]) >= shortest
        or np.abs(params).max() > LARGEST
    ):
        raise UserError(f"{where}: a camera of {width}×{height} pixels with parameters {params} cannot be")
    return lens
