"""Gaussians that lie where others are, without a change of the picture: relocation of 3DGS-MCMC
(Kheradmand et al. 2024, section 3.3 and equation 9).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from scene.gaussians.columns import Columns
from scene.gaussians.model import PARAMETERS, Gaussians
from scene.gaussians.optimizer import Optimizer, RowStatistics, edit_rows
from training.strategies.split_longest import to_logits
from utils.sampling import draw_with_replacement

MOST_COPIES = 51  # of one Gaussian at once, itself included
HIGHEST, LOWEST = 1 - 1e-6, 1e-6  # opacities whose logits are ordinary numbers


class Shared(NamedTuple):
    """Each of n Gaussians in the same place that look like one."""

    opacities: Tensor  # (M,)
    scale_factors: Tensor  # (M,) on the standard deviations of the one


def shared_among(opacities: Tensor, copies: Tensor) -> Shared:
    """What each of `copies` ≥ 1, (M,) int, coincident Gaussians must be to look like one of `opacities`, (M,).

    Their peak is that of the one: 1 − (1 − o')ⁿ = o. Their integral along a line is, too:

        σ' = σ · o / D,   D = Σ_{j=1..n} C(n,j) (−1)^(j−1) o'^j / √j,

    in which the j-fold product of a Gaussian with itself is one of width σ/√j. This is the double sum of the paper's
    equation 9, its inner binomials summed. In float64: the terms alternate.
    """
    full, number = opacities.double(), copies.clamp(max=MOST_COPIES).double()
    each = -torch.expm1(torch.log1p(-full) / number)
    binomial, power, total = torch.ones_like(full), torch.ones_like(full), torch.zeros_like(full)
    for j in range(1, int(number.max()) + 1 if len(number) else 1):
        binomial = binomial * (number - j + 1).clamp(min=0) / j
        power = -power * each
        total = total - binomial * power / j**0.5
    return Shared(each.to(opacities.dtype), (full / total).to(opacities.dtype))


@torch.no_grad()
def relocate(
    gaussians: Gaussians, optimizer: Optimizer, statistics: RowStatistics, dead: Tensor, generator: torch.Generator
) -> int:
    """Move the `dead`, (N,) bool, to places of others on all ranks, drawn by opacity; how many moved. None where no
    other is."""
    return _copy(gaussians, optimizer, statistics, dead, _number(dead, gaussians), generator)


@torch.no_grad()
def add_copies(
    gaussians: Gaussians, optimizer: Optimizer, statistics: RowStatistics, count: int, generator: torch.Generator
) -> int:
    """Add `count` Gaussians at places of those that there are, drawn by opacity; how many came."""
    nobody = torch.zeros(len(gaussians), dtype=torch.bool, device=gaussians.device)
    return _copy(gaussians, optimizer, statistics, nobody, count, generator)


def _copy(
    gaussians: Gaussians,
    optimizer: Optimizer,
    statistics: RowStatistics,
    removed: Tensor,
    count: int,
    generator: torch.Generator,
) -> int:
    """Remove some rows and add `count` copies of others. Moments of copies and of the copied are 0."""
    if count <= 0 or _number(removed, gaussians) == gaussians.total:
        return 0
    opacities, columns = gaussians.activated_opacities.detach().squeeze(1), Columns(gaussians)
    weights = columns.whole(torch.where(removed, 0.0, opacities))
    drawn = columns.own(draw_with_replacement(weights, count, generator)).clamp(max=MOST_COPIES - 1)
    sources = drawn.nonzero().squeeze(1)
    shared = shared_among(opacities[sources], drawn[sources] + 1)
    logits = to_logits(shared.opacities.clamp(LOWEST, HIGHEST))
    gaussians.opacities[sources] = logits[:, None]
    gaussians.scales[sources] += shared.scale_factors.log()[:, None]
    optimizer.forget_rows(sources)
    rows = torch.repeat_interleave(torch.arange(len(drawn), device=drawn.device), drawn)
    copies = {name: gaussians.parameters[name].detach()[rows] for name in PARAMETERS}
    edit_rows(gaussians, optimizer, statistics, ~removed, copies, [rows])
    return sum(number for (number,) in gaussians.ranks.counts([len(rows)]))


def _number(rows: Tensor, gaussians: Gaussians) -> int:
    """How many of the Gaussians of all ranks `rows`, (N,) bool, has."""
    return int(gaussians.ranks.sum_(rows.sum().reshape(1)))
