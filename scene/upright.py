"""Which way is up in a scene, for viewers that keep the horizon level."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scene.types import Camera

BY_DOWN = 0.01  # how much the pictures' own down direction counts beside their level right edges


def level_rotation(cameras: Sequence[Camera]) -> np.ndarray:
    """(3, 3) float64, a rotation of the world after which y points down, as in the axes of a level camera.

    Photos are mostly taken level: the vertical is the direction that is most nearly perpendicular to the x axes of all
    cameras. Where these are all alike, it is near the mean of the y axes.
    """
    right, down, forward = (np.stack([camera.camera_from_world[row, :3] for camera in cameras]) for row in range(3))
    mean_down = down.mean(axis=0)
    moment = right.T @ right / len(right) - BY_DOWN * np.outer(mean_down, mean_down)
    vertical = np.linalg.eigh(moment)[1][:, 0]
    hint = mean_down + 0.5 * forward.mean(axis=0)  # straight down, a camera has the vertical ahead
    return _turn_to_y(-vertical if vertical @ hint < 0 else vertical)


def _turn_to_y(direction: np.ndarray) -> np.ndarray:
    """A rotation that takes a unit vector to the y axis: by Rodrigues' formula, half a turn about x before that where
    the vector points the other way."""
    if direction[1] < 0:
        half_turn = np.diag([1.0, -1.0, -1.0])
        return _turn_to_y(half_turn @ direction) @ half_turn
    x, y, z = direction
    cross = np.array([[0.0, -x, 0.0], [x, 0.0, z], [0.0, -z, 0.0]])  # of direction × y, as a matrix
    return np.eye(3) + cross + cross @ cross / (1 + y)
