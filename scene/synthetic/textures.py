"""Procedural textures without aliasing: every edge is as soft as the pixel that sees it, every wave fades before it.

A texture maps surface points to linear-light albedo: `texture(p, blur)` with p (3, R) in the shape's own frame in
metres and blur (R,) the width of a pixel on the surface in metres gives (3, R).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

Texture = Callable[[np.ndarray, np.ndarray], np.ndarray]
Color = np.ndarray  # (3, 1) float32, linear light

AXES = {"x": 0, "y": 1, "z": 2}
WAVES = 7  # plane waves per octave of noise


def srgb(code: str) -> Color:
    """A linear color from an sRGB hex code such as "#c98b5a"."""
    value = np.array([int(code[k : k + 2], 16) / 255 for k in (1, 3, 5)])
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)[:, None]


def mix(a: np.ndarray, b: np.ndarray, share: np.ndarray) -> np.ndarray:
    """a where share (R,) is 0, b where it is 1; a and b are (3, 1) or (3, R)."""
    return a + (b - a) * share


def step(x: np.ndarray, edge: float | np.ndarray, blur: np.ndarray, soft: float = 0.0) -> np.ndarray:
    """0 below `edge`, 1 above, with a smooth ramp as wide as the pixel, or `soft` (same unit as x) if that is wider."""
    t = np.clip((x - edge) / (np.maximum(blur, soft) + 1e-9) + 0.5, 0, 1)
    return t * t * (3 - 2 * t)


def band(x: np.ndarray, low: float, high: float, blur: np.ndarray, soft: float = 0.0) -> np.ndarray:
    """1 between low and high, 0 outside, with soft edges."""
    return step(x, low, blur, soft) - step(x, high, blur, soft)


def scatter(*cells: np.ndarray | float) -> np.ndarray:
    """A number in [0, 1) for every integer cell: well mixed, and the same on every machine."""
    code = np.full(1, 0x9E3779B9, np.uint32)
    for cell in cells:
        code = (code ^ np.atleast_1d(cell).astype(np.int64).astype(np.uint32)) * np.uint32(0x85EBCA6B)
        code = (code ^ (code >> np.uint32(13))) * np.uint32(0xC2B2AE35)
        code = code ^ (code >> np.uint32(16))
    return (code >> np.uint32(8)).astype(np.float32) / (1 << 24)


@cache
def _waves(seed: int, octave: int) -> tuple[np.ndarray, np.ndarray]:
    """Random directions (WAVES, 3) of about unit length, and phases (WAVES, 1)."""
    rng = np.random.default_rng([seed, octave])
    directions = rng.normal(size=(WAVES, 3))
    directions *= rng.uniform(0.75, 1.45, (WAVES, 1)) / np.linalg.norm(directions, axis=1, keepdims=True)
    return directions.astype(np.float32), rng.uniform(0, 2 * np.pi, (WAVES, 1)).astype(np.float32)


def noise(
    p: np.ndarray, blur: np.ndarray, size: float, seed: int = 0, octaves: int = 3, gain: float = 0.55
) -> np.ndarray:
    """(R,) smooth noise of about unit variance, features of about `size` metres and finer: a sum of plane waves.

    A wave of wave number k seen through a pixel of width b is damped by exp(−(k·b)²/24): a box has variance b²/12.
    """
    total, power = np.zeros(p.shape[1], np.float32), 0.0
    p = p.astype(np.float32, copy=False)
    for octave in range(octaves):
        directions, phases = _waves(seed, octave)
        k, gained = np.pi * 2**octave / size, gain**octave
        waves = np.sin(np.einsum("wi,ir->wr", directions * np.float32(k), p) + phases).sum(axis=0)
        total += waves * (gained * np.exp(-((k * blur) ** 2) / 24)).astype(np.float32)
        power += gained**2 * WAVES / 2
    return total / np.float32(np.sqrt(power))


def plain(color: Color, size: float = 0.12, depth: float = 0.1, seed: int = 0) -> Texture:
    """One color with soft mottling, as plaster, felt or paint has: `depth` is the mottling's relative deviation."""

    def texture(p: np.ndarray, blur: np.ndarray) -> np.ndarray:
        return color * np.exp(depth * noise(p, blur, size, seed, octaves=4, gain=0.7))

    return texture


