"""The lens of the cameras on a path."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scene.types import Camera


@dataclass(frozen=True)
class PathLens:
    """A pinhole camera with square pixels and the principal point in the middle."""

    width: int  # pixels
    height: int
    focal: float  # pixels

    @classmethod
    def like(cls, cameras: Sequence[Camera], size: tuple[int, int] | None = None) -> PathLens:
        """The middle one of the `cameras`, for pictures of `size` (width, height; theirs when None).

        A picture of another shape than the photos' has the same focal length in units of the root of its area: it
        shows more on one side, less on the other, as a photo does when the camera is turned upright.
        """
        by_area = sorted(cameras, key=lambda camera: camera.width * camera.height)
        usual = by_area[len(by_area) // 2]
        width, height = size or (usual.width, usual.height)
        zoom = float(np.median([math.sqrt(c.fx * c.fy / (c.width * c.height)) for c in cameras]))
        return cls(width, height, zoom * math.sqrt(width * height))

    @classmethod
    def of_angle(cls, degrees: float, size: tuple[int, int]) -> PathLens:
        """With this field of view from the top to the bottom of the picture."""
        width, height = size
        return cls(width, height, height / (2 * math.tan(math.radians(degrees) / 2)))

    def camera(self, name: str, camera_from_world: np.ndarray) -> Camera:
        """A camera with this lens at a pose, (4, 4)."""
        center = self.width / 2, self.height / 2
        return Camera(name, self.width, self.height, self.focal, self.focal, *center, camera_from_world)
