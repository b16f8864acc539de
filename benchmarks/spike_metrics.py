"""How spiky, and how thick, a cloud of Gaussians is about the true surface.

Numbers are weighted by opacity, so that what can hardly be seen hardly counts. The surface is a cloud of points, which
must be much denser than the distances to be told apart.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy.spatial import cKDTree

from scene.types import GaussianArrays
from utils.quaternion import rotate

MIN_ASPECT = 10.0  # a spike's longest axis over its middle one
END_SIGMAS = 2.0  # an end is so many standard deviations from the center, where e⁻² of the opacity is left
MIN_DISTANCE = 0.02  # in scene extents: a spike's end is farther from the surface


class SpikeMetrics(NamedTuple):
    """Of one cloud."""

    spikes: float  # sum of the opacities of the spikes
    spike_share: float  # that over the sum of all opacities
    thickness_median: (
        float  # world units: the distance of the centers from the surface, half of the opacity being nearer
    )
    thickness_p90: float  # the same for nine tenths


def spike_metrics(gaussians: GaussianArrays, surface: np.ndarray, extent: float) -> SpikeMetrics:
    """Measure a cloud against the surface it should be. `surface`: (P,3); all in world units, as the scene's `extent`.

    A spike is a needle, longest over middle axis more than `MIN_ASPECT`, one of whose ends is farther than
    `MIN_DISTANCE` extents from the surface; discs, which may be as long, are meant to be. ValueError without Gaussians
    or without surface.
    """
    if len(gaussians.means) == 0 or len(surface) == 0:
        raise ValueError(f"{len(gaussians.means)} Gaussians and {len(surface)} surface points: neither may be 0")
    tree, opacities = cKDTree(surface), opacities_of(gaussians)
    needles = needles_of(gaussians)
    ends = ends_of(gaussians)[needles]
    spiky = distances(tree, ends.reshape(-1, 3)).reshape(-1, 2).max(axis=1) > MIN_DISTANCE * extent
    spikes = float(opacities[needles][spiky].sum())
    away = distances(tree, gaussians.means)
    median, p90 = weighted_quantiles(away, opacities, (0.5, 0.9))
    return SpikeMetrics(spikes, spikes / float(opacities.sum()), median, p90)


def opacities_of(gaussians: GaussianArrays) -> np.ndarray:
    """(N,) float64 in (0,1)."""
    return 1 / (1 + np.exp(-gaussians.opacities[:, 0].astype(np.float64)))


def needles_of(gaussians: GaussianArrays) -> np.ndarray:
    """(N,) bool: longest over middle axis more than `MIN_ASPECT`."""
    _, middle, longest = np.sort(gaussians.scales, axis=1).T
    return np.asarray(longest - middle > np.log(MIN_ASPECT))


def ends_of(gaussians: GaussianArrays) -> np.ndarray:
    """(N,2,3) world units: both ends of the longest axis, `END_SIGMAS` standard deviations from the center."""
    index = gaussians.scales.argmax(axis=1)
    half = np.eye(3)[index] * END_SIGMAS * np.exp(gaussians.scales.max(axis=1, keepdims=True).astype(np.float64))
    offsets = rotate(torch.from_numpy(gaussians.quats.astype(np.float64)), torch.from_numpy(half)).numpy()
    return np.stack([gaussians.means - offsets, gaussians.means + offsets], axis=1)


def distances(tree: cKDTree, points: np.ndarray) -> np.ndarray:
    """(M,) of (M,3) points to the nearest point of the surface."""
    return np.asarray(tree.query(points)[0])


def weighted_quantiles(values: np.ndarray, weights: np.ndarray, parts: tuple[float, ...]) -> list[float]:
    """For each of `parts` the smallest value that, with all below it, has that part of the weight."""
    order = values.argsort(kind="stable")
    reached = np.cumsum(weights[order]) / weights.sum()
    index = np.searchsorted(reached, np.asarray(parts) * (1 - 1e-12))
    return [float(values[order[i]]) for i in index]
