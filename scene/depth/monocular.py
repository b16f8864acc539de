"""Inverse depth of monocular networks: of unknown scale and offset, so that each map is fitted to the points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from scene.depth.sparse_check import DepthSamples
from scene.types import DepthMap

INVERSE_SCALES = 5.0  # a map's scale differs from the median one by at most this factor
FALLING = -0.3  # rank correlation of numbers and depths from which on numbers are inverse depths


def fit_inverse(looks: Sequence[DepthSamples]) -> tuple[dict[str, DepthMap], list[str]]:
    """Each map's own scale and offset: medians and median absolute deviations of numbers and inverse depths match."""
    fits: list[tuple[DepthSamples, float, float]] = []
    warnings = []
    for look in looks:
        scale, offset = _affine(look) if look.has_enough_points else (0.0, 0.0)
        if scale > 0 and look.rank_correlation < FALLING:
            fits.append((look, scale, offset))
        else:
            found = (
                f"sees only {len(look.z)} of the scene's points"
                if not look.has_enough_points
                else "does not fit the points"
            )
            warnings.append(f"the depth map {look.path} of inverse depth {found}: it is not used")
    typical = float(np.median([scale for _, scale, _ in fits])) if fits else 0.0
    maps = {}
    for look, scale, offset in fits:
        if typical / INVERSE_SCALES <= scale <= typical * INVERSE_SCALES:
            inverse = replace(look.found, scale=scale, kind="inverse", offset=offset, invalid=())
            maps[look.view.camera.name] = inverse
        else:
            warnings.append(
                f"the depth map {look.path} of inverse depth fits the points with {scale / typical:.3g} × the scale of "
                "the others: it is not used"
            )
    return maps, warnings


def _affine(look: DepthSamples) -> tuple[float, float]:
    inverse = 1 / look.z
    spread = float(np.median(np.abs(look.numbers - np.median(look.numbers))))
    scale = float(np.median(np.abs(inverse - np.median(inverse)))) / spread if spread > 0 else 0.0
    return scale, float(np.median(inverse) - scale * np.median(look.numbers))
