"""The synthetic room's measures, and what a solid in it is.

Laid out in metres with x to the right, y into the room, z up, floor at 0; the world the scene is written in has y down
and z into the room (OpenCV's axes), for viewers take that to be upright.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scene.synthetic.shapes import Shape
from scene.synthetic.textures import Texture

WORLD_FROM_ROOM = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
WIDTH, DEPTH, HEIGHT = 4.9, 4.9, 2.6  # metres: x from −WIDTH/2 to WIDTH/2, y from 0 to DEPTH, z from 0 to HEIGHT
WINDOW = (2.85, 1.4, 1.8, 1.4)  # on the right wall: y and z of its middle, width along y, height
LAMP = (-1.72, 4.15)  # x and y of the floor lamp
BULB_HEIGHT = 1.5
TABLE = (0.1, 2.85, 0.0)  # its foot
TABLE_HEIGHT = 0.62
SIDEBOARD = (0.1, 4.62, 0.14, 0.66)  # x and y of its middle, z of its bottom and top


@dataclass(frozen=True)
class Solid:
    """A shape and what it is made of."""

    shape: Shape
    texture: Texture
    glow: float = 0.0  # light given off, relative to the albedo
    gloss: float = 0.0  # strength of the highlight, 0 for none
    thin: bool = False  # depth cameras often miss it
    sensed: bool = True  # False: depth cameras never see it (the bright window)


def to_world(points: Sequence[float] | np.ndarray) -> np.ndarray:
    """Room positions or directions (..., 3) in the world's axes."""
    return np.asarray(points, dtype=np.float64) @ WORLD_FROM_ROOM[:3, :3].T
