"""Files of Gaussians, by suffix.

A format is a module with the names of `scene.io.base.Format`, and an entry of FORMATS. One that is only written, as a
page is, raises a UserError in its `read`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from scene.io import compressed_ply, glb, ply, sog, splat, spz, viewer_html
from scene.io.base import Format
from scene.types import GaussianArrays
from utils.errors import UserError

FORMATS: dict[str, Format] = {  # suffix, in lower case -> format
    ".ply": ply,
    ".compressed.ply": compressed_ply,
    ".splat": splat,
    ".spz": spz,
    ".sog": sog,
    ".glb": glb,
    ".html": viewer_html,
}


def write_gaussians(path: Path, gaussians: GaussianArrays) -> None:
    """Write in the format of the suffix, atomically. Raises: UserError for an unknown suffix."""
    format_of(path).write(path, gaussians)


def write_ply_of(parts: Iterable[GaussianArrays], path: Path, count: int, sh_count: int) -> None:
    """Write a PLY of `count` Gaussians with `sh_count` coefficients, which come part by part, atomically."""
    ply.write_parts(path, count, sh_count, parts)


def read_gaussians(path: Path) -> GaussianArrays:
    """Read in the format of the suffix. Raises: UserError for an unknown suffix, and for a file without Gaussians."""
    return format_of(path).read(path)


def format_of(path: Path) -> Format:
    """The format that the suffix names, in any case. Raises: UserError for an unknown one."""
    return FORMATS[suffix_of(path)]


def oddities(path: Path) -> list[str]:
    """What in a file is not as its format usually has it, and is left aside or filled in; only PLY files can differ."""
    return ply.oddities(path) if path.name.lower().endswith(".ply") else []


def suffix_of(path: Path) -> str:
    """The longest suffix of a format that the name ends in. Raises: UserError for an unknown one."""
    known = [suffix for suffix in FORMATS if path.name.lower().endswith(suffix)]
    if not known:
        found = f"the suffix {path.suffix}" if path.suffix else "no suffix"
        raise UserError(f"{path} has {found}; Gaussians are read and written as {', '.join(sorted(FORMATS))}")
    return max(known, key=len)
