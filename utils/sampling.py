"""Some of many: evenly, or by chance."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

Item = TypeVar("Item")

BITS = 16  # of a number that picks a normal one: of 65,536, each as likely as any other
GOLDEN = 0x9E3779B97F4A7C15  # of splitmix64 (Steele et al. 2014), as are the two below
MIXERS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
LAST_SHIFT = 31


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


def normals_at(places: Tensor, seed: int) -> Tensor:
    """(M,3) float32 normal numbers for the `places`, (M,) int64: those of a place are the same whatever else is asked
    for, so that it does not matter who asks for which, nor that one more or one less is asked for.

    The 64 bits that splitmix64 makes of seed and place pick three of the numbers that divide the distribution evenly.
    """
    bits = _mixed(places * _signed(GOLDEN) + _signed(seed))
    picked = torch.stack([_shifted(bits, shift) & (2**BITS - 1) for shift in (0, BITS, 2 * BITS)], dim=1)
    return _normals(places.device)[picked]


def _mixed(values: Tensor) -> Tensor:
    for shift, factor in MIXERS:
        values = (values ^ _shifted(values, shift)) * _signed(factor)
    return values ^ _shifted(values, LAST_SHIFT)


def _shifted(values: Tensor, by: int) -> Tensor:
    """To the right, as numbers without a sign."""
    return (values >> by) & (2 ** (64 - by) - 1) if by else values


def _signed(value: int) -> int:
    """The int64 of the same bits."""
    return (value + 2**63) % 2**64 - 2**63


@cache
def _normals(device: torch.device) -> Tensor:
    """(65536,) float32: the middle of each of as many equal parts of the normal distribution."""
    middles = (torch.arange(2**BITS, dtype=torch.float64) + 0.5) / 2**BITS
    return torch.special.ndtri(middles).float().to(device)
