"""Photos as tensors want them: decoded when needed, undistorted, resized, with what their alpha means."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from scene import heif
from scene.camera_models import sampling_map
from scene.image_header import UNREADABLE, read_header, same_shape
from scene.keying import with_alpha
from scene.orientation import turned
from scene.types import CameraModel, View
from utils.errors import DamagedFile, UserError

WHITE = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}  # by the type of pixels that are read
WIDEST = 1600  # pixels: what -r -1 scales wider photos down to
ROUGH = 800  # pixels, the longer side of what a first look at a photo needs
REDUCED = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}
JPEG = b"\xff\xd8\xff"


@dataclass(frozen=True)
class LoadedImage:
    """A decoded photo. `mask` weighs its pixels in every loss and metric; None where all count in full."""

    color: np.ndarray  # (3, H, W) float32 in [0, 1], RGB
    mask: np.ndarray | None  # (1, H, W) float32 in [0, 1]


def resized(width: int, height: int, resolution: int) -> tuple[int, int]:
    """The size that `-r` asks for: 1, 2, 4, 8 divide, -1 keeps the width to 1600 pixels, else it is the largest width.

    No photo is enlarged.
    """
    if resolution in (1, 2, 4, 8):
        target = width / resolution
    elif resolution == -1:
        target = min(width, WIDEST)
    else:
        target = min(width, resolution)
    return max(1, round(target)), max(1, round(height * target / width))


def roughly(view: View) -> View:
    """The view of the same photo in at most `ROUGH` pixels along the longer side."""
    camera = view.camera
    factor = ROUGH / max(camera.width, camera.height)
    if factor >= 1:
        return view
    size = max(1, round(factor * camera.width)), max(1, round(factor * camera.height))
    return replace(view, camera=camera.resized(*size))


def load_image(view: View, rough: bool = False) -> LoadedImage:
    """Decode a view's photo and bring it to the size of `view.camera`. `rough`: a JPEG file may be decoded to a half, a
    quarter or an eighth of its own size, which takes a fraction of the time, is not as sharp, and shifts its pixels by
    less than one where its size is no multiple of that.

    An alpha channel means one of two things. With `view.background` (Blender renderings) transparent pixels show
    that gray and count like all others; without (a subject cut out of its photo) alpha is a mask. A mask file is one.
    Alpha is in the file, or found by the color of a plain background.

    Raises: DamagedFile for a file that cannot be decoded, UserError for one that is not there and for a mask of another
    size.
    """
    reduced = _reduction(view) if rough else 1
    pixels = turned(_decode(view.image_path, reduced), view.orientation)
    if view.plain is not None:
        pixels = with_alpha(pixels[..., :3], view.plain)
    color, alpha = pixels[..., :3], pixels[..., 3:] if pixels.shape[2] == 4 else None
    if alpha is not None and view.background is not None:
        color, alpha = color * alpha + view.background * (1 - alpha), None
    mask = alpha
    if view.mask_path is not None:
        drawn = _decode_mask(view.mask_path)
        size = (color.shape[1], color.shape[0])
        if not same_shape(drawn.shape[1], drawn.shape[0], *size):  # a mask of the stored pixels turns with them
            drawn = turned(drawn, view.orientation)
        height, width = drawn.shape[:2]
        if not same_shape(width, height, *size):
            raise UserError(f"{view.mask_path} is {width}×{height} pixels; its photo is {size[0]}×{size[1]}")
        drawn = _resized(drawn, size)[..., None]
        mask = drawn if mask is None else drawn * mask
    size = (view.camera.width, view.camera.height)
    fitted = _fit(color, view.camera_model, reduced, size).transpose(2, 0, 1)
    fitted_mask = None if mask is None else _fit(mask, view.camera_model, reduced, size)[None]
    return LoadedImage(np.ascontiguousarray(fitted), fitted_mask)


def glance(view: View) -> LoadedImage | None:
    """What a first look at a photo needs: roughly, with an alpha channel as a mask, whatever the background; None for a
    damaged file, which training names."""
    try:
        return load_image(replace(view, background=None), rough=True)
    except DamagedFile:
        return None


def decode_image(path: Path, reduced: int = 1) -> np.ndarray | None:
    """The numbers of an image file as it stores them, channels last in cv2's order; None for what is none. `reduced`,
    of a JPEG file alone: 2, 4 or 8 for that part of its size, rounded up."""
    data = np.fromfile(path, dtype=np.uint8) if path.is_file() else np.empty(0, np.uint8)
    how = cv2.IMREAD_UNCHANGED if reduced == 1 else REDUCED[reduced] | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        if heif.is_heif(data[: heif.START].tobytes()):
            return None if heif.missing_library(path) else _by_pillow(data.tobytes())
        return cv2.imdecode(data, how) if len(data) else None
    except (cv2.error, *UNREADABLE):
        return None


def _by_pillow(data: bytes) -> np.ndarray:
    """(H, W, 3 or 4) uint8 in cv2's order. Raises: one of UNREADABLE."""
    with Image.open(io.BytesIO(data)) as image:
        if image.has_transparency_data:
            return cv2.cvtColor(np.asarray(image.convert("RGBA")), cv2.COLOR_RGBA2BGRA)
        return cv2.cvtColor(np.asarray(image.convert("RGB")), cv2.COLOR_RGB2BGR)


