"""A flight around what the training cameras look at, within what they have seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scene.gaussians.random_start import MAJORITY, Aim, aim_of
from scene.paths.poses import axes_of, centers_of, look_along, up_direction
from scene.types import Camera, PointCloud

ONE_WAY = 0.95  # length of the mean of the viewing directions: cameras within some 25° of each other
OPEN = np.radians(120)  # a gap between directions that is wider was not photographed: the flight turns back before it
SPREAD = 1.2  # standard deviations of the cameras' positions: the half axes of the ellipse before a scene
LEAST = 0.02  # of the distance of the scene: the half axes, where the cameras stand still
OUTWARD = 0.5  # of the cameras' distance from their middle: the circle on which the flight looks outward
HARMONICS = 2  # by which distance and height follow the cameras around
DAMPING = 0.2  # of them, in parts of the number of cameras
MAX_POINTS = 20_000  # that are looked at for depth


def orbit(cameras: Sequence[Camera], points: PointCloud, count: int) -> tuple[list[np.ndarray], str]:
    """`count` poses, camera_from_world (4, 4), that come back to the first, and a description.

    Cameras that all look one way get a small ellipse before the scene. Those that look at a common place, the point
    nearest to all their rays, get a round about it at their distance and height; those that look outward, a look
    around from their middle. Where they have not been all round, the flight goes there and back.
    """
    up, axes, aim = up_direction(cameras), axes_of(cameras), aim_of(cameras)
    if np.linalg.norm(axes[:, 2].mean(axis=0)) > ONE_WAY:
        return _ellipse(cameras, points, up, count)
    if aim.share > MAJORITY:
        return _around(cameras, aim, up, count)
    return _outward(cameras, up, count)


def _ellipse(cameras: Sequence[Camera], points: PointCloud, up: np.ndarray, count: int) -> tuple[list[np.ndarray], str]:
    """Before a scene that is seen from one side."""
    centers, forward = centers_of(cameras), axes_of(cameras)[:, 2].mean(axis=0)
    forward = forward / np.linalg.norm(forward)
    right = np.cross(forward, up) / np.linalg.norm(np.cross(forward, up))
    upward = np.cross(right, forward)
    distance = _middle_depth(cameras, points)
    middle = centers.mean(axis=0)
    focus = middle + distance * forward
    wide, high = (max(SPREAD * float(((centers - middle) @ axis).std()), LEAST * distance) for axis in (right, upward))
    poses = []
    for angle in _turns(count):
        eye = middle + wide * np.sin(angle) * right + high * np.cos(angle) * upward
        poses.append(look_along(eye, focus - eye, up))
    return poses, f"an ellipse before the scene, {2 * wide:.3g} × {2 * high:.3g} in scene units"


def _around(cameras: Sequence[Camera], aim: Aim, up: np.ndarray, count: int) -> tuple[list[np.ndarray], str]:
    """About a place."""
    offsets = centers_of(cameras) - aim.middle
    distances = np.linalg.norm(offsets, axis=1)
    elevations = np.arcsin(np.clip(offsets @ up / np.maximum(distances, 1e-12), -1, 1))
    azimuths, east, north = _azimuths(offsets, up)
    directions, arc = _directions(azimuths, count)
    poses = []
    for angle, distance, elevation in zip(
        directions,
        _followed(azimuths, distances, directions),
        _followed(azimuths, elevations, directions),
        strict=True,
    ):
        level = np.cos(angle) * east + np.sin(angle) * north
        offset = distance * (np.cos(elevation) * level + np.sin(elevation) * up)
        poses.append(look_along(aim.middle + offset, -offset, up))
    return poses, f"an orbit about what the cameras look at, {arc}"


def _outward(cameras: Sequence[Camera], up: np.ndarray, count: int) -> tuple[list[np.ndarray], str]:
    """From the middle."""
    centers, forward = centers_of(cameras), axes_of(cameras)[:, 2]
    middle = np.median(centers, axis=0)
    away = centers - middle
    radius = OUTWARD * float(np.median(np.linalg.norm(away - np.outer(away @ up, up), axis=1)))
    pitch = float(np.median(np.arcsin(np.clip(forward @ up, -1, 1))))
    azimuths, east, north = _azimuths(forward, up)
    directions, arc = _directions(azimuths, count)
    poses = []
    for angle in directions:
        level = np.cos(angle) * east + np.sin(angle) * north
        poses.append(look_along(middle + radius * level, np.cos(pitch) * level + np.sin(pitch) * up, up))
    return poses, f"a look around from the middle of the cameras, {arc}"


def _middle_depth(cameras: Sequence[Camera], points: PointCloud) -> float:
    """The median depth of the points that cameras see, world units; the cameras' aim where they see none."""
    some = points.positions[:: max(1, len(points) // MAX_POINTS)]
    seen = [z[inside] for _, _, z, inside in (camera.project(some) for camera in cameras)]
    depths = np.concatenate([depth for depth in seen if len(depth)] or [np.array([aim_of(cameras).distance])])
    return float(np.median(depths))


def _azimuths(vectors: np.ndarray, up: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(C,) angles about `up` of (C, 3) vectors, and the two level directions that have the angles 0 and 90°."""
    east = np.cross(up, np.eye(3)[np.abs(up).argmin()])
    east = east / np.linalg.norm(east)
    north = np.cross(up, east)
    return np.arctan2(vectors @ north, vectors @ east), east, north


def _directions(azimuths: np.ndarray, count: int) -> tuple[np.ndarray, str]:
    """(count,) angles, all round or there and back before the widest gap between the given ones; and words for it."""
    ordered = np.sort(azimuths)
    gaps = np.diff(ordered, append=ordered[0] + 2 * np.pi)
    widest = int(gaps.argmax())
    if gaps[widest] <= OPEN:
        return ordered[0] + _turns(count), "all round"
    first, width = ordered[(widest + 1) % len(ordered)], 2 * np.pi - gaps[widest]
    directions = first + width * (1 - np.cos(_turns(count))) / 2
    return directions, f"there and back over the {np.degrees(width):.0f}° that they have been"


def _turns(count: int) -> np.ndarray:
    """(count,) angles of one turn, without its last, which is the first again."""
    return 2 * np.pi * np.arange(count) / count


def _followed(azimuths: np.ndarray, values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The cameras' `values`, smoothed over the angle to a few harmonics, `at` other angles: damped least squares."""
    usual = float(np.median(values))
    orders = np.arange(1, HARMONICS + 1)
    design, wanted = (
        np.concatenate(
            [np.ones((len(angles), 1)), np.cos(np.outer(angles, orders)), np.sin(np.outer(angles, orders))], 1
        )
        for angles in (azimuths, at)
    )
    damping = DAMPING * len(values) * np.diag([0.0, *[1.0] * (2 * HARMONICS)])
    fit = np.linalg.solve(design.T @ design + damping + 1e-9 * np.eye(len(damping)), design.T @ (values - usual))
    return usual + np.clip(wanted @ fit, (values - usual).min(), (values - usual).max())
