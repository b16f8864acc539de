"""Turned Gaussians look to a turned camera as before, and a scene's horizon is found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from gaussian_renderer import RenderSettings, render
from scene.gaussians.model import Gaussians
from scene.rotate import rotate_camera, rotate_gaussians
from scene.types import Camera
from scene.upright import level_rotation
from tests.helpers.clouds import random_gaussians
from tests.helpers.ring import camera_at

TURN = Rotation.from_euler("xyz", (70, 20, -40), degrees=True).as_matrix()


def test_turned_gaussians_look_to_a_turned_camera_as_before() -> None:
    gaussians = random_gaussians(100, sh_degree=3)
    gaussians.shs_rest.detach().mul_(5.0)
    camera, settings = camera_at(0.4, "a"), RenderSettings(near=0.05, sh_degree=3)
    turned = Gaussians.from_arrays(rotate_gaussians(gaussians.to_arrays(), TURN))
    flat = replace(gaussians.to_arrays(), shs=gaussians.to_arrays().shs[:, :1])
    with torch.no_grad():
        before = render(gaussians, camera, torch.zeros(3), settings).color
        after = render(turned, rotate_camera(camera, TURN), torch.zeros(3), settings).color
        without = render(Gaussians.from_arrays(flat), camera, torch.zeros(3), replace(settings, sh_degree=0)).color
    assert (before - without).abs().mean() > 0.01, "the higher bands must show"
    assert torch.allclose(before, after, atol=1e-3)


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
    rotation = level_rotation([rotate_camera(camera, turn) for camera in cameras])
    assert rotation @ rotation.T == pytest.approx(np.eye(3), abs=1e-9) and np.linalg.det(rotation) > 0
    down = rotation @ turn @ np.array([0.0, 1.0, 0.0])
    assert down[1] > np.cos(np.radians(3)), f"{np.degrees(np.arccos(down[1])):.1f} degrees off"