def wood(light: Color, dark: Color, along: str = "x", seed: int = 0, scale: float = 1.0) -> Texture:
    """Grain that runs along an axis: noise stretched by ten, and bent year rings."""
    axis = AXES[along]

    def texture(p: np.ndarray, blur: np.ndarray) -> np.ndarray:
        q = p.astype(np.float32) / np.float32(scale)
        q[axis] *= np.float32(0.09)
        blur = blur / scale
        grain = noise(q, blur, 0.035, seed, octaves=3, gain=0.7)
        rings = np.sin(
            np.float32(60) * q[axis - 1] + np.float32(38) * q[axis - 2] + 1.6 * noise(q, blur, 0.12, seed + 1, 1)
        )
        rings = rings * np.exp(-((60 * blur) ** 2) / 24)
        return mix(light, dark, np.clip(0.42 + 0.24 * grain + 0.2 * rings, 0, 1))

    return texture


def planks(light: Color, dark: Color, width: float = 0.145, length: float = 1.1, seed: int = 0) -> Texture:
    """Floor boards along x with staggered ends, each cut from another part of the tree."""
    board = wood(light, dark, "x", seed, scale=1.5)

    def texture(p: np.ndarray, blur: np.ndarray) -> np.ndarray:
        row = np.floor(p[1] / width)
        x = p[0] / length + scatter(row, seed)
        column = np.floor(x)
        own = scatter(row, column, seed + 1)
        moved = np.stack([p[0] + 7 * own, p[1] + 0.31 * row, 5 * own])
        to_side = np.abs(p[1] - (row + 0.5) * width) - width / 2
        to_end = (np.abs(x - column - 0.5) - 0.5) * length
        gap = step(np.maximum(to_side, to_end), -0.002, blur, 0.008) * np.minimum(1, 0.008 / np.maximum(blur, 0.004))
        return board(moved, blur) * (0.72 + 0.5 * own) * (1 - 0.75 * gap)

    return texture


def bricks(
    colors: tuple[Color, ...], mortar: Color, size: tuple[float, float] = (0.24, 0.082), seed: int = 0
) -> Texture:
    """Stretcher bond in the plane z = 0, rows along x."""
    joint = 0.013

    def texture(p: np.ndarray, blur: np.ndarray) -> np.ndarray:
        row = np.floor(p[1] / size[1])
        x = p[0] / size[0] + 0.5 * (row % 2)
        column = np.floor(x)
        pick = scatter(row, column, seed)
        brick = np.concatenate(colors, axis=1)[:, (pick * len(colors)).astype(np.intp)]
        brick = brick * (0.8 + 0.4 * scatter(row, column, seed + 1)) * np.exp(0.1 * noise(p, blur, 0.05, seed, 3, 0.8))
        ragged = 0.002 * noise(p, blur, 0.04, seed + 2, 2)
        to_bed = size[1] / 2 - np.abs(p[1] - (row + 0.5) * size[1])
        to_head = (0.5 - np.abs(x - column - 0.5)) * size[0]
        inside = step(np.minimum(to_bed, to_head) + ragged, joint / 2, blur, 0.006)
        return mix(mortar * np.exp(0.08 * noise(p, blur, 0.03, seed + 3, 2)), brick, inside)

    return texture


def checker(a: Color, b: Color, size: float) -> Texture:
    """Squares in the plane z = 0, a corner at the origin."""

    def texture(p: np.ndarray, blur: np.ndarray) -> np.ndarray:
        odd = np.ones(p.shape[1], np.float32)
        for x in (p[0], p[1]):
            cell = np.floor(x / size)
            nearest = np.minimum(x - cell * size, (cell + 1) * size - x)
            odd = odd * (1 - 2 * (cell % 2)) * (2 * step(nearest, 0.0, blur, 0.004) - 1)
        return mix(a, b, 0.5 - 0.5 * odd) * np.exp(0.06 * noise(p, blur, 0.03, 5, 2))

    return texture


def marble(base: Color, vein: Color, size: float = 0.2, seed: int = 0) -> Texture:
    """Veins where a bent noise passes through zero."""

    def texture(p: np.ndarray, blur: np.ndarray) -> np.ndarray:
        bent = p.astype(np.float32) + 0.35 * size * np.stack([noise(p, blur, size, seed + k, 2) for k in range(3)])
        fine = np.exp(-((9 * noise(bent, blur, 1.3 * size, seed + 3, 2, 0.5)) ** 2) / 9)
        broad = np.exp(-((2.5 * noise(bent, blur, 2 * size, seed + 4, 2)) ** 2))
        return mix(base, vein, np.clip(0.75 * fine + 0.3 * broad, 0, 1))

    return texture


