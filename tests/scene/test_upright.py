"""A scene's horizon is found, whichever way its axes point."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from scene.editing import Similarity, transform_camera
from scene.types import Camera
from scene.upright import level_rotation
from tests.helpers.ring import camera_at

TURN = Rotation.from_euler("xyz", (70, 20, -40), degrees=True).as_matrix()


def looking(forward: tuple[float, float, float], roll: float = 0.0) -> Camera:
    """A camera that looks along `forward`, y being down; `roll` in degrees."""
    ahead = np.array(forward) / np.linalg.norm(forward)
    right = np.cross([0.0, 1.0, 0.0], ahead)
    right = right / np.linalg.norm(right) if np.linalg.norm(right) > 1e-6 else np.array([1.0, 0.0, 0.0])
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(ahead, right), ahead])
    pose[:3, :3] = Rotation.from_euler("z", roll, degrees=True).as_matrix() @ pose[:3, :3]
    return Camera("a", 100, 100, 100.0, 100.0, 50.0, 50.0, pose)


def drone(angle: float) -> Camera:
    """A camera that looks straight down, flown in this direction."""
    pose = np.eye(4)
    sin, cos = np.sin(angle), np.cos(angle)
    pose[:3, :3] = [[cos, 0.0, sin], [sin, 0.0, -cos], [0.0, 1.0, 0.0]]
    return Camera("a", 100, 100, 100.0, 100.0, 50.0, 50.0, pose)


@pytest.mark.parametrize(
    "cameras",
    [
        [camera_at(angle, "a") for angle in (0.0, 0.5, 1.0, 2.0)],  # about something, from above
        [looking((0.1 * x, 0.05 * y, 1.0), roll=2 * x * y) for x in (-1, 0, 1) for y in (-1, 1)],  # before a wall
        [looking((np.sin(a), -1.0, np.cos(a))) for a in np.linspace(0, 6, 9)],  # up at a ceiling
        [drone(angle) for angle in (0.1, 1.7, 3.0, 5.0)],
        [looking((0.0, 0.0, 1.0))],
    ],
    ids=["orbit", "wall", "ceiling", "drone", "one"],
)
@pytest.mark.parametrize("turn", [np.eye(3), TURN, np.diag([1.0, -1.0, -1.0])], ids=["as is", "tilted", "upside down"])
def test_the_horizon_becomes_level(cameras: list[Camera], turn: np.ndarray) -> None:
    rotation = level_rotation([transform_camera(camera, Similarity.turn(turn)) for camera in cameras])
    assert rotation @ rotation.T == pytest.approx(np.eye(3), abs=1e-9) and np.linalg.det(rotation) > 0
    down = rotation @ turn @ np.array([0.0, 1.0, 0.0])
    assert down[1] > np.cos(np.radians(3)), f"{np.degrees(np.arccos(down[1])):.1f} degrees off"
