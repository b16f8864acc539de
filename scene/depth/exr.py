"""Depth in OpenEXR files, as phones write it: one part of scan lines, not compressed, or by RLE, ZIPS or ZIP.

The layout is that of "OpenEXR File Layout" (openexr.com): a magic number, attributes, a table with the offset of each
chunk, and the chunks, each with a few scan lines, in each of which channel follows channel. OpenCV's wheels come
without OpenEXR, and the library itself is larger than what is needed here.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scene.image_header import MAX_PIXELS
from utils.errors import UserError

MAGIC = 20000630
NOT_READ = {0x200: "tiles", 0x800: "deep data", 0x1000: "several parts"}  # by their bit of the version
TYPES = (np.dtype("<u4"), np.dtype("<f2"), np.dtype("<f4"))  # of a channel, by its number
COMPRESSIONS = {0: ("none", 1), 1: ("RLE", 1), 2: ("ZIPS", 1), 3: ("ZIP", 16)}  # name, and scan lines of a chunk
OTHERS = {4: "PIZ", 5: "PXR24", 6: "B44", 7: "B44A", 8: "DWAA", 9: "DWAB"}
DEPTH_CHANNELS = ("Z", "depth", "Y", "R")  # of several channels the first of these that is there has the depth
MAX_RATIO = 1100  # by which bytes can grow that zlib has packed: more is a damaged header
DAMAGE = (struct.error, ValueError, IndexError, KeyError, OverflowError, zlib.error)


@dataclass(frozen=True)
class _Layout:
    """What the header says."""

    width: int
    height: int
    top: int  # the number of the first scan line
    compression: int
    lines: int  # of a chunk
    channels: tuple[tuple[str, np.dtype], ...]  # in the order of the file
    table: int  # where the offsets begin

    @property
    def row_bytes(self) -> int:
        return self.width * sum(kind.itemsize for _, kind in self.channels)


def read_exr(path: Path) -> np.ndarray:
    """(H, W) float32. Raises: UserError for a file that is damaged, or of a kind that is not read."""
    data = _bytes_of(path)
    try:
        return _depth(data, _layout(data, path), path)
    except UserError:
        raise
    except DAMAGE as error:
        raise UserError(f"the depth map {path} is damaged or cut short: {error}") from None


def read_exr_size(path: Path) -> tuple[int, int]:
    """Width and height, from the header. Raises: UserError as read_exr."""
    try:
        layout = _layout(_bytes_of(path), path)
    except UserError:
        raise
    except DAMAGE as error:
        raise UserError(f"the depth map {path} is damaged or cut short: {error}") from None
    return layout.width, layout.height


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"the depth map {path} cannot be read: {error}") from None


# ---- the header


def _layout(data: bytes, path: Path) -> _Layout:
    magic, version = struct.unpack_from("<ii", data)
    if magic != MAGIC:
        raise UserError(f"the depth map {path} is no OpenEXR file")
    strange = [what for bit, what in NOT_READ.items() if version & bit]
    if strange:
        raise UserError(f"the depth map {path} has {strange[0]}, which are not read; scan lines of one part are")
    attributes, table = _attributes(data)
    left, top, right, bottom = struct.unpack("<4i", attributes["dataWindow"])
    width, height = right - left + 1, bottom - top + 1
    compression = attributes["compression"][0]
    if compression not in COMPRESSIONS:
        readable = ", ".join(name for name, _ in COMPRESSIONS.values())
        kind = OTHERS.get(compression, compression)
        raise UserError(f"the depth map {path} is compressed by {kind}, which is not read; these are: {readable}")
    channels = tuple(_channels(attributes["channels"], path))
    layout = _Layout(width, height, top, compression, COMPRESSIONS[compression][1], channels, table)
    if not (width >= 1 and height >= 1 and width * height <= MAX_PIXELS and channels):
        raise UserError(f"the depth map {path} is damaged: it says {width}×{height} pixels, {len(channels)} channels")
    if layout.row_bytes * height > MAX_RATIO * len(data):
        raise UserError(f"the depth map {path} is damaged or cut short: {width}×{height} pixels in {len(data)} bytes")
    return layout


def _attributes(data: bytes) -> tuple[dict[str, bytes], int]:
    """The values by name, and where the header ends."""
    found, at = {}, 8
    while data[at] != 0:
        name, at = _text(data, at)
        _, at = _text(data, at)  # its type, which follows from the name
        (size,) = struct.unpack_from("<i", data, at)
        if not 0 <= size <= len(data) - at - 4:
            raise ValueError(f"the attribute {name!r} says {size} bytes")
        found[name] = data[at + 4 : at + 4 + size]
        at += 4 + size
    return found, at + 1


def _channels(data: bytes, path: Path) -> Iterator[tuple[str, np.dtype]]:
    at = 0
    while data[at] != 0:
        name, at = _text(data, at)
        kind, _, x, y = struct.unpack_from("<iIii", data, at)
        if kind not in range(len(TYPES)) or (x, y) != (1, 1):
            raise UserError(f"the depth map {path}: its channel {name!r} has another type, or fewer samples, than read")
        yield name, TYPES[kind]
        at += 16


def _text(data: bytes, at: int) -> tuple[str, int]:
    """A text up to its 0, and where the next begins."""
    end = data.index(b"\0", at)
    return data[at:end].decode("latin-1"), end + 1


# ---- the pixels


def _depth(data: bytes, layout: _Layout, path: Path) -> np.ndarray:
    names = [name for name, _ in layout.channels]
    wanted = next((name for name in DEPTH_CHANNELS if name in names), names[0])
    before = layout.width * sum(kind.itemsize for _, kind in layout.channels[: names.index(wanted)])
    kind = layout.channels[names.index(wanted)][1]
    depth = np.zeros((layout.height, layout.width), np.float32)
    chunks = -(-layout.height // layout.lines)
    for offset in struct.unpack_from(f"<{chunks}Q", data, layout.table):
        line, size = struct.unpack_from("<ii", data, offset)
        first = line - layout.top
        if not 0 <= first < layout.height or first % layout.lines or not 0 <= size <= len(data) - offset - 8:
            raise UserError(f"the depth map {path} is damaged or cut short: a chunk of line {line} has {size} bytes")
        count = min(layout.lines, layout.height - first)
        rows = _unpacked(data[offset + 8 : offset + 8 + size], count * layout.row_bytes, layout.compression)
        table = np.frombuffer(rows, np.uint8).reshape(count, layout.row_bytes)
        part = np.ascontiguousarray(table[:, before : before + layout.width * kind.itemsize])
        depth[first : first + count] = part.view(kind)
    return depth


def _unpacked(chunk: bytes, size: int, compression: int) -> bytes:
    """The `size` bytes that a chunk stands for. What packing would have made larger is stored as it is."""
    if len(chunk) == size or compression == 0:
        packed = chunk
    elif compression == 1:
        packed = _with_order_restored(_runs(chunk, size))
    else:
        packed = _with_order_restored(zlib.decompressobj().decompress(chunk, size))
    if len(packed) != size:
        raise ValueError(f"a chunk has {len(packed)} bytes, not {size}")
    return packed


def _runs(chunk: bytes, size: int) -> bytes:
    """Bytes of run-length encoding: a count n >= 0 repeats the next byte n + 1 times, -n copies the next n bytes."""
    parts, at, total = [], 0, 0
    while at < len(chunk) and total <= size:
        count = chunk[at] - 256 if chunk[at] > 127 else chunk[at]
        part = chunk[at + 1 : at + 1 - count] if count < 0 else chunk[at + 1 : at + 2] * (count + 1)
        parts.append(part)
        total += len(part)
        at += 1 - count if count < 0 else 2
    return b"".join(parts)


def _with_order_restored(packed: bytes) -> bytes:
    """Before packing, the bytes at even places were put before those at odd ones, and each made a difference from
    the one before it, plus 128."""
    steps = np.frombuffer(packed, np.uint8).copy()
    steps[1:] -= np.uint8(128)
    values = np.cumsum(steps, dtype=np.uint8)
    half = (len(values) + 1) // 2
    ordered = np.empty_like(values)
    ordered[0::2], ordered[1::2] = values[:half], values[half:]
    return ordered.tobytes()
