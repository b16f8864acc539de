"""Order statistics of the valid pixels around each pixel."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

OUTLIERS = 8  # one in so many readings of a window is left out at either end of its range


def robust_range(values: Tensor, inside: Tensor, window: int) -> Tensor:
    """(H,W): how far apart the inside `values` around each pixel are, without the n//8 outermost of n at either end.

    In a 5×5 window, three: a corner of another surface or a few bad readings do not widen it, an edge two pixels away
    does.
    """
    count = F.avg_pool2d(inside.to(values.dtype)[None], window, 1, window // 2, divisor_override=1)[0]
    dropped = (count.round().long() // OUTLIERS)[None]
    most = window * window // OUTLIERS + 1
    low = smallest(torch.where(inside, values, math.inf), window, most).gather(0, dropped)
    high = -smallest(torch.where(inside, -values, math.inf), window, most).gather(0, dropped)
    return torch.where(inside, (high - low)[0], 0.0)


def smallest(values: Tensor, window: int, count: int) -> Tensor:
    """(count,H,W): the `count` smallest of the window around each pixel, ascending; infinity where there are fewer.

    By insertion: sorting would need the memory of window² images and their indices.
    """
    height, width = values.shape
    padded = F.pad(values, (window // 2,) * 4, value=math.inf)
    least = [torch.full_like(values, math.inf)] * count
    for place in range(window * window):
        row, column = divmod(place, window)
        rest = padded[row : row + height, column : column + width]
        for rank in range(min(count, place + 1)):
            least[rank], rest = torch.minimum(least[rank], rest), torch.maximum(least[rank], rest)
    return torch.stack(least)
