"""Depth and confidence maps in Record3D's .r3d files: bare numbers, row by row, packed by LZFSE.

`rgbd/0.depth` holds float32 meters, `rgbd/0.conf` bytes: 0, 1 or 2, or none at all where no LiDAR was used
(github.com/marek-simonik/record3d, issues 7, 81 and 93). Neither says its shape, which is that of the photo
`rgbd/0.jpg`. The library lzfse unpacks them. It sets no limit to what comes out, so the lengths that the blocks of a
stream state are added up first (lzfse_internal.h of github.com/lzfse/lzfse).
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from scene.image_header import read_header
from utils.errors import UserError

TYPES: dict[str, np.dtype] = {".depth": np.dtype("<f4"), ".conf": np.dtype("u1")}  # by suffix
INSTALL = "pip install lzfse"
MAX_NUMBERS = 2**24  # of a map: sensors of phones have a million at most
END = b"bvx$"


def require_library(path: Path) -> None:
    """Raises: UserError, naming the command that installs what unpacks the map at `path`, where it is of this kind."""
    if path.suffix.lower() not in TYPES:
        return
    try:
        import lzfse  # noqa: F401
    except ImportError:
        raise UserError(
            f"{path} is packed by LZFSE, which the library lzfse unpacks: {INSTALL}; -d none leaves depth alone"
        ) from None


def read_r3d(path: Path) -> np.ndarray:
    """(H, W) float32 of a .depth, uint8 of a .conf; (0, 0) of one that holds nothing.

    Raises: UserError for a file that is damaged or cut short, and without the library.
    """
    require_library(path)
    import lzfse

    data, kind = _bytes_of(path), TYPES[path.suffix.lower()]
    width, height = _size(path, data)
    if width == 0:
        return np.empty((0, 0), kind)
    try:
        unpacked = lzfse.decompress(data)
    except (lzfse.error, ValueError, MemoryError) as error:
        raise UserError(f"the map {path} is damaged: {error}") from None
    if len(unpacked) != width * height * kind.itemsize:
        raise UserError(f"the map {path} is damaged: it holds {len(unpacked):,} bytes, and says another number")
    return np.frombuffer(unpacked, kind).reshape(height, width)


def read_r3d_size(path: Path) -> tuple[int, int]:
    """Width and height; (0, 0) of a map that holds nothing. Raises: UserError for a damaged file."""
    return _size(path, _bytes_of(path))


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"the map {path} cannot be read: {error}") from None


def _size(path: Path, data: bytes) -> tuple[int, int]:
    """Width and height of as many numbers as the stream has, in the shape of the photo beside it."""
    try:
        length = _unpacked_length(data)
    except (struct.error, ValueError) as error:
        raise UserError(f"the map {path} is damaged or cut short: {error}") from None
    count, rest = divmod(length, TYPES[path.suffix.lower()].itemsize)
    if count == 0 and rest == 0:
        return 0, 0
    photo = read_header(path.with_suffix(".jpg"))
    height = max(1, round((count * photo.height / photo.width) ** 0.5))
    if rest or count > MAX_NUMBERS or count % height:
        found = f"{length:,} bytes, which are no map of the shape of {photo.width}×{photo.height}"
        raise UserError(f"the map {path} holds {found}, the size of its photo {path.with_suffix('.jpg').name}")
    return count // height, height


def _unpacked_length(data: bytes) -> int:
    """The bytes that come out of a stream, by its blocks. Raises: ValueError or struct.error for what is none."""
    at = total = 0
    while (magic := data[at : at + 4]) != END:
        (length,) = struct.unpack_from("<I", data, at + 4)
        if magic == b"bvx-":  # not compressed
            packed = 8 + length
        elif magic == b"bvxn":  # LZVN
            packed = 12 + struct.unpack_from("<I", data, at + 8)[0]
        elif magic == b"bvx2":  # LZFSE; the fields are packed into bits
            first, second, third = struct.unpack_from("<3Q", data, at + 8)
            packed = (third & 0xFFFFFFFF) + (first >> 20 & 0xFFFFF) + (second >> 40 & 0xFFFFF)
        else:
            raise ValueError(f"its block at byte {at} is none of LZFSE's")
        at, total = at + max(packed, 8), total + length
    return total
