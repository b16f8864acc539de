"""Columns of a cloud that is spread over ranks: a number for each Gaussian, all of them on every rank. What is drawn by
chance among all rows is then drawn everywhere alike, by the random numbers of one rank.

A rank holds such a column, not the parameters of all Gaussians, and only while something is drawn.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scene.gaussians.model import Gaussians


class Columns:
    """Between the rows of this rank and those of all, in the order in which they are on one rank: by id."""

    def __init__(self, gaussians: Gaussians) -> None:
        """A call of all ranks."""
        self._ranks, shard = gaussians.ranks, gaussians.shard
        self._order = None if shard is None else self._ranks.gather(shard.ids).argsort()
        self._first, self._count = 0 if shard is None else shard.first, len(gaussians)

    def whole(self, own: Tensor) -> Tensor:
        """(total, ...) the values of all rows, of the (N, ...) of each rank's. A call of all ranks."""
        return own if self._order is None else self._ranks.gather(own)[self._order]

    def own(self, whole: Tensor) -> Tensor:
        """(N, ...) of values of all rows, (total, ...), those of this rank's."""
        if self._order is None:
            return whole
        back = torch.empty_like(whole)
        back[self._order] = whole
        return back[self._first : self._first + self._count]
