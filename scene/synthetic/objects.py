"""The small and the fine things in the synthetic room: what stands on the furniture, and the plant."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from scene.synthetic.lathe import Lathe, ring_profile, smooth_profile
from scene.synthetic.placing import BLACK, BRASS, COVERS, OAK, PAPER, Point, around, at, blade_axes, book, facing, rod
from scene.synthetic.plan import SIDEBOARD, TABLE, TABLE_HEIGHT, WIDTH, Solid
from scene.synthetic.round_shapes import Ellipsoid
from scene.synthetic.shapes import Box
from scene.synthetic.textures import checker, layers, leaf, marble, plain, srgb, wood


def tableware(rng: np.random.Generator) -> list[Solid]:
    """A bowl of oranges, a mug, three books and a chequered tray."""
    z = TABLE_HEIGHT
    x, y = TABLE[0], TABLE[1]
    bowl = smooth_profile([(0.055, 0), (0.06, 0.012), (0.11, 0.03), (0.148, 0.066), (0.16, 0.095)], 12)
    hollow = smooth_profile([(0.152, 0.097), (0.138, 0.066), (0.1, 0.038), (0.05, 0.024), (0.0, 0.022)], 10)
    glaze = layers((srgb("#3f7f8c"), srgb("#e9dfc8"), srgb("#3f7f8c")), (0.05, 0.066), wave=0.004, seed=14)
    bx, by = x + 0.2, y + 0.13
    solids = [Solid(Lathe(at((bx, by, z)), [(0, 0), *bowl, *hollow]), glaze, gloss=0.25)]
    peel = plain(srgb("#ee8a24"), 0.02, 0.07, seed=15)
    for dx, dy, dz in ((-0.058, -0.02, 0.066), (0.05, -0.042, 0.066), (0.018, 0.062, 0.067), (0.0, -0.004, 0.13)):
        fruit = Ellipsoid(at((bx + dx, by + dy, z + dz)), (0.043, 0.043, 0.043))
        solids.append(Solid(fruit, peel, gloss=0.08))
    solids += mug((x - 0.06, y - 0.33, z), rng.uniform(3.6, 4.4))
    for k, (width, depth, height) in enumerate(((0.27, 0.19, 0.034), (0.24, 0.17, 0.026), (0.2, 0.15, 0.03))):
        z_middle = z + 0.034 * (k > 0) + 0.026 * (k > 1) + height / 2
        center, yaw = (x - 0.28, y + 0.06, z_middle), rng.uniform(0.2, 0.9)
        cover = COVERS[(k * 3 + int(rng.integers(3))) % len(COVERS)]
        solids.append(book(center, (width, depth, height), yaw, cover))
    board = at((x + 0.16, y - 0.24, z + 0.011), 0.35)
    solids.append(Solid(Box(board, (0.32, 0.32, 0.022)), checker(srgb("#f0e2c0"), srgb("#6b3a24"), 0.04), gloss=0.05))
    for k, (i, j) in enumerate(((-2, 1), (1, 2), (2, -1), (-1, -2), (0, 0), (3, 2), (-3, -1))):
        place = around((x + 0.16, y - 0.24, z + 0.022), 0.35, (0.04 * i - 0.02, 0.04 * j + 0.02, 0))
        solids.append(pawn(place, PAPER if k % 2 else srgb("#3a2a2a"), 0.055 + 0.016 * (k % 3)))
    return solids


def mug(base: Point, yaw: float) -> list[Solid]:
    """A striped mug; the handle is a ring that runs into its wall."""
    wall = [
        (0, 0),
        (0.036, 0),
        (0.041, 0.005),
        (0.042, 0.09),
        (0.0405, 0.0925),
        (0.038, 0.09),
        (0.037, 0.01),
        (0, 0.009),
    ]
    paint = layers(
        (srgb("#f3ead6"), srgb("#c8452f"), srgb("#f3ead6"), srgb("#c8452f"), srgb("#f3ead6")),
        (0.02, 0.034, 0.05, 0.064),
    )
    center = around(base, yaw, (0.045, 0, 0.048))
    handle = Lathe(at(center, yaw, axes=facing((0, 1, 0))), ring_profile(0.026, 0.0055, 16))
    return [
        Solid(Lathe(at(base), wall), paint, gloss=0.2),
        Solid(handle, plain(srgb("#f3ead6"), 0.1, 0.03), gloss=0.2, thin=True),
    ]


def pawn(base: Point, color: np.ndarray, height: float) -> Solid:
    """A turned chessman."""
    points = [
        (0.0145, 0),
        (0.015, 0.1),
        (0.008, 0.25),
        (0.006, 0.6),
        (0.01, 0.66),
        (0.0075, 0.72),
        (0.011, 0.85),
        (0.006, 0.97),
    ]
    body = smooth_profile([(r, z * height) for r, z in points], 18)
    return Solid(Lathe(at(base), [(0, 0), *body, (0, height)]), plain(color, 0.05, 0.05), gloss=0.15)


def ornaments(rng: np.random.Generator) -> list[Solid]:
    """On the sideboard: a vase with dry twigs, a marble ball, a ring on a foot, a row of books."""
    x, y, _, z = SIDEBOARD
    outside = smooth_profile(
        [(0.05, 0), (0.062, 0.01), (0.115, 0.11), (0.1, 0.2), (0.042, 0.27), (0.04, 0.3), (0.056, 0.335)], 22
    )
    inside = [(0.05, 0.335), (0.034, 0.3), (0.034, 0.26), (0, 0.25)]
    glaze = layers(
        (srgb("#24566b"), srgb("#e8dcc0"), srgb("#c8673f"), srgb("#e8dcc0"), srgb("#24566b")),
        (0.07, 0.1, 0.155, 0.185),
        wave=0.008,
        seed=24,
    )
    vase = (x - 0.62, y - 0.02, z)
    solids = [Solid(Lathe(at(vase), [(0, 0), *outside, *inside]), glaze, gloss=0.3)]
    bark = plain(srgb("#8a5f3c"), 0.05, 0.1, seed=25)
    for k in range(5):
        lean = np.array([np.cos(1.3 * k + 0.4), 0.45 * np.sin(1.3 * k + 0.4), 0.0])
        bottom, top = np.add(vase, 0.02 * lean + [0, 0, 0.26]), np.add(vase, 0.2 * lean + [0, 0, 0.52 + 0.05 * (k % 3)])
        solids.append(rod(bottom, top, 0.004, bark))
        bud = Ellipsoid(at(top), (0.02, 0.02, 0.026))
        solids.append(Solid(bud, plain(srgb("#e9c9a4" if k % 2 else "#d98a6a"), 0.02, 0.1, seed=26)))
    ball = Ellipsoid(at((x - 0.3, y - 0.05, z + 0.09)), (0.09, 0.09, 0.09))
    solids.append(Solid(ball, marble(srgb("#e6e2da"), srgb("#4a5560"), 0.12, seed=27), gloss=0.25))
    ring = Lathe(at((x + 0.03, y - 0.04, z + 0.165), 0.5, facing((0, -1, 0))), ring_profile(0.105, 0.026))
    foot = Box(at((x + 0.03, y - 0.04, z + 0.018), 0.5), (0.14, 0.07, 0.036))
    solids += [
        Solid(ring, marble(srgb("#3f7a64"), srgb("#d8e2cf"), 0.1, seed=28), gloss=0.25),
        Solid(foot, plain(BLACK)),
    ]
    left = x + 0.28
    for k in range(9):
        thick, tall, deep = rng.uniform(0.024, 0.046), rng.uniform(0.2, 0.28), rng.uniform(0.15, 0.19)
        place = (left + thick / 2, y - 0.05, z + tall / 2)
        solids.append(book(place, (tall, deep, thick), 0.0, COVERS[(k * 5 + 1) % len(COVERS)], standing=True))
        left += thick + 0.001
    return solids


def wall_shelf(rng: np.random.Generator) -> list[Solid]:
    """A board on the brick wall with books, a globe and a small pot."""
    x, y, z = -WIDTH / 2 + 0.115, 2.75, 1.38
    solids = [Solid(Box(at((x, y, z)), (0.23, 1.15, 0.028)), wood(*OAK, "y", 40))]
    metal = plain(BLACK, seed=41)
    for side in (-1, 1):
        solids.append(rod((x - 0.1, y + side * 0.42, z - 0.19), (x + 0.09, y + side * 0.42, z - 0.02), 0.007, metal))
        solids.append(rod((x - 0.105, y + side * 0.42, z - 0.2), (x - 0.105, y + side * 0.42, z - 0.02), 0.007, metal))
    start = y - 0.5
    for k in range(8):
        thick, tall, deep = rng.uniform(0.025, 0.05), rng.uniform(0.18, 0.26), rng.uniform(0.13, 0.17)
        place = (x - 0.01, start + thick / 2, z + 0.014 + tall / 2)
        cover = COVERS[(k * 3 + 2) % len(COVERS)]
        solids.append(book(place, (tall, deep, thick), np.pi / 2, cover, standing=True))
        start += thick + 0.001
    globe = Ellipsoid(at((x, y + 0.12, z + 0.155), axes=facing((0.25, 0.1, 1))), (0.085, 0.085, 0.085))
    sea = marble(srgb("#3b7fa8"), srgb("#a9b86a"), 0.16, seed=42)
    stand = [(0, 0), (0.05, 0), (0.05, 0.008), (0.012, 0.02), (0.01, 0.075), (0, 0.075)]
    solids += [Solid(globe, sea, gloss=0.2), Solid(Lathe(at((x, y + 0.12, z + 0.014)), stand), plain(BRASS))]
    pot = [(0, 0), (0.05, 0), (0.066, 0.1), (0.07, 0.1), (0.07, 0.118), (0.058, 0.118), (0.052, 0.1), (0, 0.1)]
    solids.append(Solid(Lathe(at((x, y + 0.42, z + 0.014)), pot), plain(srgb("#e8e0d0"), 0.05, 0.05)))
    for k in range(7):
        turn = 0.9 * k + rng.uniform(0, 0.3)
        way = np.array([np.cos(turn), np.sin(turn), 1.2 + 0.8 * (k % 2)])
        base = np.array([x, y + 0.42, z + 0.12])
        center = base + 0.085 * way / np.linalg.norm(way)
        blade = Ellipsoid(at(center, axes=blade_axes(way)), (0.095, 0.017, 0.006))
        solids.append(Solid(blade, leaf(srgb("#6f9a52"), srgb("#b7cf8a"), 0.19, 43 + k), thin=True))
    return solids


def plant(rng: np.random.Generator) -> list[Solid]:
    """A rubber plant in a clay pot: bent thin stems, a big leaf at each end and smaller ones on the way."""
    base = np.array([1.82, 4.2, 0.0])
    clay = layers((srgb("#b9653f"), srgb("#e3d3b8"), srgb("#b9653f")), (0.17, 0.23), wave=0.006, seed=60)
    pot = [(0, 0), (0.14, 0), (0.19, 0.3), (0.21, 0.3), (0.21, 0.35), (0.175, 0.35), (0.165, 0.31), (0, 0.31)]
    solids = [Solid(Lathe(at(base), pot), clay)]
    bark = plain(srgb("#7d8a4f"), 0.05, 0.1, seed=61)
    for k in range(9):
        turn = 2.4 * k + rng.uniform(-0.2, 0.2)
        out = np.array([np.cos(turn), np.sin(turn), 0.0])
        height = 0.55 + 0.085 * k + rng.uniform(-0.04, 0.04)
        reach = (0.42 - 0.022 * k) * (0.75 if out[0] > 0.3 else 1.0)  # the wall is near on the right
        path = [base + 0.05 * out + (reach * s**1.7) * out + [0, 0, 0.3 + height * s] for s in np.linspace(0, 1, 5)]
        solids += [rod(a, b, 0.0075 - 0.0008 * j, bark) for j, (a, b) in enumerate(pairwise(path))]
        for j, size in ((4, 0.18), (3, 0.13), (2, 0.11)):
            if j == 2 and k % 2:
                continue
            side = np.cross(out, (0, 0, 1)) * (0.9 if j < 4 else 0.15) * (-1) ** (k + j)
            way = out + side + [0, 0, 0.9 if k > 5 else 0.1 if j == 4 else 0.6]
            center = path[j] + 0.92 * size * way / np.linalg.norm(way)
            green = srgb(("#3f7f4a", "#5a9a50", "#2f6b4f")[(k + j) % 3])
            blade = Ellipsoid(at(center, axes=blade_axes(way, 0.7 * (-1) ** (k + j))), (size, 0.46 * size, 0.007))
            solids.append(Solid(blade, leaf(green, srgb("#a9cf86"), 2 * size, 70 + k), gloss=0.08, thin=True))
    return solids
