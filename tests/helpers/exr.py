"""OpenEXR files of one part and scan lines, as the format's documentation lays them out."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

KINDS = {"uint32": 0, "float16": 1, "float32": 2}
LINES = {0: 1, 1: 1, 2: 1, 3: 16}  # of a chunk, by the compression's number


def write_exr(path: Path, channels: Mapping[str, np.ndarray], compression: int = 3) -> None:
    """Arrays (H, W) of uint32, float16 or float32, compressed by nothing, RLE, ZIPS or ZIP: 0 to 3."""
    ordered = sorted(channels.items())
    height, width = ordered[0][1].shape
    listed = b"".join(
        name.encode() + b"\0" + struct.pack("<iIii", KINDS[array.dtype.name], 0, 1, 1) for name, array in ordered
    )
    window = struct.pack("<4i", 0, 0, width - 1, height - 1)
    header = struct.pack("<ii", 20000630, 2) + b"".join(
        name + b"\0" + kind + b"\0" + struct.pack("<i", len(value)) + value
        for name, kind, value in (
            (b"channels", b"chlist", listed + b"\0"),
            (b"compression", b"compression", bytes([compression])),
            (b"dataWindow", b"box2i", window),
            (b"displayWindow", b"box2i", window),
            (b"lineOrder", b"lineOrder", b"\0"),
        )
    )
    chunks = []
    for first in range(0, height, LINES[compression]):
        rows = range(first, min(first + LINES[compression], height))
        raw = b"".join(
            array[row].astype(array.dtype.newbyteorder("<")).tobytes() for row in rows for _, array in ordered
        )
        packed = _packed(raw, compression)
        data = packed if len(packed) < len(raw) else raw
        chunks.append(struct.pack("<ii", first, len(data)) + data)
    start = len(header) + 1 + 8 * len(chunks)
    offsets = np.cumsum([start, *map(len, chunks)])[:-1]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header + b"\0" + struct.pack(f"<{len(chunks)}Q", *offsets) + b"".join(chunks))


def _packed(raw: bytes, compression: int) -> bytes:
    if compression == 0:
        return raw
    values = np.frombuffer(raw, np.uint8)
    split = np.concatenate([values[0::2], values[1::2]]).astype(np.int64)
    steps = split.copy()
    steps[1:] = split[1:] - split[:-1] + 128
    reordered = (steps % 256).astype(np.uint8).tobytes()
    return _runs(reordered) if compression == 1 else zlib.compress(reordered)


def _runs(data: bytes) -> bytes:
    """Runs of three and more as a count and a byte, what is between them in parts of at most 127 bytes."""
    out, at, kept = b"", 0, b""

    def flushed(kept: bytes) -> bytes:
        return b"".join(
            bytes([256 - len(part)]) + part for part in (kept[k : k + 127] for k in range(0, len(kept), 127))
        )

    while at < len(data):
        end = at
        while end < len(data) and data[end] == data[at] and end - at < 128:
            end += 1
        if end - at >= 3:
            out, kept = out + flushed(kept) + bytes([end - at - 1, data[at]]), b""
        else:
            kept += data[at:end]
        at = end
    return out + flushed(kept)
