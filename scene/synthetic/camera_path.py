"""Where the photos of the synthetic room are taken from."""

from __future__ import annotations

import numpy as np

from scene.synthetic.plan import to_world
from scene.types import Camera

FOCUS = (0.0, 3.25, 0.78)  # what the path goes round, metres, in room axes
FOCAL = (401.3, 400.6)  # pixels of a picture 480 × 360, whose principal point is a little off its center
PRINCIPAL = (241.3, 178.6)


def make_cameras(views: int, width: int, height: int, seed: int = 0) -> list[Camera]:
    """Cameras on a path that sweeps round the furniture three times, at three heights, looking near its middle."""
    rng = np.random.default_rng([seed, 3])
    drift = rng.normal(scale=0.02, size=(views, 3))
    cameras = []
    for k in range(views):
        s = (k + 0.5) / views
        sweep = np.cos(3 * np.pi * s)
        angle = 0.97 * sweep
        level = 1.42 - 0.46 * np.cos(2 * np.pi * s) + 0.1 * np.sin(14 * np.pi * s)
        radius = 2.72 - 0.42 * sweep**2 + 0.12 * np.sin(10 * np.pi * s)
        eye = np.array([radius * np.sin(angle), FOCUS[1] - radius * np.cos(angle), level])
        aim = np.array(
            [0.42 * np.sin(8 * np.pi * s) - 0.25 * sweep, FOCUS[1] + 0.1, FOCUS[2] + 0.08 * np.cos(6 * np.pi * s)]
        )
        pose = look_at(to_world(eye + drift[k]), to_world(aim + drift[k - 1]))
        cameras.append(camera_at(f"{k:05d}.png", width, height, pose))
    return cameras


FAR = (  # by name: angles, radians, radius and level, metres, of cameras that look at the middle
    ("closer", (-0.7, -0.25, 0.25, 0.7), 1.55, 1.35),
    ("higher", (-0.8, -0.3, 0.3, 0.8), 1.9, 2.25),
    ("aside", (-1.35, -1.2, 1.2, 1.35), 2.15, 1.3),
)


def make_far_cameras(width: int, height: int) -> list[Camera]:
    """Cameras off that path: a meter closer, near the ceiling, and beyond its ends on both sides."""
    cameras = []
    for name, angles, radius, level in FAR:
        for k, angle in enumerate(angles):
            eye = [radius * np.sin(angle), FOCUS[1] - radius * np.cos(angle), level]
            pose = look_at(to_world(eye), to_world([FOCUS[0], FOCUS[1] + 0.05, FOCUS[2]]))
            cameras.append(camera_at(f"{name}_{k}.png", width, height, pose))
    return cameras


def look_at(eye: np.ndarray, target: np.ndarray) -> np.ndarray:
    """camera_from_world (4, 4) of a level camera; the world's y points down."""
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross((0.0, 1.0, 0.0), forward)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward])
    pose[:3, 3] = -pose[:3, :3] @ eye
    return pose


def camera_at(name: str, width: int, height: int, pose: np.ndarray) -> Camera:
    """The rooms' camera at a pose, camera_from_world (4, 4)."""
    x, y = width / 480, height / 360
    return Camera(name, width, height, FOCAL[0] * x, FOCAL[1] * y, PRINCIPAL[0] * x, PRINCIPAL[1] * y, pose)
