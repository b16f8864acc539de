"""The light in the synthetic room, worked out once for every spot of every surface: it is the same from all sides.

Light comes from the sky through the window, from the sun through the window, from the bulb and from the glowing shade,
and is then passed on between the surfaces (radiosity). Values are irradiance / π, so that a matt surface's radiance is
albedo × light. Sampling noise is blurred within each chart, and what is left belongs to the surface: every camera sees
the same, so it is texture and not noise to whoever fits a model to the pictures.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from scene.synthetic.atlas import Atlas, Place
from scene.synthetic.plan import BULB_HEIGHT, LAMP, WIDTH, WINDOW, Solid, to_world
from scene.synthetic.raytrace import Tracer
from scene.synthetic.room import Room
from scene.synthetic.shapes import dot, unit
from scene.synthetic.textures import srgb

FINE, COARSE = 0.024, 0.1  # metres per texel of direct and of passed-on light
LIFT = 2e-3  # metres: rays start this far off the surface
SKY = srgb("#e3edff") * 5.0
SUN = srgb("#ffd9a6") * 3.4
SUN_WAY = to_world([0.80, -0.16, 0.62])  # towards the sun, which stands behind the window
SUN_BLUR = 0.018  # half the sun's apparent width, radians: wider than the true one, for soft edges
BULB = srgb("#ffc98a") * 0.42
BULB_RADIUS = 0.04  # metres
AMBIENT = srgb("#fff3e2") * 0.045
BOUNCES = 6
RAYS_AT_ONCE = 60_000
GOLDEN = 0.6180339887  # turns between the rays of a spiral


@dataclass(frozen=True)
class Quality:
    """How finely light is worked out; smaller pictures can do with less."""

    spacing: float = 1.0  # factor on FINE and COARSE
    sky: tuple[int, int] = (5, 3)  # samples across and up the window
    sun: int = 6
    bulb: int = 4
    gather: int = 128  # directions from which passed-on light is collected


def quality_for(width: int) -> Quality:
    """What a picture `width` pixels wide deserves."""
    return Quality() if width >= 240 else Quality(3.0, (3, 2), 2, 2, 48)


class Lighting:
    """The finished light of a room: `at` reads it."""

    def __init__(self, room: Room, quality: Quality, workers: int = 1) -> None:
        """`workers`: threads; the light is the same for any number of them."""
        tracer, solids = Tracer(room), room.solids
        self.atlas = Atlas(solids, FINE * quality.spacing)
        coarse = Atlas(solids, COARSE * quality.spacing)
        direct = self.atlas.blurred(direct_light(tracer, self.atlas, quality, room.seed, workers))
        passed_on = coarse.blurred(coarse.blurred(indirect_light(tracer, solids, coarse, quality, room.seed, workers)))
        for number, solid in enumerate(solids):
            mine = self.atlas.texels_of(number)
            place = solid.shape.locate(solid.shape.to_local(self.atlas.points[:, mine].astype(np.float64)))
            direct[mine] += coarse.interpolate(passed_on, number, place).T
        self.values = (direct + AMBIENT.T).astype(np.float32)

    def at(self, solid: int, place: Place) -> np.ndarray:
        """(3, R) light at places (chart, u, v) of a solid."""
        return self.atlas.interpolate(self.values, solid, place)


def direct_light(tracer: Tracer, atlas: Atlas, quality: Quality, seed: int, workers: int) -> np.ndarray:
    """(texels, 3) light that comes straight from the window's sky, the sun and the bulb."""

    def light(part: slice) -> np.ndarray:
        rng = np.random.default_rng([seed, 5, part.start])
        n = atlas.normals[:, part]
        p = atlas.points[:, part] + np.float32(LIFT) * n
        total = SKY * _sky(tracer, p, n, quality, rng)
        total += SUN * _sun(tracer, p, n, quality, rng)
        total += BULB * _bulb(tracer, p, n, quality, rng)
        return total.T

    return _in_parts(light, len(atlas), RAYS_AT_ONCE, workers)


def _in_parts(work: Callable[[slice], np.ndarray], total: int, step: int, workers: int) -> np.ndarray:
    """The results of `work` on slices of 0..total, put together; numpy lets go of Python's lock in large arrays."""
    parts = [slice(start, min(start + step, total)) for start in range(0, total, step)]
    with ThreadPoolExecutor(workers) as pool:
        return np.concatenate(list(pool.map(work, parts)))


def _sky(tracer: Tracer, p: np.ndarray, n: np.ndarray, quality: Quality, rng: np.random.Generator) -> np.ndarray:
    """(T,) share of the half space that sees sky: jittered samples on the window's area."""
    y, z, width, height = WINDOW
    across, up = quality.sky
    total = np.zeros(p.shape[1], np.float32)
    inward = to_world([-1.0, 0, 0]).astype(np.float32)[:, None]
    for i in range(across):
        for j in range(up):
            a, b = ((k + rng.random(p.shape[1])) / count - 0.5 for k, count in ((i, across), (j, up)))
            target = to_world(np.stack([np.full_like(a, WIDTH / 2 - 0.006), y + a * width, z + b * height], axis=1)).T
            d = target.astype(np.float32) - p
            total += _seen(tracer, p, d, n, -dot(d, inward))
    return total * np.float32(width * height / (across * up * np.pi))


