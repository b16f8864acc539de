"""How much contrast do the photos have? A night, a cellar or fog fills a small part of what a file can say.

The terms of the loss weigh brightness differences of a whole range against depth, distortion and all that holds the
Gaussians; of photos that use an eighth of it they are an eighth, and the picture loses (docs/experiments/contrast.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from scene.images import glance, roughly
from scene.types import View
from utils.sampling import subsample

MAX_VIEWS = 16  # that are looked at, evenly chosen
COUNTS = 0.5  # of a mask or an alpha channel: what is less does not count
ENDS = (1.0, 99.0)  # percentiles of all values, between which the contrast lies: a lamp or two are none
ENOUGH = 0.6  # of the range of a file; of 14 datasets one has less, 0.54
LEAST = 0.06  # taken for as much: noise is amplified as the picture is


def contrast_gain(views: Sequence[View]) -> float:
    """By how much the photos would have to be amplified to have `ENOUGH` contrast, from 1 to 10."""
    return ENOUGH / min(max(contrast(views), LEAST), ENOUGH)


def contrast(views: Sequence[View]) -> float:
    """The part of the range of values, [0, 1], that most of what the photos show fills; 1 where nothing counts."""
    with ThreadPoolExecutor() as pool:
        values = np.concatenate(list(pool.map(_values, map(roughly, subsample(views, MAX_VIEWS)))))
    if not len(values):
        return 1.0
    darkest, brightest = np.percentile(values, ENDS)
    return float(brightest - darkest)


def _values(view: View) -> np.ndarray:
    """(V,) float32 of all channels of the pixels that count; none of a damaged file."""
    photo = glance(view)
    if photo is None:
        return np.zeros(0, np.float32)
    counting = photo.color if photo.mask is None else photo.color[:, photo.mask[0] > COUNTS]
    return counting.ravel()
