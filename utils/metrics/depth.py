"""How close rendered depth is to measured depth, in the numbers that papers give."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

Scores = dict[str, float | None]  # name -> value; None where it could not be measured

NAMES = ("MAE", "median", "RMSE", "delta<1.25", "completeness")
DELTA = 1.25  # the factor within which a depth passes for right (Eigen et al. 2014)
MIN_ALPHA = 0.5  # of a pixel that shows a surface more than what is behind it


def depth_scores(depth: ArrayLike, target: ArrayLike, valid: ArrayLike, alpha: ArrayLike) -> Scores:
    """Errors of rendered `depth` (over alpha) against `target`; all are (H,W), z in one unit, which is the result's.

    Measured where `valid` (bool) holds, `target` is finite and > 0, and the render has a surface, `alpha` > 0.5:
    "MAE", "median" (of |Z − Z*|), "RMSE", and the share "delta<1.25" where max(Z/Z*, Z*/Z) is less; None where there
    is no such pixel. "completeness" is the share of valid pixels with a surface; None without valid pixels.
    """
    z, z_true, opaque = (np.asarray(each, dtype=np.float64) for each in (depth, target, alpha))
    known = np.asarray(valid, dtype=bool) & np.isfinite(z_true) & (z_true > 0)
    seen = known & (opaque > MIN_ALPHA)
    if not seen.any():
        return {**dict.fromkeys(NAMES), "completeness": 0.0 if known.any() else None}
    z, z_true = z[seen], z_true[seen]
    error = np.abs(z - z_true)
    return {
        "MAE": float(error.mean()),
        "median": float(np.median(error)),
        "RMSE": float(np.sqrt(np.square(error).mean())),
        "delta<1.25": float(np.mean((z < DELTA * z_true) & (z_true < DELTA * z))),
        "completeness": float(seen.sum() / known.sum()),
    }


def average_depth(views: Iterable[Scores]) -> Scores:
    """The mean of each score over the views that have it; None where no view has it."""
    rows = list(views)
    return {name: _mean([row[name] for row in rows]) for name in NAMES}


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
