"""The unit of depth maps where no points tell it: the right one makes what one view measured appear in another view.

Too large a unit lets the cameras' movement vanish beside the depths, too small a one lets the depths vanish; either way
a pixel of one view, seen from the next, lies where that one measured another depth.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scene.depth.maps import read_map, valid_mask
from scene.depth.resample import at_pixels
from scene.depth.sparse_check import DepthSamples, visible_points
from scene.types import PointCloud, View
from utils.sampling import subsample

VIEWS = 12  # that are compared with another each
PIXELS = 1500  # of each, at most
MIN_PIXELS = 100  # that must land in the other view, or a pair says nothing
FACING = 0.8  # cosine between the axes of two views that see the same things
AGREES = 0.03  # relative difference of depths that are one
# The best scale's share of agreeing pixels, and how many times the next one's it must be. In rooms, synthetic and real,
# the right one has 0.8 to 0.9, others 0.1; in a sphere, which looks alike from everywhere, 1 and up to 0.6.
LIKELY, CLEAR = 0.7, 1.3


def likely_scale(looks: Sequence[DepthSamples], scales: Sequence[float]) -> float | None:
    """World units of a step: which of `scales` makes views agree, None where that is not clear."""
    pairs = [(look, other) for look in subsample(looks, VIEWS) if (other := _partner(look, looks)) is not None]
    loaded = [(one.view, _numbers(one), other.view, _numbers(other)) for one, other in pairs]
    shares = {scale: _share(loaded, scale) for scale in scales}
    best, second = sorted(shares, key=lambda scale: -shares[scale])[:2]
    clear = shares[best] >= LIKELY and shares[best] >= CLEAR * shares[second]
    return best if clear else None


def _partner(look: DepthSamples, looks: Sequence[DepthSamples]) -> DepthSamples | None:
    """Of the views that look the same way from elsewhere, one at a middling distance: not so near that nothing moves
    between the two, nor so far that they see different things."""
    here, axis = look.view.camera.center, look.view.camera.camera_from_world[2, :3]
    facing = [other for other in looks if axis @ other.view.camera.camera_from_world[2, :3] > FACING]
    by_distance = sorted(
        (float(np.linalg.norm(other.view.camera.center - here)), at) for at, other in enumerate(facing)
    )
    apart = [at for distance, at in by_distance if distance > 0]
    return facing[apart[len(apart) // 3]] if apart else None


def _numbers(look: DepthSamples) -> np.ndarray:
    """(H, W) of the view's camera, 0 where there is no reading."""
    numbers = read_map(look.found)
    return at_pixels(np.where(valid_mask(numbers, look.found), numbers, 0), look.view, look.found)


def _share(pairs: Sequence[tuple[View, np.ndarray, View, np.ndarray]], scale: float) -> float:
    """Of the pixels that land on measured ones in the other view, those whose depths agree: the mean over all pairs."""
    shares = []
    for view, numbers, other, measured in pairs:
        row, column = (index[:: 1 + len(index) // PIXELS] for index in np.nonzero(numbers))
        positions = view.camera.unproject(row, column, scale * numbers[row, column].astype(float))
        row, column, z = visible_points(other, PointCloud(positions, positions), np.arange(len(positions)))
        z_there = scale * measured[row, column].astype(float)
        landed = z_there > 0
        if landed.sum() >= MIN_PIXELS:
            shares.append(float(np.mean(np.abs(z[landed] / z_there[landed] - 1) < AGREES)))
    return float(np.mean(shares)) if 2 * len(shares) > len(pairs) else 0.0
