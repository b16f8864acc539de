"""The object scene: a laid table, a spindle-back chair, a hoop and a glossy ball, and the cameras all around them."""

from __future__ import annotations

import numpy as np

from scene.synthetic import furniture, objects
from scene.synthetic.camera_path import look_at
from scene.synthetic.lathe import Lathe, ring_profile
from scene.synthetic.placing import at, facing
from scene.synthetic.plan import Solid, to_world
from scene.synthetic.round_shapes import Ellipsoid
from scene.synthetic.textures import marble, plain, srgb
from scene.types import Camera

MIDDLE = (-0.35, 2.76, 0.45)  # of everything, in room axes
DISTANCE = 3.3  # metres from there to the cameras
FIELD_OF_VIEW = 0.6911  # radians across, as Blender's NeRF scenes have
LOWEST, HIGHEST = np.radians(-12), np.radians(78)  # of the cameras, above the horizon
GOLDEN = np.pi * (3 - np.sqrt(5))  # radians between cameras of a spiral that covers the sphere evenly


def solids(seed: int = 0) -> list[list[Solid]]:
    """All solids, in groups of neighbours."""
    rng = np.random.default_rng([seed, 177])
    hoop = Lathe(at((-0.42, 2.12, 0.32), 0.3, facing((0.3, -1, 0.15))), ring_profile(0.3, 0.018))
    ball = Ellipsoid(at((0.0, 2.2, 0.17)), (0.17, 0.17, 0.17))
    toys = [
        Solid(hoop, plain(srgb("#2f74b5"), 0.05, 0.08, seed=101), gloss=0.35),
        Solid(ball, marble(srgb("#b8322a"), srgb("#3a1210"), 0.12, seed=102), gloss=0.35),
    ]
    return [furniture.table(rng), objects.tableware(rng), furniture.chair(rng), toys]


def cameras_around(views: int, width: int, height: int, seed: int, folder: str) -> list[Camera]:
    """Cameras spread over the sphere around everything, looking in; those of another `seed` stand elsewhere."""
    rng = np.random.default_rng([seed, 178])
    start, middle = rng.uniform(0, 2 * np.pi), to_world(MIDDLE)
    focal = width / (2 * np.tan(FIELD_OF_VIEW / 2))
    cameras = []
    for k in range(views):
        level = np.sin(LOWEST) + (np.sin(HIGHEST) - np.sin(LOWEST)) * (k + rng.uniform()) / views
        turn, out = start + k * GOLDEN, np.sqrt(1 - level**2)
        eye = np.array(MIDDLE) + DISTANCE * np.array([out * np.cos(turn), out * np.sin(turn), level])
        pose = look_at(to_world(eye), middle)
        cameras.append(Camera(f"{folder}/r_{k}.png", width, height, focal, focal, width / 2, height / 2, pose))
    return cameras
