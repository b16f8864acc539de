"""A smooth flight through the training cameras."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation, RotationSpline

from scene.gaussians.random_start import aim_of
from scene.paths.poses import axes_of, centers_of, separation
from scene.types import Camera
from utils.errors import UserError
from utils.sampling import subsample

FRAMES_PER_STOP = 20  # a camera for so many frames: through every one of a hand-held video the flight would shake
MIN_STOPS = 12  # where there are as many
MAX_CAMERAS = 400  # that are put in order
IN_SEQUENCE = 2.0  # times as long as the shortest way found, and the order of the names is that of the capture
SAMPLES = 60  # of the curve between two stops, by which its speed is made even
NO_STEP = 1e-9  # of the way: stops that are no farther apart are one


def spline(cameras: Sequence[Camera], count: int) -> tuple[list[np.ndarray], str]:
    """`count` poses, camera_from_world (4, 4), from the first to the last of the cameras in order, and a description.

    Positions follow a cubic spline, rotations scipy's RotationSpline; both have continuous second derivatives.
    The speed is even in the measure of `separation`, which counts turning as well as moving.

    Raises: UserError where there are no two different cameras.
    """
    ordered, by_name = in_order(cameras)
    distance = aim_of(ordered).distance
    centers, axes = centers_of(ordered), axes_of(ordered)
    way = _way(centers, axes, distance)
    if way[-1] == 0:
        raise UserError("--path spline needs two cameras at different poses; the scene has one")
    stops = _stops(way, max(MIN_STOPS, count // FRAMES_PER_STOP))
    moving = CubicSpline(way[stops], centers[stops])
    turning = RotationSpline(way[stops], Rotation.from_matrix(axes[stops].transpose(0, 2, 1)))
    at = _even(moving, turning, way[stops], count, distance)
    poses = []
    for center, to_world in zip(moving(at), turning(at).as_matrix(), strict=True):
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = to_world.T, -to_world.T @ center
        poses.append(pose)
    order = "in the order of their names" if by_name else "each to its neighbor"
    return poses, f"a spline through {len(stops)} of {len(cameras)} training cameras, {order}"


def in_order(cameras: Sequence[Camera]) -> tuple[list[Camera], bool]:
    """The cameras as somebody walks past them, and whether that is the order of their names, numbers by value.

    It is where that way is hardly longer than the shortest that is found.
    """
    named = subsample(sorted(cameras, key=lambda camera: _numbers_by_value(camera.name)), MAX_CAMERAS)
    centers, axes, distance = centers_of(named), axes_of(named), aim_of(named).distance
    between = separation(centers[:, None], axes[:, None], centers[None], axes[None], distance)
    tour = shortest_tour(between)
    lengths = [between[order[:-1], order[1:]].sum() for order in (np.arange(len(named)), tour)]
    if lengths[0] <= IN_SEQUENCE * lengths[1]:
        return named, True
    return [named[index] for index in tour], False


def shortest_tour(between: np.ndarray) -> np.ndarray:
    """An order in which all of N places, (N, N) apart, lie on a short open way: by nearest neighbors, then 2-opt."""
    count = len(between)
    tour = [int(between.sum(axis=1).argmax())]  # an outermost one
    left = np.ones(count, bool)
    left[tour] = False
    while left.any():
        tour.append(int(np.where(left, between[tour[-1]], np.inf).argmin()))
        left[tour[-1]] = False
    order = np.array(tour)
    while (better := _uncrossed(order, between)) is not None:
        order = better
    return order


def _uncrossed(order: np.ndarray, between: np.ndarray) -> np.ndarray | None:
    """The tour with each part turned round that gets shorter thereby; None where none does."""
    changed = False
    for first in range(len(order) - 2):
        start, last = order[first], np.arange(first + 2, len(order))
        before, after = order[first + 1], order[last]
        behind = np.append(order[last[:-1] + 1], -1)
        open_end = behind < 0
        gain = between[start, before] - between[start, after]
        gain += np.where(open_end, 0, between[after, behind] - between[before, behind])
        best = int(gain.argmax())
        if gain[best] > 1e-9 * between[start, before]:
            order = order.copy()
            order[first + 1 : last[best] + 1] = order[first + 1 : last[best] + 1][::-1]
            changed = True
    return order if changed else None


def _numbers_by_value(name: str) -> list[tuple[int, str]]:
    """A key by which frame 9 comes before frame 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name) if part]


def _way(centers: np.ndarray, axes: np.ndarray, distance: float) -> np.ndarray:
    """(C,) how far along each pose is."""
    steps = separation(centers[:-1], axes[:-1], centers[1:], axes[1:], distance)
    return np.concatenate([[0.0], np.cumsum(steps)])


def _stops(way: np.ndarray, count: int) -> np.ndarray:
    """Those of the poses that lie nearest to `count` even parts of the way, each once, both ends included."""
    wanted = np.linspace(0, way[-1], min(count, len(way)))
    nearest = np.unique(np.abs(way[None] - wanted[:, None]).argmin(axis=1))
    apart = np.diff(way[nearest], prepend=-np.inf) > NO_STEP * way[-1]
    return nearest[apart]


def _even(moving: CubicSpline, turning: RotationSpline, knots: np.ndarray, count: int, distance: float) -> np.ndarray:
    """(count,) parameters of the curve between which it goes equally far."""
    fine = np.linspace(knots[0], knots[-1], SAMPLES * len(knots))
    gone = _way(moving(fine), turning(fine).as_matrix(), distance)
    return np.interp(np.linspace(0, gone[-1], count), gone, fine)
