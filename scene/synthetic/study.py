"""The study, another room in the same walls: a desk, a bookcase, a sofa and a low table along its sides.

Its photos look outward while the camera walks a small circle, as people scan a room; those of the first room look in.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from scene.synthetic import furniture, objects, pictures, shell
from scene.synthetic.camera_path import camera_at, look_at
from scene.synthetic.lathe import Lathe, smooth_profile
from scene.synthetic.placing import BLACK, BRASS, COVERS, OAK, WALNUT, around, at, book, facing, rod
from scene.synthetic.plan import DEPTH, HEIGHT, WIDTH, Solid, to_world
from scene.synthetic.room import Room
from scene.synthetic.round_shapes import Ellipsoid
from scene.synthetic.shapes import Box, Rectangle
from scene.synthetic.textures import Texture, checker, marble, plain, planks, rings, srgb, stripes, weave, wood
from scene.types import Camera

MIDDLE = (0.1, 2.3)  # x and y of the middle of the path, meters, in room axes
RADIUS = 0.55  # meters
TURNS = 2  # of the path
FAR = (  # by name: direction of the place and of the look, radians, distance from the middle, level
    ("closer", ((0.0, 0.0), (1.6, 1.6), (3.1, 3.1), (4.7, 4.7)), 1.15, 1.4),
    ("higher", ((0.8, 0.2), (2.4, 3.0), (3.9, 3.4), (5.5, 6.1)), 0.9, 2.25),
    ("aside", ((3.4, 0.2), (4.9, 1.7), (0.1, 3.3), (1.8, 4.9)), 1.25, 1.1),
)


@lru_cache(maxsize=4)
def build_study(seed: int = 0) -> Room:
    """The study of a seed: the books' colors, and where small things stand, differ."""
    rng = np.random.default_rng([seed, 377])
    return Room(
        seed,
        [
            _walls(),
            shell.window(),
            _pictures(),
            _desk(rng),
            _bookcase(rng),
            _sofa(),
            _low_table(rng),
            _crates(rng),
            furniture.floor_lamp(),
        ],
    )


def make_study_cameras(views: int, width: int, height: int, seed: int = 0) -> list[Camera]:
    """Cameras that turn twice while they walk a circle, looking outward, up and down by turns."""
    rng = np.random.default_rng([seed, 378])
    cameras = []
    for k in range(views):
        s = (k + 0.5) / views
        turn = 2 * np.pi * TURNS * s
        eye = np.array([*_around(turn, RADIUS + 0.15 * np.sin(5 * turn)), 1.45 + 0.25 * np.sin(3.5 * turn)])
        tilt = -0.32 + 0.3 * np.sin(np.pi * TURNS * s + 7.3 * turn)
        way = np.array([np.sin(turn + 0.2), np.cos(turn + 0.2), np.tan(tilt)])
        eye = eye + rng.normal(scale=0.02, size=3)
        cameras.append(camera_at(f"{k:05d}.png", width, height, look_at(to_world(eye), to_world(eye + way))))
    return cameras


def make_far_study_cameras(width: int, height: int) -> list[Camera]:
    """Cameras off that circle: nearer to the walls, near the ceiling, and looking across the room."""
    cameras = []
    for name, turns, reach, level in FAR:
        for k, (place, look) in enumerate(turns):
            eye = np.array([*_around(place, reach), level])
            way = np.array([np.sin(look), np.cos(look), -0.3 if level < 2 else -0.6])
            pose = look_at(to_world(eye), to_world(eye + way))
            cameras.append(camera_at(f"{name}_{k}.png", width, height, pose))
    return cameras


def _around(turn: float, reach: float) -> tuple[float, float]:
    return MIDDLE[0] + reach * np.sin(turn), MIDDLE[1] + reach * np.cos(turn)


def _block(center: tuple[float, float, float], size: tuple[float, float, float], texture: Texture) -> Solid:
    return Solid(Box(at(center), size), texture)


