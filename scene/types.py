"""What every reader returns: cameras, views, points and the scene they make.

Conventions, once and for all: OpenCV camera axes (x right, y down, z forward); pixel (row i, column j) is sampled at
(j + 0.5, i + 0.5), COLMAP's convention; `a_from_b` maps coordinates of frame b to frame a. Readers convert foreign
formats at the door, so nothing behind them knows of any other convention.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scene.ledger import Ledger


@dataclass(frozen=True)
class Camera:
    """A posed pinhole camera of `width` × `height` pixels."""

    name: str  # unique in its scene: the image's path relative to the image folder
    width: int  # pixels
    height: int  # pixels
    fx: float  # focal lengths, pixels
    fy: float
    cx: float  # principal point, pixels from the left and top edges of the image
    cy: float
    camera_from_world: np.ndarray  # (4, 4) float64, rigid

    @property
    def center(self) -> np.ndarray:
        """(3,) float64, the camera's position in the world."""
        rotation, translation = self.camera_from_world[:3, :3], self.camera_from_world[:3, 3]
        return -rotation.T @ translation

    def resized(self, width: int, height: int) -> Camera:
        """The camera of the same picture in other pixels."""
        x, y = width / self.width, height / self.height
        fx, fy, cx, cy = self.fx * x, self.fy * y, self.cx * x, self.cy * y
        return replace(self, width=width, height=height, fx=fx, fy=fy, cx=cx, cy=cy)

    def pixels(self, x: Any, y: Any, z: Any) -> tuple[Any, Any]:
        """Row and column, pixels, of positions in the camera's frame; arrays or tensors, z > 0."""
        return self.fy * y / z + self.cy, self.fx * x / z + self.cx

    def project(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Row, column (pixels), depth z (world units), and whether that is in the picture, (P,) each, of (P, 3) world
        positions. Row and column mean nothing behind the camera."""
        with np.errstate(invalid="ignore"):  # positions that are not finite are in no picture
            x, y, z = self.camera_from_world[:3, :3] @ positions.T.astype(np.float64) + self.camera_from_world[:3, 3:]
            row, column = self.pixels(x, y, np.where(z > 0, z, 1.0))
        inside = (z > 0) & (column >= 0) & (column < self.width) & (row >= 0) & (row < self.height)
        return row, column, z, inside

    def unproject(self, row: np.ndarray, column: np.ndarray, z: np.ndarray) -> np.ndarray:
        """(P, 3) float64 world positions at depths z of the centers of pixels."""
        x, y = (column + 0.5 - self.cx) / self.fx * z, (row + 0.5 - self.cy) / self.fy * z
        rotation, translation = self.camera_from_world[:3, :3], self.camera_from_world[:3, 3]
        return (np.stack([x, y, z], axis=1) - translation) @ rotation


@dataclass(frozen=True)
class CameraModel:
    """How a file's pixels become those of a pinhole camera: the lens model they were taken with."""

    model: str  # COLMAP's model name: SIMPLE_RADIAL, RADIAL, OPENCV, FULL_OPENCV, OPENCV_FISHEYE, ...
    width: int  # size of the distorted image the parameters hold for, pixels
    height: int
    params: tuple[float, ...]  # the model's parameters in COLMAP's order, pixels for focal lengths and principal point


@dataclass(frozen=True)
class DepthCamera:
    """The camera that took a depth map, where that is not the photo's."""

    lens: CameraModel
    photo_from_depth: np.ndarray  # (4, 4) float64, rigid, in world units; the identity where both look from one place


@dataclass(frozen=True)
class Confidence:
    """How sure a sensor is of the numbers of a depth map: an image of the map's shape, whose numbers below `least`
    mean that the depth there is not used."""

    path: Path
    least: int


@dataclass(frozen=True)
class DepthMap:
    """A file of depth beside a photo, and what its numbers mean: z along the camera's axis, in world units.

    kind "sensor": z = scale · number; "inverse", as monocular networks give it: 1/z = scale · number + offset.
    """

    path: Path
    scale: float
    kind: str = "sensor"
    offset: float = 0.0
    invalid: tuple[float, ...] = (0.0, 65535.0)  # "no reading", beside what is not finite or, of a sensor, negative
    camera: DepthCamera | None = None  # None: registered to the photo file's pixels, whatever its own size
    confidence: Confidence | None = None  # None: all depth is used
    orientation: int = 1  # by which its pixels are turned, as the photo's are (scene.orientation)


class Plain(NamedTuple):
    """The background of photos that show nothing but one color there."""

    color: tuple[float, float, float]  # in [0, 1]
    tolerance: float  # of [0, 1]: by how much each channel of it may differ


@dataclass(frozen=True)
class View:
    """One photo of a scene. `camera` is the pinhole camera of the decoded image: undistorted and resized."""

    camera: Camera
    image_path: Path
    mask_path: Path | None = None  # an image whose bright pixels count; None where all do (beside any alpha channel)
    camera_model: CameraModel | None = None  # None: the file is a pinhole image already
    background: float | None = None  # the gray behind transparent pixels; None: an alpha channel is a mask
    depth: DepthMap | None = None
    orientation: int = 1  # by which the photo's pixels are turned once decoded (scene.orientation)
    plain: Plain | None = None  # the photo's background, whose alpha is found by its color (scene.keying)


@dataclass(frozen=True)
class GaussianArrays:
    """Raw parameters, float32: what the optimizer moves and a PLY holds."""

    means: np.ndarray  # (N, 3) world units
    scales: np.ndarray  # (N, 3) natural logarithms
    quats: np.ndarray  # (N, 4) w x y z
    opacities: np.ndarray  # (N, 1) logits
    shs: np.ndarray  # (N, K, 3), K = (degree + 1)²


@dataclass(frozen=True)
class PointCloud:
    """Colored points in world units."""

    positions: np.ndarray  # (P, 3) float32; float64 as a reader has them, if the file does
    colors: np.ndarray  # (P, 3) float32 in [0, 1]

    def __len__(self) -> int:
        return len(self.positions)

    def joined(self, *others: PointCloud) -> PointCloud:
        """These points, and then those of others."""
        clouds = self, *others
        positions = np.concatenate([cloud.positions for cloud in clouds])
        return PointCloud(positions, np.concatenate([cloud.colors for cloud in clouds]))


NO_POINTS = PointCloud(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32))


