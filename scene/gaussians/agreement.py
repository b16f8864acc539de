"""Whether photos agree on the color of a place: of some depths along a pixel's ray, the likeliest.

It is a sweep over planes (Collins 1996) with few of them, in small photos: for points to start from, not for surfaces.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from scene.types import Camera

SIDE = 96  # pixels, the longer one of a thumbnail
UNSEEN = 0.1  # difference of colors that stands for a place that no other photo shows


class Thumbnail(NamedTuple):
    """A photo in small."""

    camera: Camera
    colors: np.ndarray  # (h,w,3) float32, NaN where the photo does not count

    def shown(self, row: np.ndarray, column: np.ndarray) -> np.ndarray:
        """(P,3) colors at pixels of the photo itself."""
        height, width = self.colors.shape[:2]
        y, x = row * height / self.camera.height, column * width / self.camera.width
        return self.colors[np.minimum(y.astype(int), height - 1), np.minimum(x.astype(int), width - 1)]


def thumbnail(camera: Camera, colors: np.ndarray, cover: np.ndarray | None) -> Thumbnail:
    """That of a photo of (H,W,3) float32 colors; pixels of a `cover`, (H,W), of at most 0.5 do not count."""
    scale = SIDE / max(camera.width, camera.height)
    size = max(1, round(scale * camera.width)), max(1, round(scale * camera.height))
    small = cv2.resize(colors, size, interpolation=cv2.INTER_AREA)
    if cover is not None:
        small[cv2.resize(cover, size, interpolation=cv2.INTER_AREA) <= 0.5] = np.nan
    return Thumbnail(camera, small)


def disagreement(places: np.ndarray, colors: np.ndarray, photos: Sequence[Thumbnail]) -> np.ndarray:
    """(D,P) by how much photos differ from (P,3) colors at (D,P,3) world positions, D for each: in the mean of the
    half that differs least, since from others a place may be hidden. UNSEEN where no photo shows it.
    """
    flat, wanted = places.reshape(-1, 3), np.tile(colors, (len(places), 1))
    differences = np.full((len(photos), len(flat)), np.nan, np.float32)
    for photo, found in zip(photos, differences, strict=True):
        row, column, _, inside = photo.camera.project(flat)
        found[inside] = np.abs(photo.shown(row[inside], column[inside]) - wanted[inside]).mean(axis=1)
    differences.sort(axis=0)  # NaN last
    half = (np.isfinite(differences).sum(axis=0) + 1) // 2
    least = np.arange(len(photos))[:, None] < half
    mean = np.where(least, differences, 0.0).sum(axis=0) / np.maximum(half, 1)
    return np.where(half > 0, mean, UNSEEN).reshape(places.shape[:2])
