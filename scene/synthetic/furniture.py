"""The furniture of the synthetic room. Every function returns the solids of one piece."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from scene.synthetic.lathe import Lathe, ring_profile, smooth_profile
from scene.synthetic.placing import BLACK, BRASS, OAK, WALNUT, around, at, facing, rod
from scene.synthetic.plan import LAMP, SIDEBOARD, TABLE, TABLE_HEIGHT, Solid
from scene.synthetic.round_shapes import Ellipsoid
from scene.synthetic.shapes import Box
from scene.synthetic.textures import plain, srgb, stripes, weave, wood


def table(rng: np.random.Generator) -> list[Solid]:
    """A round top on four thin splayed legs, tied by a thin brass ring."""
    yaw = rng.uniform(0, 0.6)
    top = [(0, -0.034), (0.5, -0.034), (0.535, -0.022), (0.54, -0.01), (0.532, 0), (0, 0)]
    grain = wood(*OAK, "x", 9)
    solids = [Solid(Lathe(at((*TABLE[:2], TABLE_HEIGHT), yaw), top), grain, gloss=0.05)]
    for k in range(4):
        turn = np.pi / 4 + k * np.pi / 2
        foot = around(TABLE, yaw + turn, (0.46, 0, 0.013))
        head = around(TABLE, yaw + turn, (0.3, 0, TABLE_HEIGHT - 0.035))
        solids.append(rod(foot, head, 0.016, wood(*WALNUT, "z", 10 + k)))
    ring = Lathe(at((*TABLE[:2], 0.22)), ring_profile(0.405, 0.008))
    return [*solids, Solid(ring, plain(BRASS, seed=9), gloss=0.3, thin=True)]


def chair(rng: np.random.Generator) -> list[Solid]:
    """A spindle-back chair: round seat, four thin legs with stretchers, seven spindles under a bent rail."""
    center, yaw = (-0.98, 2.62, 0.0), 1.25 + rng.uniform(-0.12, 0.12)  # local −y is its front, turned towards the table
    paint, seat_z = plain(srgb("#d8b04a"), 0.07, 0.07, seed=16), 0.43
    seat = [(0, -0.03), (0.17, -0.03), (0.2, -0.015), (0.205, 0.0), (0.19, 0.008), (0.1, 0.001), (0, 0)]
    solids = [Solid(Lathe(at((*center[:2], seat_z)), seat), paint, gloss=0.04)]
    feet, heads = [], []
    for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
        feet.append(around(center, yaw, (0.2 * x, 0.2 * y, 0.012)))
        heads.append(around(center, yaw, (0.125 * x, 0.125 * y, seat_z - 0.02)))
        solids.append(rod(feet[-1], heads[-1], 0.0135, paint))
    low = [foot + 0.4 * (head - foot) for foot, head in zip(feet, heads, strict=True)]
    solids += [rod(low[k], low[(k + 1) % 4], 0.008, paint) for k in (1, 3)]
    solids += [rod((low[1] + low[2]) / 2, (low[3] + low[0]) / 2, 0.008, paint)]
    tops = []
    for k in range(7):
        bend = (k - 3) / 3
        bottom = around(center, yaw, (0.15 * bend, 0.165 - 0.06 * bend**2, seat_z - 0.005))
        tops.append(around(center, yaw, (0.2 * bend, 0.25 - 0.07 * bend**2, 0.86 - 0.035 * bend**2)))
        solids.append(rod(bottom, tops[-1], 0.0085 if abs(bend) < 1 else 0.0125, paint))
    solids += [rod(a, b, 0.0165, paint) for a, b in pairwise(tops)]
    return solids


def sideboard() -> list[Solid]:
    """A long low cupboard with three doors, on tapered legs."""
    x, y, low, high = SIDEBOARD
    width, depth = 1.8, 0.4
    body = Box(at((x, y, (low + high) / 2)), (width, depth, high - low))
    solids = [Solid(body, wood(*WALNUT, "x", 20, 1.4), gloss=0.04)]
    for k in (-1, 0, 1):
        door = Box(at((x + k * 0.59, y - depth / 2 - 0.004, (low + high) / 2)), (0.56, 0.014, high - low - 0.07))
        solids.append(Solid(door, wood(srgb("#b3784a"), srgb("#74452a"), "x" if k else "z", 21 + k), gloss=0.04))
        knob = Ellipsoid(
            at((x + k * 0.59 + (0.2 if k < 1 else -0.2), y - depth / 2 - 0.02, 0.42)), (0.014, 0.014, 0.014)
        )
        solids.append(Solid(knob, plain(BRASS, seed=22), gloss=0.3))
    for side_x in (-1, 1):
        for side_y in (-1, 1):
            leg = [(0, 0), (0.011, 0), (0.02, low + 0.005), (0, low + 0.005)]
            place = (x + side_x * 0.8, y + side_y * 0.14, 0)
            solids.append(Solid(Lathe(at(place), leg), plain(BLACK, seed=23)))
    return solids


def floor_lamp() -> list[Solid]:
    """A thin stem on a round foot, with a glowing shade open at both ends."""
    x, y = LAMP
    metal = plain(srgb("#4a4038"), 0.1, 0.05, seed=50)
    foot = [(0, 0), (0.15, 0), (0.155, 0.008), (0.15, 0.02), (0.02, 0.03), (0, 0.03)]
    shade = [(0.22, 1.32), (0.224, 1.32), (0.144, 1.66), (0.14, 1.66), (0.22, 1.32)]
    return [
        Solid(Lathe(at((x, y, 0)), foot), metal, gloss=0.1),
        rod((x, y, 0.02), (x, y, 1.42), 0.0095, metal, gloss=0.1),
        Solid(Lathe(at((x, y, 0)), shade), weave(srgb("#f5d9a0"), srgb("#e9bd78"), 0.035), glow=0.75),
    ]


def pouf_and_ball(rng: np.random.Generator) -> list[Solid]:
    """A striped pouf, and a beach ball on the floor."""
    side = smooth_profile([(0.2, 0), (0.27, 0.04), (0.3, 0.16), (0.28, 0.29), (0.2, 0.35), (0.1, 0.365)], 20)
    cloth = stripes((srgb("#c8593f"), srgb("#e9dcc0"), srgb("#d9a441"), srgb("#e9dcc0")), 24, seed=80)
    ball = tuple(srgb(c) for c in ("#d8432f", "#f4efe2", "#2f74b5", "#f4efe2", "#f0b429", "#f4efe2"))
    axes = facing((0.5, rng.uniform(-0.7, -0.4), 0.7))
    return [
        Solid(Lathe(at((1.3, 3.25, 0.0)), [(0, 0), *side, (0, 0.37)]), cloth),
        Solid(
            Ellipsoid(at((0.82, 1.98, 0.165 + 0.017), axes=axes), (0.165, 0.165, 0.165)),
            stripes(ball, 6, 81),
            gloss=0.15,
        ),
    ]
