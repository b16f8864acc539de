"""Depth maps of a camera of their own, brought to the pixels of the photo's."""

from __future__ import annotations

import numpy as np

from scene.camera_models import distort, named, rescaled, sampling_map
from scene.types import Camera, CameraModel, DepthCamera, DepthMap, View

DENSE = 0.9  # of the map's own focal length: splatted at that, neighbours leave no gaps between them


def at_pixels(numbers: np.ndarray, view: View, depth_map: DepthMap) -> np.ndarray:
    """(H, W) of the view's camera: the number nearest to each pixel's center in a map of any size, 0 outside it.

    A map may be a grid of holes: one of twice the camera's width or more has a number from beside for a hole.
    """
    if depth_map.camera is not None and not np.array_equal(depth_map.camera.photo_from_depth, np.eye(4)):
        numbers = _splatted(numbers, view.camera, depth_map, depth_map.camera)
        row, column = _straight(view.camera)
    elif depth_map.camera is not None:
        row, column = _seen_by(view.camera, depth_map.camera.lens)
    else:
        row, column = _photo_shares(view)
    height, width = numbers.shape
    inside = (row >= 0) & (row < 1) & (column >= 0) & (column < 1)
    row, column = _index(row, height), _index(column, width)
    sampled = numbers[row, column]
    if width >= 2 * view.camera.width:
        for up, left in ((0, 1), (1, 0), (1, 1)):
            sampled = np.where(sampled > 0, sampled, numbers[np.maximum(row - up, 0), np.maximum(column - left, 0)])
    return np.where(inside, sampled, 0)


def _index(share: np.ndarray, size: int) -> np.ndarray:
    return np.clip((share * size).astype(int), 0, size - 1)


# ---- where a pixel is in the map: shares of its height and width, which broadcast to the camera's size


def _straight(camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    return (np.arange(camera.height)[:, None] + 0.5) / camera.height, (np.arange(camera.width) + 0.5) / camera.width


def _photo_shares(view: View) -> tuple[np.ndarray, np.ndarray]:
    """In a map registered to the photo file: the photo's lens distortion is the map's too."""
    row, column = _straight(view.camera)
    lens = view.camera_model
    if lens is None:
        return row, column
    x, y = sampling_map(lens)
    straight = (row * lens.height).astype(int), (column * lens.width).astype(int)
    share = (y[straight] + 0.5) / lens.height, (x[straight] + 0.5) / lens.width
    return np.clip(share[0], 0, 1 - 1e-9), np.clip(share[1], 0, 1 - 1e-9)


def _seen_by(camera: Camera, lens: CameraModel) -> tuple[np.ndarray, np.ndarray]:
    """In a map taken through another lens at the same place."""
    column, row = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    slopes = np.stack([(column - camera.cx) / camera.fx, (row - camera.cy) / camera.fy], axis=-1)
    pixels = distort(lens, slopes)
    return pixels[..., 1] / lens.height, pixels[..., 0] / lens.width


# ---- from another place


def _splatted(numbers: np.ndarray, camera: Camera, depth_map: DepthMap, source: DepthCamera) -> np.ndarray:
    """The map as the photo's camera would have it, no finer than it is: of what falls into a pixel the nearest."""
    height, width = numbers.shape
    lens = named(rescaled(source.lens, width, height))
    row, column = np.nonzero(numbers > 0)
    z = depth_map.scale * numbers[row, column].astype(float)
    points = np.stack([(column + 0.5 - lens["cx"]) / lens["fx"] * z, (row + 0.5 - lens["cy"]) / lens["fy"] * z, z])
    x, y, z = source.photo_from_depth[:3, :3] @ points + source.photo_from_depth[:3, 3:]
    factor = min(1.0, DENSE * lens["fx"] / camera.fx)
    size = max(1, round(camera.height * factor)), max(1, round(camera.width * factor))
    with np.errstate(divide="ignore", invalid="ignore"):
        row, column = camera.pixels(x, y, z)
        to_row = np.floor(row * size[0] / camera.height)
        to_column = np.floor(column * size[1] / camera.width)
    seen = (z > 0) & (to_row >= 0) & (to_row < size[0]) & (to_column >= 0) & (to_column < size[1])
    far_first = np.argsort(-z[seen], kind="stable")
    place = to_row[seen].astype(int)[far_first], to_column[seen].astype(int)[far_first]
    values = z[seen][far_first] / depth_map.scale
    result = np.zeros(size, numbers.dtype)
    result[place] = np.round(values) if numbers.dtype.kind == "u" else values
    return result
