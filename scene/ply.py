"""PLY files: Gaussians as every splat viewer reads them, and coloured points."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from plyfile import PlyData, PlyParseError

from scene.types import PointCloud
from utils.errors import UserError
from utils.files import atomic_write

MAX_LOGIT = 16.0  # what an infinite opacity logit (an 8-bit alpha of 0 or 255) becomes


@dataclass(frozen=True)
class GaussianArrays:
    """Raw parameters, float32: what the optimizer moves and a PLY holds."""

    means: np.ndarray  # (N, 3) world units
    scales: np.ndarray  # (N, 3) natural logarithms
    quats: np.ndarray  # (N, 4) w x y z
    opacities: np.ndarray  # (N, 1) logits
    shs: np.ndarray  # (N, K, 3), K = (degree + 1)²


def property_names(sh_count: int) -> list[str]:
    """The columns of a file with `sh_count` coefficients, in the order that all tools expect."""
    rest = [f"f_rest_{i}" for i in range(3 * (sh_count - 1))]
    return (
        "x y z nx ny nz f_dc_0 f_dc_1 f_dc_2".split()
        + rest
        + "opacity scale_0 scale_1 scale_2 rot_0 rot_1 rot_2 rot_3".split()
    )


def write_gaussians(path: Path, gaussians: GaussianArrays) -> None:
    """Write a binary little-endian PLY, all float32, normals 0, f_rest channel by channel."""
    count, sh_count = gaussians.shs.shape[:2]
    rest = gaussians.shs[:, 1:].transpose(0, 2, 1).reshape(count, -1)
    normals = np.zeros((count, 3), np.float32)
    columns = [
        gaussians.means,
        normals,
        gaussians.shs[:, 0],
        rest,
        gaussians.opacities,
        gaussians.scales,
        gaussians.quats,
    ]
    names = property_names(sh_count)
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {count}"]
    header += [f"property float {name}" for name in names] + ["end_header\n"]
    with atomic_write(path) as file:
        file.write("\n".join(header).encode())
        file.write(np.concatenate(columns, axis=1).astype("<f4").tobytes())


def read_gaussians(path: Path) -> GaussianArrays:
    """Read Gaussians from a PLY of any column order, number type, with or without normals and higher SH.

    Rows that are not finite are dropped, infinite opacity logits clamped; a warning says how many.

    Raises: UserError for a file that holds no Gaussians.
    """
    table = _read_vertices(path)
    names = list(table.dtype.names or ())
    rest_names = sorted((name for name in names if re.fullmatch(r"f_rest_\d+", name)), key=lambda name: int(name[7:]))
    missing = [name for name in property_names(1) if name not in names and name not in ("nx", "ny", "nz")]
    if missing:
        raise UserError(f"{path} holds no Gaussians: its vertices lack {', '.join(missing)}")
    sh_count = len(rest_names) // 3 + 1
    if len(rest_names) not in (0, 9, 24, 45):
        raise UserError(
            f"{path} has {len(rest_names)} f_rest columns; 0, 9, 24 or 45 make spherical harmonics of degree 0 to 3"
        )

    def columns(*wanted: str) -> np.ndarray:
        return (
            np.stack([table[name].astype(np.float32) for name in wanted], axis=1)
            if wanted
            else np.empty((len(table), 0))
        )

    dc = columns("f_dc_0", "f_dc_1", "f_dc_2")
    rest = columns(*rest_names).astype(np.float32).reshape(len(table), 3, sh_count - 1).transpose(0, 2, 1)
    opacities = columns("opacity")
    arrays = GaussianArrays(
        means=columns("x", "y", "z"),
        scales=columns("scale_0", "scale_1", "scale_2"),
        quats=columns("rot_0", "rot_1", "rot_2", "rot_3"),
        opacities=np.where(np.isinf(opacities), np.copysign(np.float32(MAX_LOGIT), opacities), opacities),
        shs=np.ascontiguousarray(np.concatenate([dc[:, None], rest], axis=1)),
    )
    _warn(path, "infinite opacities clamped", int(np.isinf(opacities).sum()))
    return _finite_rows(path, arrays)


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
    """Read points; grey where they have no colour. Raises: UserError for a file without x y z."""
    table = _read_vertices(path)
    names = table.dtype.names or ()
    if not {"x", "y", "z"} <= set(names):
        raise UserError(f"{path}: its vertices have {', '.join(names)}; x, y and z are needed")
    positions = np.stack([table[name] for name in "xyz"], axis=1).astype(np.float32)
    colors = np.full_like(positions, 0.5)
    if {"red", "green", "blue"} <= set(names):
        colors = np.stack([table[name] for name in ("red", "green", "blue")], axis=1).astype(np.float32)
        colors /= 1 if table["red"].dtype.kind == "f" else 255
    finite = np.isfinite(positions).all(axis=1)
    return PointCloud(positions[finite], colors[finite])


def _read_vertices(path: Path) -> np.ndarray:
    """The table of the element `vertex`. Bytes behind the last element are nobody's, and ignored."""
    if not path.is_file():
        raise UserError(f"{path} is not there")
    try:
        elements = {element.name: element.data for element in PlyData.read(str(path)).elements}
    except (PlyParseError, ValueError, UnicodeDecodeError, EOFError) as error:
        raise UserError(f"{path} is not a readable PLY file: {error}") from None
    if "vertex" not in elements:
        raise UserError(f"{path} has the elements {', '.join(elements)}; it must have vertex")
    return np.asarray(elements["vertex"])


def _finite_rows(path: Path, arrays: GaussianArrays) -> GaussianArrays:
    values = vars(arrays)
    finite = np.ones(len(arrays.means), dtype=bool)
    for value in values.values():
        finite &= np.isfinite(value.reshape(len(value), -1)).all(axis=1)
    _warn(path, "Gaussians with NaN or infinite values dropped", int((~finite).sum()))
    return arrays if finite.all() else GaussianArrays(**{name: value[finite] for name, value in values.items()})


def _warn(path: Path, what: str, count: int) -> None:
    if count:
        warnings.warn(f"{path}: {count} {what}", stacklevel=3)
