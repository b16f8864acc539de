"""Poses of cameras as the paths need them: where up is, how to look at something, how far one pose is from another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scene.types import Camera

LEANING = 0.01  # weight of the cameras' own up direction against their being level


def centers_of(cameras: Sequence[Camera]) -> np.ndarray:
    """(C, 3) positions, world units."""
    return np.stack([camera.center for camera in cameras])


def axes_of(cameras: Sequence[Camera]) -> np.ndarray:
    """(C, 3, 3): the right, down and forward axis of each camera, in the world, as rows."""
    return np.stack([camera.camera_from_world[:3, :3] for camera in cameras])


def up_direction(cameras: Sequence[Camera]) -> np.ndarray:
    """(3,) unit vector: upright for the cameras.

    Cameras that nobody tilts sideways have level right axes, whichever way they look and however far down: up is the
    direction most nearly orthogonal to all of these. Where right axes leave it open, since all cameras look one way,
    it is the mean of the cameras' own.
    """
    axes = axes_of(cameras)
    mean = -axes[:, 1].mean(axis=0)
    length = float(np.linalg.norm(mean))
    own = mean / length if length > 1e-6 else mean
    moments = np.einsum("ci,cj->ij", axes[:, 0], axes[:, 0]) / len(axes) - LEANING * np.outer(own, own)
    up = np.linalg.eigh(moments)[1][:, 0]
    return up if up @ mean >= 0 else -up


def look_along(eye: np.ndarray, forward: np.ndarray, up: np.ndarray) -> np.ndarray:
    """camera_from_world, (4, 4), of a camera at `eye` that looks along `forward`, upright by `up`."""
    forward = forward / np.linalg.norm(forward)
    right = np.cross(forward, up)
    if np.linalg.norm(right) < 1e-6:  # straight up or down: any way is upright
        right = np.cross(forward, np.eye(3)[np.abs(forward).argmin()])
    right = right / np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward])
    pose[:3, 3] = -pose[:3, :3] @ eye
    return pose


def separation(
    centers: np.ndarray, axes: np.ndarray, others: np.ndarray, other_axes: np.ndarray, distance: float
) -> np.ndarray:
    """World units, by broadcasting: how far poses are apart, in position, (..., 3), and in orientation, (..., 3, 3).

    A turn by an angle counts as the way it moves what is `distance` before the camera.
    """
    trace = np.einsum("...ij,...ij->...", axes, other_axes)
    angle = np.arccos(np.clip((trace - 1) / 2, -1, 1))
    return np.hypot(np.linalg.norm(centers - others, axis=-1), distance * angle)
