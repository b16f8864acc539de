"""Some of many: evenly, or by chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

Item = TypeVar("Item")


def subsample(items: Sequence[Item], count: int) -> list[Item]:
    """All of the items, or `count` evenly spaced ones from the first to the last where there are more."""
    if len(items) <= count:
        return list(items)
    return [items[index] for index in np.linspace(0, len(items) - 1, count).round().astype(int)]


def draw_without_replacement(scores: Tensor, preferred: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """(N,) bool: at most `count` drawn with chances by `scores`, (N,) ≥ 0; others than `preferred` only where these do
    not suffice, and none with a score of 0.

    Exponential times divided by the scores, the shortest first (Efraimidis & Spirakis 2006); ties by index.
    """
    times = torch.empty(len(scores), dtype=torch.float64).exponential_(generator=generator).to(scores.device)
    keys = times / scores.double()  # infinite for a score of 0
    ranks = keys.argsort(stable=True)
    order = torch.cat([ranks[preferred[ranks]], ranks[~preferred[ranks]]])
    order = order[keys[order].isfinite()]
    chosen = torch.zeros(len(scores), dtype=torch.bool, device=scores.device)
    chosen[order[: max(count, 0)]] = True
    return chosen


def draw_with_replacement(weights: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """(N,) int64: how often each is drawn of `count` times, with chances by `weights`, (N,) ≥ 0 with a positive sum.

    Systematic: one random number, and from there on in equal steps along the running sum, so each is drawn within one
    of its expected number of times. The sum is in float64 and in the order of the rows: the same on any machine.
    """
    edges = weights.detach().cpu().double().cumsum(0)
    offset = torch.rand((), dtype=torch.float64, generator=generator)
    places = (torch.arange(count, dtype=torch.float64) + offset) * (edges[-1] / count)
    rows = torch.searchsorted(edges, places, right=True).clamp(max=len(weights) - 1)
    return torch.bincount(rows, minlength=len(weights)).to(weights.device)
