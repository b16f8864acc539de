"""How large a scene is, and how near its cameras come to it: the two lengths that rates, limits and the near plane use.

One camera that structure from motion has put far away must not set either. It is named, and the rest are measured.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial import cKDTree

from scene.gaussians.random_start import aim_of
from scene.types import Camera, PointCloud
from utils.sampling import subsample

MARGIN = 1.1  # times the largest distance of a camera from the cameras' mean (3DGS, spatial_lr_scale)
STILL = 1e-3  # of how far they see: cameras that move less show everything from one place
ROUNDING = 1e-6  # of a coordinate: files have six digits and more
TINY = 1e-12  # world units
NEAR_IN_EXTENTS = 0.01
NEAR_IN_DEPTHS = 0.25  # of the nearest points, which are themselves the 1st percentile of what a camera sees
NEAREST = 0.01  # of the points before a camera may be nearer, for a few are always wrong
CLOSEST = 0.05  # of the cameras may come nearer
FAR = 5.0  # times the reach of the rest, and times what cameras see: in sound scenes at most 1.7 and 1.5
MIN_CAMERAS = 5  # fewer have no majority to be far from
SHARE = 10  # one camera in so many may be an outlier; more are a second place, not a fault
MIN_POINTS = 10  # that a camera sees, or nothing is known of its depths
MAX_POINTS, MAX_CAMERAS = 20_000, 300  # that are looked at for depths
NAMED_AT_MOST = 5


def measure_extent(cameras: Sequence[Camera], points: PointCloud) -> tuple[float, float, list[str]]:
    """The extent and the near plane, world units, > 0, and warnings. `points` are measured ones, or none."""
    seen = [_visible_depths(camera, points) for camera in cameras]
    far = _outliers(cameras, seen)
    kept = [depths for depths, is_far in zip(seen, far, strict=True) if not is_far]
    extent = _extent([camera for camera, is_far in zip(cameras, far, strict=True) if not is_far], kept)
    near = _near(extent, kept)
    still = len(cameras) > 1 and _at_one_place(np.stack([camera.center for camera in cameras]), sight=0.0)
    said = [f"all {len(cameras)} cameras are at one place: photos of it do not tell how far anything is"]
    return extent, near, [*_warnings(cameras, far), *(said if still else [])]


def camera_spacing(cameras: Sequence[Camera]) -> float:
    """The median distance of a camera from its nearest neighbor, world units; 0 for a single camera."""
    if len(cameras) < 2:
        return 0.0
    nearest, _ = cKDTree(np.stack([camera.center for camera in cameras])).query([c.center for c in cameras], k=2)
    return float(np.median(nearest[:, 1]))


def _extent(cameras: Sequence[Camera], seen: Sequence[np.ndarray]) -> float:
    """Of cameras at one place, how far they see; 1 where that is not known."""
    centers, sight = np.stack([camera.center for camera in cameras]), _sight(seen)
    return sight or 1.0 if _at_one_place(centers, sight) else MARGIN * _reach(centers)


def _reach(centers: np.ndarray) -> float:
    return float(np.linalg.norm(centers - centers.mean(axis=0), axis=1).max())


def _sight(seen: Sequence[np.ndarray]) -> float:
    """How far cameras see in the median; 0 where that is not known."""
    medians = [np.median(depths) for depths in seen if len(depths)]
    return float(np.median(medians)) if medians else 0.0


def _at_one_place(centers: np.ndarray, sight: float) -> bool:
    return _reach(centers) <= max(STILL * sight, ROUNDING * float(np.abs(centers).max()), TINY)


def _near(extent: float, seen: Sequence[np.ndarray]) -> float:
    """A part of the extent, but well before the nearest points, for long scenes are seen from near too."""
    nearest = [np.quantile(depths, NEAREST) for depths in subsample(seen, MAX_CAMERAS) if len(depths)]
    by_extent = NEAR_IN_EXTENTS * extent
    return min(by_extent, NEAR_IN_DEPTHS * float(np.quantile(nearest, CLOSEST))) if nearest else by_extent


def _visible_depths(camera: Camera, points: PointCloud) -> np.ndarray:
    """(V,) depths of points in the picture, world units; none where they are too few to judge by."""
    _, _, z, inside = camera.project(points.positions[:: max(1, len(points) // MAX_POINTS)])
    return z[inside] if inside.sum() >= MIN_POINTS else z[:0]


def _outliers(cameras: Sequence[Camera], seen: Sequence[np.ndarray]) -> np.ndarray:
    """(C,) bool: cameras far from the rest, by the rest's reach and by how far they see, with nothing near before them.

    A second place that is photographed has points of its own. Cameras on one tripod have no reach, but see far.
    """
    if len(cameras) < MIN_CAMERAS:
        return np.zeros(len(cameras), bool)
    distance = _distances(cameras)
    reach = float(np.sort(distance)[-1 - max(1, len(cameras) // SHARE)])
    depth = np.array([np.median(depths) if len(depths) else np.inf for depths in seen])
    known = depth[np.isfinite(depth)]
    many = [camera for camera, d in zip(cameras, distance, strict=True) if d <= reach]
    sight = float(np.median(known)) if len(known) else aim_of(many).distance
    return (distance > FAR * max(reach, sight)) & (depth > FAR * sight)


def _distances(cameras: Sequence[Camera]) -> np.ndarray:
    """(C,) from the cameras' median, world units: unlike the mean, it stays among the many."""
    centers = np.stack([camera.center for camera in cameras])
    return np.linalg.norm(centers - np.median(centers, axis=0), axis=1)


def _warnings(cameras: Sequence[Camera], far: np.ndarray) -> list[str]:
    if not far.any():
        return []
    distance = _distances(cameras)
    named = [f"{cameras[k].name} at {distance[k]:.4g}" for k in np.flatnonzero(far)[:NAMED_AT_MOST]]
    more = ", ..." if far.sum() > NAMED_AT_MOST else ""
    return [
        f"{far.sum()} of {len(cameras)} cameras are far from the others, which are all within "
        f"{distance[~far].max():.4g} of their middle: {', '.join(named)}{more}; the pose is probably wrong, and the "
        "extent is that of the others"
    ]
