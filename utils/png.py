"""Whether a PNG file is whole, told without decoding it (ISO/IEC 15948): decoders reserve whatever its numbers say."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import BinaryIO

SIGNATURE = b"\x89PNG\r\n\x1a\n"
LETTERS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # numbers of a pixel, by color type
MOST_FROM_A_BYTE = 2 * 1032  # deflate makes at most 1032 of a byte; twice that, for the passes of interlaced pictures


def is_whole_png(path: Path) -> bool:
    """Whether the file's chunks lie in it up to the last one, those that make the picture have their check sums, and
    its data can hold as many pixels as it claims."""
    with path.open("rb") as file:
        try:
            return file.read(len(SIGNATURE)) == SIGNATURE and _are_whole(file, path.stat().st_size)
        except (struct.error, LookupError):
            return False


def _are_whole(file: BinaryIO, size: int) -> bool:
    claimed, compressed = 0, 0
    while True:
        length, name = struct.unpack(">I4s", file.read(8))
        if name == b"IEND":
            return claimed <= MOST_FROM_A_BYTE * compressed
        if file.tell() + length + 4 > size:
            return False
        data, (expected,) = file.read(length), struct.unpack(">I", file.read(4))
        if name[:1].isupper() and zlib.crc32(data, zlib.crc32(name)) != expected:
            return False
        if name == b"IHDR":
            claimed = _bytes_of(data)
        compressed += length if name == b"IDAT" else 0


def _bytes_of(header: bytes) -> int:
    """Of all rows, each of which begins with the number of its filter."""
    width, height, depth, color = struct.unpack_from(">IIBB", header)
    return int(height * (1 + (width * depth * LETTERS[color] + 7) // 8))