def _walls() -> list[Solid]:
    """Floor, ceiling and four walls, as the first room's, of other materials."""
    half, middle, more = WIDTH / 2, HEIGHT / 2, 2 * shell.OVERLAP
    across, deep, high = WIDTH + more, DEPTH + more, HEIGHT + more
    floor = planks(srgb("#8a6a4a"), srgb("#5d4330"), 0.09, 0.7, seed=301)
    green, sand = plain(srgb("#6f8a6a"), 0.18, 0.16, seed=302), plain(srgb("#d9c7a0"), 0.16, 0.1, seed=303)
    paper = weave(srgb("#c9b48a"), srgb("#a98a5c"), 0.09)
    return [
        Solid(Rectangle(at((0, DEPTH / 2, 0)), across, deep), floor),
        Solid(Rectangle(at((0, DEPTH / 2, HEIGHT), axes=facing((0, 0, -1), (0, 1, 0))), across, deep), sand),
        Solid(Rectangle(at((0, DEPTH, middle), axes=facing((0, -1, 0))), across, high), paper),
        Solid(Rectangle(at((-half, DEPTH / 2, middle), axes=facing((1, 0, 0))), deep, high), green),
        Solid(Rectangle(at((half, DEPTH / 2, middle), axes=facing((-1, 0, 0))), deep, high), sand),
        Solid(Rectangle(at((0, 0, middle), axes=facing((0, 1, 0))), across, high), green),
    ]


def _pictures() -> list[Solid]:
    """Three on the front wall, a pinboard on the back wall, and a round rug."""
    solids = []
    for x, paint in ((-1.2, pictures.blocks), (0.1, pictures.sunset), (1.3, pictures.circles)):
        canvas = Box(at((x, 0.012, 1.6), axes=facing((0, 1, 0))), (0.8, 0.6, 0.024))
        solids.append(Solid(canvas, paint(0.8, 0.6)))
    board = Box(at((0.9, DEPTH - 0.015, 1.55), axes=facing((0, -1, 0))), (1.3, 0.8, 0.03))
    rug = Lathe(at((0.1, 2.2, 0.001)), [(0, 0.0), (0.95, 0.0), (0.96, 0.012), (0, 0.012)])
    colors = tuple(srgb(code) for code in ("#35506b", "#d8cdb6", "#9c4a3a", "#d9a441", "#35506b"))
    return [
        *solids,
        Solid(board, checker(srgb("#b5885a"), srgb("#8a6238"), 0.1)),
        Solid(rug, rings(colors, (0.2, 0.42, 0.6, 0.82), petals=9, seed=305)),
    ]


def _desk(rng: np.random.Generator) -> list[Solid]:
    """On panels and drawers at the back wall, with a screen, a keyboard, a mug and books, and a stool before it."""
    oak, dark = wood(*OAK, "x", 310), plain(BLACK, 0.05, 0.06, seed=311)
    top = _block((0.9, 4.5, 0.72), (1.6, 0.7, 0.035), oak)
    panel = _block((0.14, 4.5, 0.35), (0.03, 0.66, 0.7), oak)
    drawers = [_block((1.45, 4.5, 0.12 + 0.22 * k), (0.45, 0.64, 0.2), wood(*WALNUT, "x", 312 + k)) for k in range(3)]
    screen = Box(at((0.85, 4.66, 1.06), axes=facing((0, -1, 0.12))), (0.62, 0.38, 0.03))
    stand = [
        rod((0.85, 4.68, 0.74), (0.85, 4.68, 1.0), 0.018, dark),
        _block((0.85, 4.66, 0.745), (0.24, 0.18, 0.012), dark),
    ]
    keys = _block((0.85, 4.36, 0.75), (0.42, 0.14, 0.02), checker(srgb("#d8d8d4"), srgb("#70707a"), 0.02))
    pile = [
        book((0.35, 4.45, 0.7375 + 0.03 * k + 0.015), (0.26, 0.19, 0.03), rng.uniform(-0.4, 0.4), COVERS[3 * k % 8])
        for k in range(3)
    ]
    seat = [(0, -0.03), (0.16, -0.03), (0.18, -0.01), (0.17, 0.02), (0, 0.025)]
    cushion = Solid(Lathe(at((0.7, 3.82, 0.5)), seat), weave(srgb("#9c4a3a"), srgb("#c9713c"), 0.02))
    legs = [
        rod(around((0.7, 3.82, 0), a, (0, 0.2, 0.02)), around((0.7, 3.82, 0), a, (0, 0.1, 0.47)), 0.014, oak)
        for a in (0.3, 2.4, 4.5)
    ]
    picture = Solid(screen, pictures.sunset(0.62, 0.38))
    cup = objects.mug((1.25, 4.35, 0.7375), rng.uniform(0, 6))
    return [top, panel, *drawers, picture, *stand, keys, *pile, *cup, cushion, *legs]


