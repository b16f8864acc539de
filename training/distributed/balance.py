"""Rows moved from ranks that own many to ranks that own few."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from scene.gaussians.model import PARAMETERS, Gaussians
from scene.gaussians.optimizer import Moments, Optimizer

DRIFT = 1.1  # times the mean: where a rank owns more, rows are moved


def is_uneven(counts: Sequence[int]) -> bool:
    """Whether a rank owns over `DRIFT` times as many rows as there are for each; a row more is never worth it."""
    return max(counts) > max(DRIFT * sum(counts) / len(counts), -(-sum(counts) // len(counts)))


@torch.no_grad()
def rebalance(gaussians: Gaussians, optimizer: Optimizer, statistics: dict[str, Any]) -> dict[str, Any]:
    """Let each rank own as many rows as the others, give or take one, with all that they have; a call of all ranks.

    Nobody's rows move that need not. `statistics`: what a strategy keeps, in which each tensor of as many rows has one
    for each Gaussian; returned for those that are owned now.
    """
    shard = gaussians.shard
    assert shard is not None
    ranks, counts = shard.ranks, shard.counts
    moves = planned_moves(counts)
    going = _going(moves[ranks.rank], counts[ranks.rank], gaussians.device)
    coming = [moves[source][ranks.rank] for source in range(ranks.size)]
    stays = torch.ones(len(gaussians), dtype=torch.bool, device=gaussians.device)
    stays[going] = False

    def moved(values: Tensor) -> Tensor:
        return torch.cat([values[stays], ranks.all_to_all(values[going], moves[ranks.rank], coming)])

    ids = moved(shard.ids)
    order = ids.argsort()
    for name in PARAMETERS:
        gaussians.replace(name, moved(gaussians.parameters[name].detach())[order])
        optimizer.moments[name] = Moments(*(moved(each)[order] for each in optimizer.moments[name]))
        if optimizer.average is not None:
            optimizer.average.values[name] = moved(optimizer.average.values[name])[order]
    kept: dict[str, Any] = _of_rows(statistics, len(stays), lambda values: moved(values)[order])
    shard.take(ids[order], shard.created)
    return kept


def planned_moves(counts: Sequence[int]) -> list[list[int]]:
    """moves[a][b]: how many rows rank a gives to rank b."""
    size, total = len(counts), sum(counts)
    targets = [total // size + (rank < total % size) for rank in range(size)]
    spare = [count - target for count, target in zip(counts, targets, strict=True)]
    moves = [[0] * size for _ in counts]
    for giver in range(size):
        for taker in range(size):
            number = min(max(spare[giver], 0), max(-spare[taker], 0))
            moves[giver][taker] = number
            spare[giver] -= number
            spare[taker] += number
    return moves


def _going(moves: Sequence[int], count: int, device: torch.device) -> Tensor:
    """(M,) rows to be given away, evenly spread over those that there are: neighbors stay on different ranks."""
    number = sum(moves)
    return (torch.arange(number, device=device) * count) // max(number, 1)


def _of_rows(value: Any, count: int, change: Any) -> Any:
    if isinstance(value, Tensor):
        return change(value) if value.dim() and len(value) == count else value
    if isinstance(value, Mapping):
        return {name: _of_rows(each, count, change) for name, each in value.items()}
    return value
