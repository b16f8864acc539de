"""PLY files of colored points, and the tables that every PLY file has."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scene.spherical_harmonics import SH_DC
from scene.types import PointCloud
from utils.errors import UserError
from utils.files import atomic_write

LITTLE_ENDIAN = "binary little-endian"
OF_GAUSSIANS = ("f_dc_0", "f_dc_1", "f_dc_2")  # spherical harmonics of degree 0
COLORS = (("red", "green", "blue"), ("r", "g", "b"), ("diffuse_red", "diffuse_green", "diffuse_blue"), OF_GAUSSIANS)
OVERSHOOT = 2.0  # up to which colors are taken to be of [0, 1]


def write_points(path: Path, points: PointCloud) -> None:
    """Write x y z and 8-bit red green blue."""
    table = np.empty(len(points), dtype=[(n, "<f4") for n in "xyz"] + [(n, "u1") for n in ("red", "green", "blue")])
    for axis, name in enumerate("xyz"):
        table[name] = points.positions[:, axis]
    for channel, name in enumerate(("red", "green", "blue")):
        table[name] = np.clip(np.round(points.colors[:, channel] * 255), 0, 255)
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(points)}"]
    header += [f"property float {name}" for name in "xyz"]
    header += [f"property uchar {name}" for name in ("red", "green", "blue")] + ["end_header\n"]
    with atomic_write(path) as file:
        file.write("\n".join(header).encode())
        file.write(table.tobytes())


def read_points(path: Path) -> PointCloud:
    """Read points; gray where they have no color. Raises: UserError for a file without x y z."""
    table = read_vertices(path)
    names = table.dtype.names or ()
    if not {"x", "y", "z"} <= set(names):
        raise UserError(f"{path}: its vertices have {', '.join(names)}; x, y and z are needed")
    positions = np.stack([table[name] for name in "xyz"], axis=1)
    if positions.dtype != np.float64:
        positions = positions.astype(np.float32)
    finite = np.isfinite(positions).all(axis=1)
    return PointCloud(positions[finite], _colors(table, path)[finite])


def _colors(table: np.ndarray, path: Path) -> np.ndarray:
    """(P, 3) float32 in [0, 1], by the first names of a color that the vertices have; gray where they have none."""
    names = table.dtype.names or ()
    channels = next((channels for channels in COLORS if set(channels) <= set(names)), None)
    if channels is None:
        others = ", ".join(name for name in names if name not in "xyz") or "only x, y, z"
        warnings.warn(f"{path}: its points have no color ({others}): they start gray", stacklevel=3)
        return np.full((len(table), 3), 0.5, np.float32)
    values = np.stack([table[name] for name in channels], axis=1).astype(np.float32)
    if channels == OF_GAUSSIANS:
        colors = 0.5 + np.float32(SH_DC) * values
    else:
        colors = values / np.float32(_full_scale(values, table[channels[0]].dtype))
    return np.clip(np.nan_to_num(colors), 0, 1)


def _full_scale(colors: np.ndarray, dtype: np.dtype) -> float:
    """The number that stands for full intensity: floats may be in [0, 1], a little over it where they were filtered or
    are linear, or in [0, 255]; wide integers may hold bytes."""
    largest = float(np.max(colors, initial=0.0, where=np.isfinite(colors)))
    if dtype.kind == "f" and largest <= OVERSHOOT:
        return 1.0
    return 255.0 if largest <= 255 else 65535.0


def read_vertices(path: Path) -> np.ndarray:
    """The table of the element `vertex`. Bytes behind the last element are nobody's, and ignored."""
    elements = read_elements(path)
    if "vertex" not in elements:
        raise UserError(f"{path} has the elements {', '.join(elements)}; it must have vertex")
    return elements["vertex"]


def read_elements(path: Path) -> dict[str, np.ndarray]:
    """The tables of all elements, by name. Raises: UserError for what is not a PLY, or shorter than its header says."""
    return read_layout(path)[1]


class Layout(NamedTuple):
    """How a PLY file has its tables."""

    format: str
    trailing_bytes: int  # behind the last element; 0 in text, or where there are lists


def read_layout(path: Path) -> tuple[Layout, dict[str, np.ndarray]]:
    """The same, with how the file has them."""
    if not path.is_file():
        raise UserError(f"{path} is not there")
    try:
        from plyfile import PlyData, PlyParseError  # here, since most scenes and all measuring go without
    except ImportError:
        raise UserError(f"{path}: reading PLY files needs plyfile: pip install plyfile") from None
    try:
        file = PlyData.read(str(path))
        elements = {element.name: np.asarray(element.data) for element in file.elements}
        size = len(file.header) + 1 + sum(table.nbytes for table in elements.values())
        fixed = not file.text and not any(table.dtype.hasobject for table in elements.values())
        name = "text" if file.text else "binary big-endian" if file.byte_order == ">" else LITTLE_ENDIAN
        return Layout(name, path.stat().st_size - size if fixed else 0), elements
    except (PlyParseError, ValueError, EOFError, ArithmeticError, LookupError, MemoryError, TypeError) as error:
        raise UserError(f"{path} is not a readable PLY file: {error}") from None
