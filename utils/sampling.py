"""Fewer of many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")


def subsample(items: Sequence[Item], count: int) -> list[Item]:
    """All of the items, or `count` evenly spaced ones from the first to the last where there are more."""
    if len(items) <= count:
        return list(items)
    return [items[index] for index in np.linspace(0, len(items) - 1, count).round().astype(int)]