def _bookcase(rng: np.random.Generator) -> list[Solid]:
    """Five boards along the left wall, each with a row of books, gaps between them, and a vase."""
    grain = wood(*WALNUT, "y", 320)
    x, low, high = -WIDTH / 2 + 0.15, 1.3, 3.1
    solids = [_block((x, y, 0.95), (0.3, 0.03, 1.9), grain) for y in (low, high)]
    solids += [_block((x, (low + high) / 2, z), (0.3, high - low, 0.028), grain) for z in (0.1, 0.55, 1.0, 1.45, 1.88)]
    for row, z in enumerate((0.114, 0.564, 1.014, 1.464)):
        y = low + 0.04
        while y < high - 0.12:
            thick, tall, deep = rng.uniform(0.03, 0.055), rng.uniform(0.22, 0.34), rng.uniform(0.16, 0.22)
            if rng.random() < 0.8:
                place, cover = (x - 0.02, y + thick / 2, z + tall / 2), COVERS[int(rng.integers(8))]
                solids.append(book(place, (tall, deep, thick), np.pi / 2, cover, standing=True))
            y += thick + 0.002 + (0.3 if rng.random() < 0.06 + 0.02 * row else 0)
    vase = smooth_profile([(0.05, 0), (0.1, 0.1), (0.05, 0.24), (0.06, 0.28)], 14)
    body = Lathe(at((x, 2.2, 1.894)), [(0, 0), *vase, (0, 0.28)])
    return [*solids, Solid(body, marble(srgb("#e6e2da"), srgb("#35506b"), 0.1, seed=321), gloss=0.25)]


def _sofa() -> list[Solid]:
    """At the right wall under the window: seat, back and round arms, with two cushions."""
    cloth = weave(srgb("#4a6a78"), srgb("#5f8494"), 0.025)
    x = WIDTH / 2 - 0.5
    solids = [_block((x, 2.7, 0.24), (0.85, 1.7, 0.36), cloth), _block((x + 0.33, 2.7, 0.6), (0.2, 1.7, 0.42), cloth)]
    solids += [rod((x - 0.4, y, 0.5), (x + 0.38, y, 0.5), 0.1, cloth) for y in (1.82, 3.58)]
    for y, color in ((2.2, "#d9a441"), (3.15, "#b5432f")):
        pillow = Ellipsoid(at((x + 0.16, y, 0.6), axes=facing((-1, 0.1, 0.35))), (0.2, 0.2, 0.09))
        solids.append(Solid(pillow, weave(srgb(color), srgb("#e9dcc0"), 0.04)))
    return solids


def _low_table(rng: np.random.Generator) -> list[Solid]:
    """A square marble top on four rods by the front wall, with a bowl, a ball and a box."""
    x, y = -0.7, 0.75
    top = _block((x, y, 0.42), (0.8, 0.6, 0.03), marble(srgb("#efe6d6"), srgb("#7a5a4a"), 0.15, seed=330))
    legs = [
        rod(
            (x + 0.35 * i, y + 0.25 * j, 0.01),
            (x + 0.35 * i, y + 0.25 * j, 0.41),
            0.012,
            plain(BRASS, seed=331),
            gloss=0.3,
        )
        for i in (-1, 1)
        for j in (-1, 1)
    ]
    outside = smooth_profile([(0.05, 0), (0.12, 0.03), (0.17, 0.1)], 10)
    bowl = Lathe(
        at((x - 0.18, y + 0.05, 0.435)), [(0, 0), *outside, *smooth_profile([(0.16, 0.1), (0.1, 0.04), (0, 0.02)], 8)]
    )
    ball = Ellipsoid(at((x + 0.25, y + 0.1, 0.435 + 0.07)), (0.07, 0.07, 0.07))
    case = Box(at((x + 0.12, y - 0.15, 0.435 + 0.05), rng.uniform(0, 1)), (0.2, 0.13, 0.1))
    return [
        top,
        *legs,
        Solid(bowl, plain(srgb("#3f7f8c"), 0.03, 0.1, seed=332), gloss=0.2),
        Solid(ball, stripes((srgb("#c8452f"), srgb("#f4efe2")), 8, 333)),
        Solid(case, checker(srgb("#6f8a6a"), srgb("#e9dcc0"), 0.03)),
    ]


def _crates(rng: np.random.Generator) -> list[Solid]:
    """Three wooden boxes piled up in the corner by the front wall, turned a little."""
    solids = []
    for k, (x, y, z, edge) in enumerate(((1.7, 0.6, 0.25, 0.5), (1.2, 0.45, 0.2, 0.4), (1.68, 0.58, 0.68, 0.36))):
        crate = Box(at((x, y, z), rng.uniform(-0.35, 0.35)), (edge, edge, edge))
        solids.append(Solid(crate, planks(*OAK, 0.08, 0.5, seed=340 + k)))
    return solids
