"""SOG, PlayCanvas' format for the web: a zip of lossless WebP pictures, a pixel for each Gaussian, and meta.json.

Positions have 16 bits of sign(x) · ln(|x| + 1); log scales and colors are bytes into tables of 256 values, quaternions
three bytes and the index of the largest component, coefficients above degree 0 rows of a palette. It is read here,
in the versions 1 and 2, and written by the library gaussforge, which finds the tables and the palette.
https://developer.playcanvas.com/user-manual/gaussian-splatting/formats/sog/
"""

from __future__ import annotations

import dataclasses
import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta, Struct
from PIL import Image, UnidentifiedImageError

from scene.io import ply
from scene.io.checks import check_growth, finite
from scene.io.packing import ROOT_HALF, from_smallest_three, logits_of
from scene.spherical_harmonics import SH_COUNTS
from scene.types import GaussianArrays
from utils.errors import UserError
from utils.files import atomic_write

# Whatever a damaged archive makes zipfile raise; it seeks to places that no file has.
DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError, OSError)
MAX_META = 2**20  # bytes of meta.json
PALETTE_COLUMNS = 64  # entries side by side in the picture of the palette
Numbers = Annotated[list[float], Meta(max_length=256)]
Files = Annotated[list[str], Meta(min_length=1, max_length=2)]
Count = Annotated[int, Meta(ge=0, le=2**28)]


class Part(Struct):
    """An attribute: its pictures, and how their bytes become numbers."""

    files: Files
    codebook: Numbers = []
    mins: Numbers | float = []
    maxs: Numbers | float = []
    shape: list[Count] = []  # version 1: of the attribute
    count: Count = 0  # entries of the palette
    bands: Annotated[int, Meta(ge=1, le=3)] | None = None  # degree of the palette; version 1 has the picture's width


class Contents(Struct):
    """meta.json."""

    means: Part
    scales: Part
    quats: Part
    sh0: Part
    shN: Part | None = None
    version: int = 1
    count: Count | None = None


def write(path: Path, gaussians: GaussianArrays) -> None:
    """Raises: UserError without the library, or for what it refuses."""
    try:
        import gaussforge
    except ImportError:
        raise UserError(f"{path}: SOG is written by the library gaussforge: pip install gaussforge") from None
    unit = gaussians.quats / np.linalg.norm(gaussians.quats, axis=1, keepdims=True)  # the library takes them as such
    data = ply.encode(dataclasses.replace(gaussians, quats=unit))
    done = gaussforge.GaussForge().convert(data, "ply", "sog")
    if "error" in done:
        raise UserError(f"{path} cannot be written by gaussforge: {done['error']}")
    with atomic_write(path) as file:
        file.write(done["data"])


def read(path: Path) -> GaussianArrays:
    """Raises: UserError for another format or version, and damage."""
    if not path.is_file():
        raise UserError(f"{path} is not there")
    try:
        with zipfile.ZipFile(path) as archive:
            return finite(path, _decode(path, archive))
    except UserError:
        raise
    except DAMAGE as error:
        raise UserError(f"{path} is not a readable SOG file: {error}") from None


def _decode(path: Path, archive: zipfile.ZipFile) -> GaussianArrays:
    meta = _meta(path, archive)
    count = meta.count if meta.count is not None else (meta.means.shape or [0])[0]

    def pixels(part: Part, index: int = 0, size: int = count) -> np.ndarray:
        """(size, 4) uint8, row by row."""
        picture = _picture(path, archive, part.files, index)
        if picture.shape[0] * picture.shape[1] < size:
            raise UserError(f"{path}: {part.files[index]} has fewer pixels than Gaussians, {size:,}")
        return picture.reshape(-1, 4)[:size]

    low, high = (pixels(meta.means, index)[:, :3].astype(np.float64) for index in (0, 1))
    bounds = _range(path, meta.means, 3)
    logarithms = bounds[0] + (bounds[1] - bounds[0]) * (low + 256 * high) / 65535
    quats, sh0 = pixels(meta.quats), pixels(meta.sh0)
    scales, colors, opacities = _tables(path, meta, pixels(meta.scales), sh0)
    with np.errstate(over="ignore", invalid="ignore"):
        means = np.sign(logarithms) * np.expm1(np.abs(logarithms))
        return GaussianArrays(
            means=means.astype(np.float32),
            scales=scales.astype(np.float32),
            quats=_quats(quats),
            opacities=opacities.astype(np.float32)[:, None],
            shs=np.concatenate([colors[:, None], _rest(path, archive, meta, pixels)], axis=1).astype(np.float32),
        )