@dataclass(frozen=True)
class Mesh:
    """Triangles in world units; seen from outside, the vertices of a face go counterclockwise."""

    vertices: np.ndarray  # (V, 3) float32
    faces: np.ndarray  # (F, 3) int32, indices of vertices
    colors: np.ndarray  # (V, 3) uint8, RGB


@dataclass(frozen=True)
class Scene:
    """Everything a training run needs to know of a dataset."""

    source: Path
    kind: str  # "COLMAP", "Blender", "nerfstudio", ...
    train: tuple[View, ...]
    test: tuple[View, ...]
    points: PointCloud  # to start from
    extent: float  # world units: 1.1 × the largest distance of a camera from the cameras' mean, outliers left out
    near: float  # world units: what is not farther from a camera than this is not drawn
    summary: str  # one paragraph for people: what was found, what was skipped
    warnings: tuple[str, ...] = ()  # what is probably not as it should be, a sentence each
    ledger: Ledger = field(default_factory=Ledger)  # what became of each file of the folder
    measured: PointCloud = NO_POINTS  # those of `points` that lie on a surface
    origin: tuple[float, ...] = (0.0, 0.0, 0.0)  # of the scene's coordinates, in the dataset's frame (scene.origin)
    far: tuple[View, ...] = ()  # test views far from the path of the training views (scene.far)
    meters_per_unit: float | None = None  # length of a world unit; None where nothing says it
    background: float = 0.0  # the gray behind what is transparent in photos
