"""The synthetic room itself: floor, walls, window, skirting and the pictures on the wall."""

from __future__ import annotations

from scene.synthetic import pictures
from scene.synthetic.lathe import Lathe
from scene.synthetic.placing import BLACK, OAK, WALNUT, WHITE, at, facing
from scene.synthetic.plan import DEPTH, HEIGHT, WIDTH, WINDOW, Solid
from scene.synthetic.shapes import Box, Rectangle
from scene.synthetic.textures import bricks, plain, planks, rings, srgb, wood

OVERLAP = 0.002  # metres that walls go on behind each other, so that no ray slips through a corner


def walls() -> list[Solid]:
    """Floor, ceiling and four walls, their fronts inside."""
    half, middle = WIDTH / 2, HEIGHT / 2
    across, deep, high = (edge + 2 * OVERLAP for edge in (WIDTH, DEPTH, HEIGHT))
    brick = bricks(
        tuple(srgb(c) for c in ("#bd7459", "#b26a51", "#c68567", "#a9614b", "#b87158")), srgb("#cbb09a"), seed=3
    )
    cream, teal = plain(srgb("#e9dcc3"), 0.25, 0.07, seed=5), plain(srgb("#5b9396"), 0.22, 0.13, seed=4)
    return [
        Solid(Rectangle(at((0, DEPTH / 2, 0)), across, deep), planks(*OAK, seed=1)),
        Solid(
            Rectangle(at((0, DEPTH / 2, HEIGHT), axes=facing((0, 0, -1), (0, 1, 0))), across, deep),
            plain(WHITE, seed=2),
        ),
        Solid(Rectangle(at((0, DEPTH, middle), axes=facing((0, -1, 0))), across, high), teal),
        Solid(Rectangle(at((-half, DEPTH / 2, middle), axes=facing((1, 0, 0))), deep, high), brick),
        Solid(Rectangle(at((half, DEPTH / 2, middle), axes=facing((-1, 0, 0))), deep, high), cream),
        Solid(Rectangle(at((0, 0, middle), axes=facing((0, 1, 0))), across, high), cream),
    ]


def window() -> list[Solid]:
    """A bright pane just before the right wall, behind a frame, two bars and a sill."""
    y, z, width, height = WINDOW
    x = WIDTH / 2
    white = plain(srgb("#f1ede4"), 0.1, 0.04, seed=6)
    pane = Rectangle(at((x - 0.004, y, z), axes=facing((-1, 0, 0))), width, height)
    bars = [Box(at((x - 0.03, y + side * (width / 2 + 0.03), z)), (0.06, 0.07, height + 0.13)) for side in (-1, 1)] + [
        Box(at((x - 0.03, y, z + side * (height / 2 + 0.03))), (0.06, width, 0.07)) for side in (-1, 1)
    ]
    bars += [Box(at((x - 0.02, y + k * width / 6, z)), (0.036, 0.028, height)) for k in (-1, 1)]
    bars += [Box(at((x - 0.02, y, z + 0.2)), (0.03, width, 0.028))]
    bars += [Box(at((x - 0.08, y, z - height / 2 - 0.08)), (0.2, width + 0.26, 0.035))]
    return [
        Solid(pane, pictures.daylight(width, height), glow=1.0, sensed=False),
        *(Solid(bar, white) for bar in bars),
    ]


def skirting() -> list[Solid]:
    """Boards along the foot of the walls that are looked at."""
    white = plain(srgb("#e6e0d2"), 0.1, 0.04, seed=7)
    half = WIDTH / 2
    return [
        Solid(Box(at((0, DEPTH - 0.009, 0.05)), (WIDTH, 0.018, 0.1)), white),
        Solid(Box(at((-half + 0.009, DEPTH / 2, 0.05)), (0.018, DEPTH, 0.1)), white),
        Solid(Box(at((half - 0.009, DEPTH / 2, 0.05)), (0.018, DEPTH, 0.1)), white),
    ]


def wall_pictures() -> list[Solid]:
    """Three framed pictures on the back wall."""
    hung = (
        (-0.78, 1.62, 0.92, 0.66, pictures.sunset, WALNUT),
        (0.16, 1.6, 0.56, 0.74, pictures.circles, (BLACK, BLACK * 0.7)),
        (0.94, 1.66, 0.6, 0.6, pictures.blocks, OAK),
    )
    solids = []
    for x, z, width, height, paint, (light, dark) in hung:
        y = DEPTH - 0.008
        canvas = Box(at((x, y, z), axes=facing((0, -1, 0))), (width, height, 0.016))
        solids.append(Solid(canvas, paint(width, height)))
        for side in (-1, 1):
            upright = Box(at((x + side * (width / 2 + 0.016), DEPTH - 0.02, z)), (0.036, 0.04, height + 0.068))
            level = Box(at((x, DEPTH - 0.02, z + side * (height / 2 + 0.016))), (width, 0.04, 0.036))
            solids += [Solid(upright, wood(light, dark, "z", 31)), Solid(level, wood(light, dark, "x", 32))]
    return solids


def rug() -> list[Solid]:
    """A round rug under the table."""
    colors = tuple(srgb(c) for c in ("#b4523a", "#d9a441", "#2c5a6b", "#efe3cb", "#b4523a", "#2c4858"))
    profile = [(0, 0.0), (1.22, 0.0), (1.235, 0.008), (1.22, 0.016), (0, 0.016)]
    pattern = rings(colors, (0.16, 0.34, 0.62, 0.76, 1.1), petals=12, seed=8)
    return [Solid(Lathe(at((0.08, 2.75, 0.001)), profile), pattern)]
