"""What an image file says of itself before it is decoded: its size, and whether it is whole."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from scene import heif
from scene.orientation import AS_STORED, SIDEWAYS
from utils.errors import UserError
from utils.png import is_whole_png

Image.MAX_IMAGE_PIXELS = None  # Pillow refuses what phones take, 200 megapixels; the limit here is this file's

ORIENTATION = 0x0112  # the EXIF tag
MAX_PIXELS = 2**28  # of any file, in all: 268 megapixels, which take 3.2 GB once decoded
MAX_TIMES = 16  # as wide as the camera it belongs to: more is a damaged header, not a finer image
SHAPE = 0.02  # by which aspect ratios of one picture may differ, beside what rounding to pixels makes

# Pillow's names of what scene.images decodes.
DECODED = {"BMP", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TIFF", "WEBP", *heif.FORMATS}
BYTES_EACH = ("L", "RGB", "BGR", "RGBA", "BGRA", "RGBX", "BGRX")  # Pillow's names of layouts with a byte a letter

# Whatever a damaged file makes Pillow raise.
UNREADABLE = (
    *(OSError, EOFError, ValueError, ArithmeticError, SyntaxError, LookupError, TypeError, MemoryError, struct.error),
    RuntimeError,  # of the decoder of AVIF
)


@dataclass(frozen=True)
class Header:
    """Of an image file: as it is stored, or with `width` and `height` of its pixels turned by `orientation`."""

    width: int
    height: int
    has_alpha: bool
    orientation: int = AS_STORED  # the value of the EXIF tag (scene.orientation)

    def as_stored(self) -> Header:
        """The same of pixels that are used as they are stored."""
        return replace(self, orientation=AS_STORED)

    def upright(self) -> Header:
        """The same of pixels turned as EXIF says."""
        sideways = self.orientation in SIDEWAYS
        return replace(self, width=self.height, height=self.width) if sideways else self


def read_header(path: Path) -> Header:
    """Raises: UserError, naming the file, for one that is no image, too large to decode, cut short, or of a format
    whose library is not installed."""
    try:
        install = heif.missing_library(path)
        if install:
            raise UserError(f"{path} needs a library to be decoded: {install}")
        with Image.open(path) as image:
            if image.mode == "LAB":  # whose numbers decoders hand over as if they were RGB
                raise UserError(f"{path} has Lab colors, which are not read; convert it to RGB")
            header = Header(*image.size, image.has_transparency_data, _orientation(image))
            missing = _bytes_needed(image) > path.stat().st_size
            kind = image.format
    except UNREADABLE as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path} cannot be decoded as an image") from None
    if header.width < 1 or header.height < 1:
        raise UserError(f"{path} cannot be decoded as an image: it is {header.width}×{header.height} pixels")
    if header.width * header.height > MAX_PIXELS:
        raise UserError(
            f"{path} says that it has {header.width}×{header.height} pixels, and is not decoded: at most "
            f"{MAX_PIXELS // 10**6} million are"
        )
    if kind not in DECODED:
        raise UserError(f"{path} cannot be decoded as an image: {kind} is not read; {', '.join(sorted(DECODED))} are")
    if missing or not _is_whole(path, kind):
        raise UserError(f"{path} is damaged or cut short")
    return header


def same_shape(width: int, height: int, other_width: int, other_height: int) -> bool:
    """Whether two sizes can be of one picture: alike in aspect ratio, up to rounding."""
    rounding = 1 / min(width, other_width) + 1 / min(height, other_height)
    return abs(width * other_height / (height * other_width) - 1) <= SHAPE + rounding


def _orientation(image: Image.Image) -> int:
    if "exif" not in image.info:  # Pillow would decode a whole PNG to look for them behind its pixels
        return AS_STORED
    try:
        value = image.getexif().get(ORIENTATION)
    except UNREADABLE:
        return AS_STORED
    return value if isinstance(value, int) and value in range(1, 9) else AS_STORED


# ---- whether all of it is there


def _bytes_needed(image: Image.Image) -> int:
    """Of a file whose pixels are not compressed, as bmp and ppm; 0 for others."""
    if image.format in heif.FORMATS:  # whose decoders hand raw pixels over
        return 0
    needed = 0
    for decoder, (left, top, right, bottom), offset, layout, *_ in getattr(image, "tile", []):
        order = layout if isinstance(layout, str) else layout[0] if layout else ""
        if decoder == "raw" and order in BYTES_EACH:
            needed = max(needed, offset + (right - left) * (bottom - top) * len(order))
    return needed


def _is_whole(path: Path, kind: str | None) -> bool:
    if kind not in ("PNG", "JPEG", "MPO", "WEBP", *heif.FORMATS):
        return True
    if kind == "PNG":
        return is_whole_png(path)
    with path.open("rb") as file:
        try:
            if kind == "WEBP":  # a RIFF file, which begins with its length
                return struct.unpack("<4xI", file.read(8))[0] + 8 <= _size_of(file)
            if kind in heif.FORMATS:
                return _boxes_are_whole(file)
            return _jpeg_ends(file)
        except struct.error:
            return False


def _boxes_are_whole(file: BinaryIO) -> bool:
    """Whether the boxes of an ISO base media file (ISO/IEC 14496-12) end where the file ends."""
    size, at = _size_of(file), 0
    while at < size:
        file.seek(at)
        (length,) = struct.unpack(">I4x", file.read(8))
        if length == 1:  # it follows in 64 bits
            (length,) = struct.unpack(">Q", file.read(8))
        if length == 0:  # to the end
            return True
        at += max(length, 8)
    return at == size


def _jpeg_ends(file: BinaryIO) -> bool:
    """Whether an end of image follows the first scan: photos of phones have more behind it, and a thumbnail before."""
    size = _size_of(file)
    file.seek(max(0, size - 2))
    if file.read(2) == b"\xff\xd9":
        return True
    file.seek(2)
    while True:
        marker, length = struct.unpack(">HH", file.read(4))
        if marker < 0xFF00:
            return True  # padding between segments: decoders know more of that
        file.seek(length - 2, 1)
        if marker == 0xFFDA:
            return b"\xff\xd9" in file.read()


def _size_of(file: BinaryIO) -> int:
    at = file.tell()
    size = file.seek(0, 2)
    file.seek(at)
    return size
