"""How close rendered depth is to measured depth, in the numbers that papers give."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

Scores = dict[str, float | None]  # name -> value; None where it could not be measured

NAMES = ("MAE", "median", "RMSE", "delta<1.25", "completeness", "in_front")
DELTA = 1.25  # the factor within which a depth passes for right (Eigen et al. 2014)
MIN_ALPHA = 0.5  # of a pixel that shows a surface more than what is behind it
IN_FRONT_METERS, IN_FRONT_SHARE = 0.1, 0.02  # before the surface: a floater or a spike; of the depth without a unit


def in_front_text(meters_per_unit: float | None) -> str:
    """How far before the surface the pixels of "in_front" are drawn at least, for people."""
    return f"{100 * IN_FRONT_METERS:g} cm" if meters_per_unit else f"{100 * IN_FRONT_SHARE:g} % of the depth"


def depth_scores(
    depth: ArrayLike, target: ArrayLike, valid: ArrayLike, alpha: ArrayLike, meters_per_unit: float | None = None
) -> Scores:
    """Errors of rendered `depth` (over alpha) against `target`; all are (H,W), z in one unit, which is the result's.

    Measured where `valid` (bool) holds, `target` is finite and > 0, and the render has a surface, `alpha` > 0.5:
    "MAE", "median" (of |Z − Z*|), "RMSE", the share "delta<1.25" where max(Z/Z*, Z*/Z) is less, and the share
    "in_front" where Z is over 10 cm before Z*, or over 2 % where the length of the unit, `meters_per_unit`, is not
    known; None where there is no such pixel. "completeness" is the share of valid pixels with a surface; None without
    valid pixels.
    """
    z, z_true, opaque = (np.asarray(each, dtype=np.float64) for each in (depth, target, alpha))
    known = np.asarray(valid, dtype=bool) & np.isfinite(z_true) & (z_true > 0)
    seen = known & (opaque > MIN_ALPHA)
    if not seen.any():
        return {**dict.fromkeys(NAMES), "completeness": 0.0 if known.any() else None}
    z, z_true = z[seen], z_true[seen]
    error = np.abs(z - z_true)
    limit = IN_FRONT_METERS / meters_per_unit if meters_per_unit else IN_FRONT_SHARE * z_true
    return {
        "MAE": float(error.mean()),
        "median": float(np.median(error)),
        "RMSE": float(np.sqrt(np.square(error).mean())),
        "delta<1.25": float(np.mean((z < DELTA * z_true) & (z_true < DELTA * z))),
        "completeness": float(seen.sum() / known.sum()),
        "in_front": float(np.mean(z_true - z > limit)),
    }


def average_depth(views: Iterable[Scores]) -> Scores:
    """The mean of each score over the views that have it; None where no view has it."""
    rows = list(views)
    return {name: _mean([row[name] for row in rows]) for name in NAMES}


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