def undecodable(path: Path, what: str = "") -> UserError:
    """The error for an image file that `decode_image` makes nothing of; `what` it is precedes its path."""
    if not path.is_file():  # gone since the dataset was read: its disk may be, and all others with it
        return UserError(f"{what}{path} cannot be decoded as an image: it is not there")
    return DamagedFile(f"{what}{path} cannot be decoded as an image")


def _reduction(view: View) -> int:
    """The part of its size to which the photo may be decoded: 1, or for a JPEG file 2, 4 or 8."""
    try:
        stored = read_header(view.image_path)
        with view.image_path.open("rb") as file:
            is_jpeg = file.read(len(JPEG)) == JPEG
    except (UserError, OSError):  # decoding it says what is wrong
        return 1
    longer, wanted = max(stored.width, stored.height), max(view.camera.width, view.camera.height)
    parts = (part for part in sorted(REDUCED, reverse=True) if longer >= part * wanted)
    return next(parts, 1) if is_jpeg and view.mask_path is None else 1


def _decode(path: Path, reduced: int) -> np.ndarray:
    """(H, W, 3 or 4) float32 in [0, 1], RGB(A), as stored: EXIF turns nothing here."""
    pixels = _channels(path, reduced)
    return np.divide(pixels, np.float32(WHITE[pixels.dtype]), dtype=np.float32)  # of large photos, one copy and not two


def _decode_mask(path: Path) -> np.ndarray:
    """(H, W, 1) float32 in [0, 1] of a mask as programs save them: of 0 and whatever number, where that counts in full;
    of gray levels, also bytes in 16 bits; or in its alpha channel, where all else is one color."""
    pixels = _channels(path)
    color, alpha = pixels[..., :3], pixels[..., 3:]
    if alpha.size and alpha.min() < alpha.max() and (color == color[:1, :1]).all():
        return _levels(alpha)
    levels = _levels(color.mean(axis=2, keepdims=True, dtype=np.float32))
    return levels * _levels(alpha) if alpha.size else levels


def _levels(numbers: np.ndarray) -> np.ndarray:
    """(H, W, 1) float32 in [0, 1] of the numbers of a mask."""
    largest = numbers.max()
    if ((numbers == 0) | (numbers == largest)).all():
        return (numbers > 0).astype(np.float32)
    return numbers.astype(np.float32) / np.float32(255 if largest <= 255 else 65535)


def _channels(path: Path, reduced: int = 1) -> np.ndarray:
    """(H, W, 3 or 4) uint8 or uint16, RGB(A), as stored."""
    pixels = decode_image(path, reduced)
    if pixels is None:
        raise undecodable(path)
    if pixels.dtype not in WHITE:
        raise UserError(f"{path} has pixels of type {pixels.dtype}; 8- and 16-bit images are read")
    if pixels.ndim == 2:
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
    return cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGB)


def _fit(pixels: np.ndarray, lens: CameraModel | None, reduced: int, size: tuple[int, int]) -> np.ndarray:
    """Undistorted, then resized. cv2 drops a last axis of one, and so does this."""
    if lens is not None:
        pixels = cv2.remap(pixels, *sampling_map(lens, reduced), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return _resized(pixels, size)


def _resized(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """In `size`, width and height; without a last axis of one."""
    if (pixels.shape[1], pixels.shape[0]) != size:
        shrinks = size[0] < pixels.shape[1]
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
