"""Photos and masks before the first of them is decoded: damaged ones cost themselves, implausible ones stop the run."""

from __future__ import annotations

from collections.abc import Sequence

from scene.camera_models import is_wide, named
from scene.image_header import MAX_TIMES, Header, read_header, same_shape
from scene.orientation import AS_STORED, SIDEWAYS
from scene.readers.base import PosedImage
from utils.errors import UserError

NAMED_AT_MOST = 3
MIN_FOCAL, MAX_FOCAL = 0.15, 30.0  # of the photo's side: fields of view of 147 and 2 degrees
CORNER = 1.0  # pixels from the first: principal points so near to it are parts of the photo's size
MAX_UNEVEN = 1.5  # ratio of the two focal lengths: pixels are square, or were scaled a little


def check_photos(frames: Sequence[PosedImage]) -> tuple[list[tuple[PosedImage, Header]], list[str]]:
    """The frames whose photo and mask are whole, with the header of the photo as its camera sees it, and warnings
    about the others.

    Raises: UserError for a photo that cannot be its camera's, or a mask that cannot be its photo's.
    """
    whole, damaged = [], []
    for frame in frames:
        try:
            header = read_header(frame.image_path)
            mask = None if frame.mask_path is None else read_header(frame.mask_path)
        except UserError as error:
            damaged.append(str(error))
            continue
        header = _fitted(frame, header)
        if mask is not None:
            _check_mask(frame, mask, header)
        whole.append((frame, header))
    return whole, [*_left_out(damaged), *_unlikely([frame for frame, _ in whole])]


def _left_out(damaged: Sequence[str]) -> list[str]:
    more = len(damaged) - NAMED_AT_MOST
    named = "; ".join(damaged[:NAMED_AT_MOST]) + (f"; and {more} more" if more > 0 else "")
    return [f"{len(damaged)} photos are left out: {named}"] if damaged else []


def _unlikely(frames: Sequence[PosedImage]) -> list[str]:
    """Warnings about intrinsics that hardly any camera has: in another unit than pixels, or of another photo."""
    found, corners = [], []
    for frame in frames:
        lens, p = frame.lens, named(frame.lens)
        size = f"at {lens.width}×{lens.height} pixels"
        if min(p["cx"], p["cy"]) >= 0 and max(p["cx"], p["cy"]) <= CORNER < min(lens.width, lens.height) / 4:
            corners.append(f"{frame.name} (cx {p['cx']:.4g}, cy {p['cy']:.4g} {size})")
        ratios = (p["fx"] / lens.width, p["fy"] / lens.height)
        square = 1 / MAX_UNEVEN <= p["fx"] / p["fy"] <= MAX_UNEVEN
        if not square or (not is_wide(lens) and not (ratios[0] >= MIN_FOCAL and max(ratios) <= MAX_FOCAL)):
            found.append(f"{frame.name} (fx {p['fx']:.4g}, fy {p['fy']:.4g} {size})")
    said = (
        (found, "have unlikely focal lengths, which must be in pixels, such as that of"),
        (corners, "have their principal point in the corner of the photo; it must be in pixels, such as that of"),
    )
    return [f"{len(names)} cameras {what} {names[0]}" for names, what in said if names]


def _fitted(frame: PosedImage, stored: Header) -> Header:
    """The header of the photo as its camera sees it: as stored, or turned upright where only that has its shape.

    Cameras of phones are often those of the upright photo, whose file has the pixels of a sensor that lies on its side.
    COLMAP and most others ignore EXIF; their cameras have the shape of the stored pixels.
    """
    lens = frame.lens
    sizes = f"{frame.image_path} is {stored.width}×{stored.height} pixels, and its camera {lens.width}×{lens.height}"
    header = next((each for each in (stored.as_stored(), stored.upright()) if _has_shape_of(each, frame)), None)
    if header is None:
        if same_shape(stored.height, stored.width, lens.width, lens.height):
            raise UserError(
                f"{sizes}: it is turned by 90 degrees, and no EXIF data say which way; turn its pixels, or give the "
                "camera that belongs to them"
            )
        turned = ", also when it is turned as its EXIF data say" if stored.orientation in SIDEWAYS else ""
        raise UserError(f"{sizes}{turned}: a photo must be its camera's, or that scaled alike in width and height")
    if header.width > MAX_TIMES * lens.width:
        raise UserError(f"{sizes}: a photo may be at most {MAX_TIMES} times as wide as its camera")
    return header


def _has_shape_of(header: Header, frame: PosedImage) -> bool:
    return same_shape(header.width, header.height, frame.lens.width, frame.lens.height)


def _check_mask(frame: PosedImage, mask: Header, photo: Header) -> None:
    sizes = f"{frame.mask_path} is {mask.width}×{mask.height} pixels; its photo is {photo.width}×{photo.height}"
    if photo.orientation != AS_STORED and same_shape(mask.height, mask.width, photo.width, photo.height):
        return  # drawn over the stored pixels, it is turned with them
    if not same_shape(mask.width, mask.height, photo.width, photo.height):
        raise UserError(f"{sizes}: a mask must be its photo's, or that scaled alike in width and height")
    if mask.width > MAX_TIMES * photo.width:
        raise UserError(f"{sizes}: a mask may be at most {MAX_TIMES} times as wide as its photo")