def _meta(path: Path, archive: zipfile.ZipFile) -> Contents:
    try:
        meta = msgspec.json.decode(_entry(path, archive, "meta.json", MAX_META), type=Contents)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{path}: its meta.json is not that of SOG: {error}") from None
    if meta.version not in (1, 2):
        raise UserError(f"{path} is SOG version {meta.version}; the versions 1 and 2 are read")
    return meta


def _entry(path: Path, archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """A file of the archive, of `limit` bytes at most, whatever the archive says of it."""
    if name not in archive.namelist():
        raise UserError(f"{path} is not a SOG file: {name} is missing in it")
    if archive.getinfo(name).compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UserError(f"{path}: {name} is packed by another method than zip's own")
    with archive.open(name) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise UserError(f"{path}: {name} has over {limit:,} bytes")
    return data


def _picture(path: Path, archive: zipfile.ZipFile, files: list[str], index: int) -> np.ndarray:
    """(H, W, 4) uint8."""
    size = path.stat().st_size
    if index >= len(files):
        raise UserError(f"{path}: meta.json names {len(files)} pictures where {index + 1} are needed")
    data = _entry(path, archive, files[index], 2 * size + 1024)
    try:
        with Image.open(io.BytesIO(data), formats=("WEBP", "PNG")) as image:
            check_growth(path, size, 4 * image.width * image.height)
            return np.asarray(image.convert("RGBA"))
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path}: {files[index]} is not a readable picture: {error}") from None


def _range(path: Path, part: Part, width: int) -> tuple[np.ndarray, np.ndarray]:
    """(width,) least and largest number of an attribute."""
    low, high = np.atleast_1d(part.mins), np.atleast_1d(part.maxs)
    if len(low) != width or len(high) != width:
        raise UserError(f"{path}: meta.json has {len(low)} mins and {len(high)} maxs of {part.files[0]}, not {width}")
    return low, high


def _codebook(path: Path, part: Part) -> np.ndarray:
    if len(part.codebook) != 256:
        raise UserError(f"{path}: the codebook of {part.files[0]} has {len(part.codebook)} values, not 256")
    return np.array(part.codebook)


def _tables(path: Path, meta: Contents, scales: np.ndarray, sh0: np.ndarray) -> tuple[np.ndarray, ...]:
    """Log scales, coefficients of degree 0 and logits. Version 1 spans a range where version 2 has a table."""
    if meta.version == 2:
        return (
            _codebook(path, meta.scales)[scales[:, :3]],
            _codebook(path, meta.sh0)[sh0[:, :3]],
            logits_of(sh0[:, 3]),
        )
    low, high = _range(path, meta.scales, 3)
    least, most = _range(path, meta.sh0, 4)
    colors = least + (most - least) * (sh0 / 255)
    return low + (high - low) * (scales[:, :3] / 255), colors[:, :3], colors[:, 3]


def _quats(pixels: np.ndarray) -> np.ndarray:
    """(N, 4) float32; the last byte is 252 plus the index of the largest component, anything else no rotation."""
    largest = pixels[:, 3].astype(np.int64) - 252
    quats = from_smallest_three(np.maximum(largest, 0), (pixels[:, :3] / 127.5 - 1) * ROOT_HALF)
    return np.where(largest[:, None] >= 0, quats, np.array([1, 0, 0, 0], np.float32))


def _rest(
    path: Path, archive: zipfile.ZipFile, meta: Contents, pixels: Callable[[Part, int], np.ndarray]
) -> np.ndarray:
    """(N, K − 1, 3) coefficients above degree 0."""
    part = meta.shN
    labels = pixels(meta.sh0, 0) if part is None else pixels(part, 1)
    if part is None:
        return np.empty((len(labels), 0, 3))
    palette = _picture(path, archive, part.files, 0)
    widths = {PALETTE_COLUMNS * (SH_COUNTS[degree] - 1): degree for degree in (1, 2, 3)}
    degree = widths.get(palette.shape[1])
    if degree is None or part.bands not in (None, degree):
        raise UserError(f"{path}: {part.files[0]} is {palette.shape[1]} pixels wide, no palette of degree {part.bands}")
    entries = palette[..., :3].reshape(-1, SH_COUNTS[degree] - 1, 3)
    index = labels[:, 0].astype(np.int64) + 256 * labels[:, 1].astype(np.int64)
    if len(index) and index.max() >= len(entries):
        raise UserError(f"{path}: a Gaussian has entry {index.max()} of a palette of {len(entries)}")
    return _sh_table(path, meta.version, part)[entries[index]]


def _sh_table(path: Path, version: int, part: Part) -> np.ndarray:
    """(256,) the number that each byte of the palette stands for."""
    if version == 2:
        return _codebook(path, part)
    low, high = _range(path, part, 1)
    table: Any = low + (high - low) * np.arange(256) / 255
    return np.asarray(table)