def _seen(tracer: Tracer, p: np.ndarray, d: np.ndarray, n: np.ndarray, back: np.ndarray | None) -> np.ndarray:
    """cos θ·cos θ′/d² (or cos θ/d² without `back`, d·cos θ′) of the points p + d that are seen from p, else 0."""
    square = dot(d, d)
    weight = dot(n, d) / (square * np.sqrt(square))
    if back is not None:
        weight = weight * np.maximum(back, 0) / np.sqrt(square)
    some = np.flatnonzero(weight > 0)
    some = some[~tracer.blocked(p[:, some], d[:, some])]
    result = np.zeros_like(weight)
    result[some] = weight[some]
    return result


def _sun(tracer: Tracer, p: np.ndarray, n: np.ndarray, quality: Quality, rng: np.random.Generator) -> np.ndarray:
    """(T,) cosine-weighted share of the sun that reaches a point through the window."""
    y, z, width, height = WINDOW
    total = np.zeros(p.shape[1], np.float32)
    for _ in range(quality.sun):
        way = SUN_WAY[:, None] / np.linalg.norm(SUN_WAY) + SUN_BLUR * rng.normal(size=p.shape) * 0.6
        way = unit(way).astype(np.float32)
        cosine = dot(n, way)
        t = (np.float32(WIDTH / 2 - 0.006) - p[0]) / way[0]  # the window's wall stands at this x in the world, too
        at = p + t * way
        through = (np.abs(at[2] - y) < width / 2) & (np.abs(-at[1] - z) < height / 2)
        some = np.flatnonzero(through & (cosine > 0) & (t > 0))
        some = some[~tracer.blocked(p[:, some], t[some] * way[:, some])]
        total[some] += cosine[some]
    return total / quality.sun


def _bulb(tracer: Tracer, p: np.ndarray, n: np.ndarray, quality: Quality, rng: np.random.Generator) -> np.ndarray:
    """(T,) cos θ/d² of the bulb, as seen past its shade."""
    center = to_world([*LAMP, BULB_HEIGHT])[:, None]
    total = np.zeros(p.shape[1], np.float32)
    for _ in range(quality.bulb):
        target = center + BULB_RADIUS * unit(rng.normal(size=p.shape))
        total += _seen(tracer, p, target.astype(np.float32) - p, n, None)
    return np.minimum(total / quality.bulb, 12.0)


def indirect_light(
    tracer: Tracer, solids: list[Solid], atlas: Atlas, quality: Quality, seed: int, workers: int
) -> np.ndarray:
    """(texels, 3) light passed on by other surfaces: rays in cosine-weighted directions find for every texel the
    texels it sees, once; then light is passed along them BOUNCES times."""
    albedo, glow = np.zeros((len(atlas), 3), np.float32), np.zeros((len(atlas), 1), np.float32)
    for number, solid in enumerate(solids):
        mine = atlas.texels_of(number)
        local = solid.shape.to_local(atlas.points[:, mine])
        albedo[mine] = np.clip(solid.texture(local, np.full(local.shape[1], 0.1, np.float32)), 0, 0.95).T
        glow[mine] = solid.glow if solid.sensed else 0.0  # the window's light is in the direct part
    seen = _seen_texels(tracer, solids, atlas, quality.gather, seed, workers)
    direct = direct_light(tracer, atlas, quality, seed, workers)
    passed_on = np.zeros_like(direct)
    for _ in range(BOUNCES):
        radiance = np.concatenate([albedo * (direct + passed_on + glow + AMBIENT.T), np.zeros((1, 3), np.float32)])
        passed_on = np.stack([radiance[:, c][seen].mean(axis=1) for c in range(3)], axis=1)
    return passed_on


def _seen_texels(tracer: Tracer, solids: list[Solid], atlas: Atlas, count: int, seed: int, workers: int) -> np.ndarray:
    """(texels, count) int32: which texel each cosine-weighted ray of a texel meets; len(atlas) for none."""
    k = (np.arange(count) + 0.5) / count
    out, up = np.sqrt(k), np.sqrt(1 - k)

    def look(part: slice) -> np.ndarray:
        n = atlas.normals[:, part]
        start = np.random.default_rng([seed, 6, part.start]).random((n.shape[1], 1))
        turn = 2 * np.pi * (start + np.arange(count) * GOLDEN)  # a spiral of even cover
        a, b = _across(n)
        d = a[:, :, None] * (out * np.cos(turn)) + b[:, :, None] * (out * np.sin(turn)) + n[:, :, None] * up
        d = d.reshape(3, -1).astype(np.float32)
        o = np.repeat(atlas.points[:, part] + np.float32(LIFT) * n, count, axis=1)
        t, number = tracer.nearest(o, d)
        seen = np.full(d.shape[1], len(atlas), np.int32)
        for solid in np.unique(number[number >= 0]):
            mine = np.flatnonzero(number == solid)
            shape = solids[solid].shape
            seen[mine] = atlas.nearest(solid, shape.locate(shape.to_local(o[:, mine] + t[mine] * d[:, mine])))
        return seen.reshape(-1, count)

    return _in_parts(look, len(atlas), RAYS_AT_ONCE // count, workers)


def _across(n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two unit vectors perpendicular to unit vectors n (3, R) and to each other."""
    other = np.where(np.abs(n[0]) < 0.7, np.array([[1], [0], [0]]), np.array([[0], [1], [0]])).astype(n.dtype)
    a = unit(np.cross(other, n, axis=0))
    return a, np.cross(n, a, axis=0)
