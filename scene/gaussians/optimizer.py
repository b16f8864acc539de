"""Adam over the parameters of the Gaussians, and the one function that changes which rows there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from diff_gaussian_rasterization import ops
from scene.gaussians.average import Average
from scene.gaussians.model import PARAMETERS, Gaussians

BETA1, BETA2 = 0.9, 0.999
EPSILON = 1e-15  # the gradients of a pixel's color by a far Gaussian are tiny; 1e-8 would swamp them


class Moments(NamedTuple):
    """Adam's running means of the gradient and of its square, each of its parameter's shape."""

    first: Tensor
    second: Tensor


class Optimizer:
    """Adam (Kingma & Ba 2015) with one learning rate for each parameter of the Gaussians.

    There is one step count t for everything, rows that came later included; the formula is that of `adam_`. A parameter
    without a gradient (`grad` is None, as with SH of a degree not in use) is left alone, moments too. With
    `visible_only`, a row that `step` is told was not visible is left alone in the same way; otherwise its gradient is
    0, and its moments go on decaying and moving it.
    """

    def __init__(self, gaussians: Gaussians, rates: Mapping[str, float], visible_only: bool = False) -> None:
        self.gaussians = gaussians
        self.rates = {name: float(rates[name]) for name in PARAMETERS}
        self.visible_only = visible_only
        self.steps = 0  # images whose gradients have been followed
        self.moments = {name: _zero_moments(gaussians.parameters[name]) for name in PARAMETERS}
        self.average: Average | None = None  # of the Gaussians over the steps since `follow` began

    @torch.no_grad()
    @ops.memory_errors
    def step(self, visible: Tensor, finite: Tensor | None = None, images: int = 1) -> None:
        """Move the Gaussians along their gradients, which are then forgotten. `visible`: (N,) bool.

        `finite`: () bool, whether all gradients are, for those who cannot wait to know: where it is False, nothing
        moves. `images`: B, of whose losses the gradient is the sum; with more than one a step is to do what B steps
        would have done, by the rule of Zhao et al. 2024 (Grendel, section 4): rates √B, betas to the power of B, and
        epsilon over √B, as their code has it.
        """
        moved = [name for name in PARAMETERS if self.gaussians.parameters[name].grad is not None]
        parameters = [self.gaussians.parameters[name] for name in moved]
        moments = [self.moments[name] for name in moved]
        # The operator itself: `adam_` would look again at 24 tensors of which shape and place are known.
        ops.adam(
            parameters,
            [parameter.grad.contiguous() for parameter in parameters if parameter.grad is not None],
            [each.first for each in moments],
            [each.second for each in moments],
            [self.rates[name] * images**0.5 for name in moved],
            visible.contiguous() if self.visible_only else None,
            finite,
            -(-(self.steps + images) // images),
            BETA1**images,
            BETA2**images,
            EPSILON / images**0.5,
        )
        self.steps += images
        for parameter in parameters:
            parameter.grad = None

    @ops.memory_errors
    def follow(self) -> None:
        """Take the Gaussians as they are now into their average."""
        if self.average is None:
            self.average = Average(self.gaussians.parameters)
        else:
            self.average.add(self.gaussians.parameters)

    @torch.no_grad()
    def settle(self) -> None:
        """Put the average in the place of the Gaussians, where there is one; it is forgotten then."""
        if self.average is not None:
            for name, value in self.gaussians.parameters.items():
                value.copy_(self.average.values[name])
        self.average = None

    def forget(self, name: str) -> None:
        """Set the moments of a parameter to 0: its values were changed by other means than its gradient."""
        for moment in self.moments[name]:
            moment.zero_()
        if self.average is not None:
            self.average.begin_again(name, self.gaussians.parameters[name])

    def forget_rows(self, rows: Tensor) -> None:
        """Set all moments of some Gaussians, (M,) indices, to 0: the same."""
        for name, moments in self.moments.items():
            for moment in moments:
                moment[rows] = 0
            if self.average is not None:
                self.average.begin_again(name, self.gaussians.parameters[name], rows)

    def state(self, averaged: bool | None = None) -> dict[str, Any]:
        """What a checkpoint keeps. `averaged`: with an average or without, as another state has it; None: as it is."""
        moments = {name: tuple(self.moments[name]) for name in PARAMETERS}
        average = self.average or (Average(self.gaussians.parameters) if averaged else None)
        kept = {} if average is None or averaged is False else {"average": average.state()}
        return {"steps": self.steps, "rates": dict(self.rates), "moments": moments, **kept}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned for Gaussians of the same number."""
        self.steps = state["steps"]
        self.rates = dict(state["rates"])
        self.moments = {name: Moments(*state["moments"][name]) for name in PARAMETERS}
        self.average = Average(**state["average"]) if "average" in state else None


class RowStatistics(Protocol):
    """Anything that keeps numbers for each Gaussian."""

    rows: dict[str, Tensor]  # name -> (N, ...)


@torch.no_grad()
def edit_rows(
    gaussians: Gaussians,
    optimizer: Optimizer,
    statistics: RowStatistics | None,
    keep: Tensor,
    added: Mapping[str, Tensor] | None = None,
    parents: Sequence[Tensor] = (),
) -> None:
    """Keep some Gaussians and put new ones behind them: parameters, Adam's moments, their average and statistics, if
    any, all at once.

    `keep`: (N,) bool. `added`: the raw parameters of the new Gaussians by name, each (A, ...). Kept rows stay in order
    with all they have; new rows start with moments and statistics 0, and their own values as average. This is the
    only place where rows come and go.

    `parents` says, group by group of the new rows, which rows they come from, each (a,) rising indices: where the cloud
    is sharded this gives them their place among those of other ranks. All ranks call this, each for its own rows.
    """
    count = 0 if added is None else len(added["means"])
    # All is made before anything is put in its place: without the memory for it, all stays as it was.
    parameters = _edited(gaussians.parameters, keep, added)
    averages = {} if optimizer.average is None else _edited(optimizer.average.values, keep, added)
    moments = {
        name: Moments(*(_with_zero_rows(moment[keep], count) for moment in optimizer.moments[name]))
        for name in PARAMETERS
    }
    gathered = {} if statistics is None else statistics.rows
    rows = {name: _with_zero_rows(values[keep], count) for name, values in gathered.items()}
    if gaussians.shard is not None:
        assert sum(map(len, parents)) == count, "each new row has a parent"
        gaussians.shard.edit(keep, parents)
    for name, values in parameters.items():
        gaussians.replace(name, values)
    optimizer.moments.update(moments)
    if optimizer.average is not None:
        optimizer.average.values = averages
    gathered.update(rows)


def _edited(values: Mapping[str, Tensor], keep: Tensor, added: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
    kept = {name: values[name].detach()[keep] for name in PARAMETERS}
    return kept if added is None else {name: torch.cat([each, added[name]]) for name, each in kept.items()}


def _zero_moments(parameter: Tensor) -> Moments:
    return Moments(torch.zeros_like(parameter).detach(), torch.zeros_like(parameter).detach())


def _with_zero_rows(values: Tensor, count: int) -> Tensor:
    return torch.cat([values, values.new_zeros(count, *values.shape[1:])])
