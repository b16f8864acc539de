"""The outdoor scene: a few things on a lawn, trees and houses behind them, hills far away, and a sky."""

from __future__ import annotations

import numpy as np

from scene.synthetic import furniture, objects
from scene.synthetic.camera_path import look_at
from scene.synthetic.placing import WHITE, at, rod
from scene.synthetic.plan import Solid, to_world
from scene.synthetic.round_shapes import Ellipsoid
from scene.synthetic.shapes import Box, Rectangle
from scene.synthetic.textures import Texture, bricks, mix, noise, plain, srgb, step
from scene.types import Camera

MIDDLE = (0.1, 2.8, 0.5)  # of the things in the foreground, in room axes
LAWN = 400.0  # metres across
TREES, HOUSES, HILLS = 26, 7, 9


def outdoors(seed: int = 0) -> list[list[Solid]]:
    """All solids, in groups of neighbours."""
    rng = np.random.default_rng([seed, 277])
    lawn = Solid(Rectangle(at((0, 0, 0)), LAWN, LAWN), _grass())
    near = [furniture.table(rng), objects.tableware(rng), furniture.chair(rng), furniture.pouf_and_ball(rng)]
    trees = [_tree(rng, k) for k in range(TREES)]
    houses = [_house(rng, k) for k in range(HOUSES)]
    return [[lawn], *near, objects.plant(rng), *trees, *houses, [_hill(rng, k) for k in range(HILLS)]]


def cameras_outdoors(views: int, width: int, height: int, seed: int = 0) -> list[Camera]:
    """Cameras on an uneven ring around the foreground, held by hand, looking across it to what is behind."""
    rng = np.random.default_rng([seed, 278])
    focal, cameras = 0.85 * width, []
    for k in range(views):
        turn = 2 * np.pi * (k + rng.uniform(-0.2, 0.2)) / views
        reach, level = 3.1 + 0.5 * np.sin(3 * turn), 1.35 + 0.45 * np.sin(5 * turn) + rng.normal(scale=0.05)
        eye = np.array([MIDDLE[0] + reach * np.cos(turn), MIDDLE[1] + reach * np.sin(turn), level])
        aim = np.array(MIDDLE) + rng.normal(scale=0.12, size=3) + [0, 0, 0.25]
        pose = look_at(to_world(eye), to_world(aim))
        cameras.append(Camera(f"{k:05d}.png", width, height, focal, focal, width / 2, height / 2, pose))
    return cameras


def _grass() -> Texture:
    """A lawn with worn and mown patches."""

    def texture(p: np.ndarray, blur: np.ndarray) -> np.ndarray:
        fine, broad = noise(p, blur, 0.06, 111, 4, 0.8), noise(p, blur, 1.7, 112, 3)
        green = mix(srgb("#5f8a3c"), srgb("#86a04e"), np.clip(0.5 + 0.35 * broad, 0, 1))
        worn = step(noise(p, blur, 0.8, 113, 3), 1.1, np.maximum(blur, 0.5))
        return mix(green, srgb("#a08458"), 0.8 * worn) * np.exp(0.22 * fine)

    return texture


def _around(rng: np.random.Generator, low: float, high: float, k: int, count: int) -> np.ndarray:
    """A place on the ground, at a distance between `low` and `high` metres from the middle."""
    turn, reach = 2 * np.pi * (k + rng.uniform(0.1, 0.9)) / count, rng.uniform(low, high)
    return np.array([MIDDLE[0] + reach * np.cos(turn), MIDDLE[1] + reach * np.sin(turn), 0.0])


def _tree(rng: np.random.Generator, k: int) -> list[Solid]:
    foot, tall = _around(rng, 9, 34, 7 * k % TREES, TREES), rng.uniform(3.5, 7.5)
    solids = [rod(foot, np.add(foot, (0, 0, 0.6 * tall)), 0.03 * tall, plain(srgb("#6a5240"), 0.2, 0.2, seed=120 + k))]
    leaves = plain(srgb(("#3f6b35", "#5d8440", "#7a8a3a", "#2f5a40")[k % 4]), 0.5, 0.35, seed=150 + k)
    for _ in range(4):
        place = foot + rng.normal(scale=0.12 * tall, size=3) * [1, 1, 0.7] + [0, 0, 0.72 * tall]
        solids.append(Solid(Ellipsoid(at(place), tuple(tall * rng.uniform(0.13, 0.26, 3))), leaves))
    return solids


def _house(rng: np.random.Generator, k: int) -> list[Solid]:
    place, yaw = _around(rng, 26, 48, k, HOUSES), rng.uniform(0, np.pi)
    wide, deep, tall = rng.uniform(6, 11), rng.uniform(5, 8), rng.uniform(3.5, 7)
    tints = ("#bd7459", "#e0d2b4", "#9fb0b8", "#c68567", "#d8b878")
    wall = bricks((srgb(tints[k % 5]), srgb(tints[(k + 1) % 5])), srgb("#cbb09a"), (1.6, 0.9), seed=180 + k)
    body = Solid(Box(at(np.add(place, (0, 0, tall / 2)), yaw), (wide, deep, tall)), wall)
    roof = Box(at(np.add(place, (0, 0, tall + 0.3)), yaw), (wide + 0.8, deep + 0.8, 0.6))
    return [body, Solid(roof, plain(srgb("#6e3b30"), 0.8, 0.2, seed=190 + k)), *_windows(place, yaw, wide, deep, tall)]


def _windows(place: np.ndarray, yaw: float, wide: float, deep: float, tall: float) -> list[Solid]:
    """Two white shutters on each long side."""
    c, s = np.cos(yaw), np.sin(yaw)
    solids = []
    for x in (-0.25 * wide, 0.25 * wide):
        middle = np.add(place, (c * x, s * x, 0.55 * tall))
        solids.append(Solid(Box(at(middle, yaw), (1.4, deep + 0.1, 1.6)), plain(WHITE, seed=195)))
    return solids


def _hill(rng: np.random.Generator, k: int) -> Solid:
    place, wide = _around(rng, 110, 170, k, HILLS), rng.uniform(45, 80)
    woods = plain(srgb(("#6d8a86", "#7f9aa0", "#5f7f70")[k % 3]), 9.0, 0.2, seed=200 + k)
    return Solid(Ellipsoid(at(place), (wide, wide, rng.uniform(14, 30))), woods)
