"""PLY files of Gaussians, as every splat viewer reads them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from scene.io import compressed_ply
from scene.io.checks import finite
from scene.io.points import LITTLE_ENDIAN, read_elements, read_layout
from scene.types import GaussianArrays
from utils.errors import UserError
from utils.files import atomic_write


def property_names(sh_count: int) -> list[str]:
    """The columns of a file with `sh_count` coefficients, in the order that all tools expect."""
    rest = [f"f_rest_{i}" for i in range(3 * (sh_count - 1))]
    return (
        "x y z nx ny nz f_dc_0 f_dc_1 f_dc_2".split()
        + rest
        + "opacity scale_0 scale_1 scale_2 rot_0 rot_1 rot_2 rot_3".split()
    )


def write(path: Path, gaussians: GaussianArrays) -> None:
    """Write a binary little-endian PLY, all float32, normals 0, f_rest channel by channel."""
    count, sh_count = gaussians.shs.shape[:2]
    write_parts(path, count, sh_count, [gaussians])


def write_parts(path: Path, count: int, sh_count: int, parts: Iterable[GaussianArrays]) -> None:
    """The same for `count` Gaussians with `sh_count` coefficients that come part by part."""
    with atomic_write(path) as file:
        file.write(_header(count, sh_count))
        for part in parts:
            file.write(_rows(part))


def encode(gaussians: GaussianArrays) -> bytes:
    """The bytes of the file."""
    return _header(*gaussians.shs.shape[:2]) + _rows(gaussians)


def _header(count: int, sh_count: int) -> bytes:
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {count}"]
    header += [f"property float {name}" for name in property_names(sh_count)] + ["end_header\n"]
    return "\n".join(header).encode()


def _rows(gaussians: GaussianArrays) -> bytes:
    count, sh_count = gaussians.shs.shape[:2]
    rest = gaussians.shs[:, 1:].transpose(0, 2, 1).reshape(count, 3 * (sh_count - 1))
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
    return np.concatenate(columns, axis=1).astype("<f4").tobytes()


def oddities(path: Path) -> list[str]:
    """What in the file differs from `property_names`, a phrase each. Raises: UserError for what is not a PLY."""
    header, elements = read_layout(path)
    names = elements["vertex"].dtype.names or () if "vertex" in elements else ()
    compressed = compressed_ply.is_compressed(elements)
    usual = property_names(len([name for name in names if name.startswith("f_rest_")]) // 3 + 1)
    other = [name for name in names if name not in usual]
    missing = [name for name in usual if name not in names]
    known = {"vertex", "chunk", "sh"} if compressed else {"vertex"}
    found = [f"{header.format} instead of binary little-endian"] if header.format != LITTLE_ENDIAN else []
    found += [f"the element {name} is left aside" for name in elements if name not in known]
    if not compressed:
        kinds = sorted({str(elements["vertex"].dtype[name]) for name in usual if name in names} - {"float32"})
        found += [f"numbers of the type {', '.join(kinds)}"] if kinds else []
        found += [f"the columns {', '.join(other)} are left aside"] if other else []
        found += [f"the columns {', '.join(missing)} are missing"] if missing else []
        in_order = [name for name in usual if name in names]
        found += ["columns in another order"] if in_order != [name for name in names if name in usual] else []
    if header.trailing_bytes:
        found += [f"{header.trailing_bytes:,} bytes behind the last element are left aside"]
    return found


def read(path: Path) -> GaussianArrays:
    """Read Gaussians from a PLY of any column order, number type, with or without normals and higher SH.

    Other columns are left aside. A compressed PLY is read whatever its suffix. Rows that are not finite are dropped,
    infinite opacity logits clamped; a warning says how many.

    Raises: UserError for a file that holds no Gaussians.
    """
    elements = read_elements(path)
    if compressed_ply.is_compressed(elements):
        return compressed_ply.decode(path, elements)
    if "vertex" not in elements:
        raise UserError(f"{path} has the elements {', '.join(elements)}; it must have vertex")
    table = elements["vertex"]
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
    arrays = GaussianArrays(
        means=columns("x", "y", "z"),
        scales=columns("scale_0", "scale_1", "scale_2"),
        quats=columns("rot_0", "rot_1", "rot_2", "rot_3"),
        opacities=columns("opacity"),
        shs=np.ascontiguousarray(np.concatenate([dc[:, None], rest], axis=1)),
    )
    return finite(path, arrays)
