"""Depth maps of one kind whose numbers cannot be in one unit, where no points of the scene tell it."""

from __future__ import annotations

import numpy as np

UNITS_APART = 4.0  # times: the usual units differ by 5 and more, and views of one scene rarely so without any between


def fewer_in_another_unit(medians: np.ndarray) -> tuple[np.ndarray, float] | None:
    """Of the middle numbers of maps, (N,), the few that are far from all others: (N,) bool, and how many times those of
    the others they are; None where there is no gap that only another unit explains."""
    if len(medians) < 2:
        return None
    ordered = np.sort(medians)
    steps = ordered[1:] / ordered[:-1]
    gap = int(np.argmax(steps))
    if steps[gap] < UNITS_APART:
        return None
    is_large = medians > ordered[gap]
    fewer = is_large if 2 * np.count_nonzero(is_large) <= len(medians) else ~is_large
    return fewer, float(np.median(medians[fewer]) / np.median(medians[~fewer]))
