"""Everything that changes with the training step, as pure functions of the step (1 for the first)."""

from __future__ import annotations

import math


def log_linear(step: int, first: float, last: float, steps: int) -> float:
    """From `first` at step 0 to `last` at `steps` and after, linear in the logarithm. 0 stays 0.

    A value on its way to or from 0, which has no logarithm, goes linearly.
    """
    progress = min(max(step / steps, 0.0), 1.0)
    if first <= 0 or last <= 0:
        return first + (last - first) * progress
    return math.exp(math.log(first) * (1 - progress) + math.log(last) * progress)


def due(step: int, start: int, stop: int, every: int) -> bool:
    """Whether something done every `every` steps, after `start` and before `stop`, is to be done at `step`."""
    return start < step < stop and step % every == 0


def sh_degree_at(step: int, highest: int, every: int = 1000) -> int:
    """The degree of the spherical harmonics in use: 0 at first, one more every `every` steps."""
    return min(step // every, highest)