def rings(colors: tuple[Color, ...], edges: tuple[float, ...], petals: int = 0, seed: int = 0) -> Texture:
    """Concentric rings about the z axis, bounded by `edges` (metres from the axis), some wavy as petals."""

    def texture(p: np.ndarray, blur: np.ndarray) -> np.ndarray:
        r, angle = np.hypot(p[0], p[1]), np.arctan2(p[1], p[0])
        out = np.broadcast_to(colors[0], p.shape)
        for k, edge in enumerate(edges):
            wave = 0.05 * edge * np.cos(petals * angle) if petals and k % 3 == 1 else 0.0
            out = mix(out, colors[(k + 1) % len(colors)], step(r + wave, edge, blur, 0.008))
        return out * np.exp(0.13 * noise(p, blur, 0.04, seed, 3, 0.8))

    return texture


def stripes(colors: tuple[Color, ...], count: int, seed: int = 0) -> Texture:
    """`count` stripes as on a beach ball, from pole to pole of the z axis."""

    def texture(p: np.ndarray, blur: np.ndarray) -> np.ndarray:
        turn = (np.arctan2(p[1], p[0]) / (2 * np.pi)) % 1 * count
        cell = np.floor(turn)
        r = np.maximum(np.hypot(p[0], p[1]), 1e-4) * 2 * np.pi / count
        table = np.concatenate([colors[k % len(colors)] for k in range(count)], axis=1)
        here, before = table[:, cell.astype(np.intp) % count], table[:, (cell.astype(np.intp) - 1) % count]
        after = table[:, (cell.astype(np.intp) + 1) % count]
        into = (turn - cell) * r
        out = mix(here, before, 1 - step(into, 0.0, blur, 0.005))
        out = mix(out, after, step(into, r, blur, 0.005))
        return out * np.exp(0.05 * noise(p, blur, 0.05, seed, 2))

    return texture


def layers(
    colors: tuple[Color, ...], edges: tuple[float, ...], axis: str = "z", wave: float = 0.0, seed: int = 0
) -> Texture:
    """Bands along an axis, bounded by `edges` in metres, each border bent by `wave` metres of noise."""

    def texture(p: np.ndarray, blur: np.ndarray) -> np.ndarray:
        x = p[AXES[axis]] + (wave * noise(p, blur, 0.1, seed, 2) if wave else 0.0)
        out = np.broadcast_to(colors[0], p.shape)
        for edge, color in zip(edges, colors[1:], strict=True):
            out = mix(out, color, step(x, edge, blur, 0.003))
        return out * np.exp(0.07 * noise(p, blur, 0.03, seed + 1, 3, 0.7))

    return texture


def weave(a: Color, b: Color, size: float = 0.03) -> Texture:
    """Coarse cloth: two soft waves crossed, in all three directions so that it goes round corners."""

    def texture(p: np.ndarray, blur: np.ndarray) -> np.ndarray:
        k = 2 * np.pi / size
        crossed = (np.sin(k * p[0]) + np.sin(k * p[1]) + np.sin(k * p[2])) * np.exp(-((k * blur) ** 2) / 24)
        return mix(a, b, np.clip(0.5 + 0.22 * crossed + 0.15 * noise(p, blur, 0.05, 3, 3, 0.8), 0, 1))

    return texture


def leaf(green: Color, rib: Color, length: float, seed: int = 0) -> Texture:
    """A leaf along x: a pale midrib and side ribs that run forward."""

    def texture(p: np.ndarray, blur: np.ndarray) -> np.ndarray:
        middle = band(p[1], -0.0035, 0.0035, blur, 0.005)
        side = np.sin((p[0] - 1.1 * np.abs(p[1])) * (2 * np.pi * 7 / length)) * np.exp(
            -((44 / length * blur) ** 2) / 24
        )
        shade = green * np.exp(0.16 * side + 0.12 * noise(p, blur, 0.05, seed, 2))
        return mix(shade, rib, 0.7 * middle)

    return texture
