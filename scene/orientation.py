"""How the orientation that EXIF states turns a photo's pixels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

AS_STORED = 1
SIDEWAYS = (5, 6, 7, 8)  # values of the tag that swap width and height
TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {  # by value of the tag, what makes stored pixels upright
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.rot90(pixels, 2).swapaxes(0, 1),
    8: lambda pixels: np.rot90(pixels),
}


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """(H, W, ...) pixels as stored, turned upright by the value of the EXIF tag; any unknown value turns nothing."""
    turn = TURNS.get(orientation)
    return pixels if turn is None else np.ascontiguousarray(turn(pixels))
