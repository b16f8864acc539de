"""Parameters with a row for each training photo, and their Adam."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from diff_gaussian_rasterization import adam_
from utils.distributed import Ranks

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-15  # as for the Gaussians


class ViewParameters:
    """Float32 parameters of V photos by name, each (V, ...).

    Adam moves all rows in each step. One photo has a gradient; the others go on by their momentum, as in graphdeco's
    exposures and gsplat's poses, whose learning rates therefore hold here.
    """

    def __init__(self, names: Sequence[str], values: Mapping[str, Tensor]) -> None:
        self.rows = {name: row for row, name in enumerate(names)}
        self.values = {name: nn.Parameter(value) for name, value in values.items()}
        self.first = {name: torch.zeros_like(value) for name, value in values.items()}
        self.second = {name: torch.zeros_like(value) for name, value in values.items()}
        self.steps = 0

    @torch.no_grad()
    def step(self, rates: Mapping[str, float], finite: Tensor, images: int = 1) -> None:
        """Move all along their gradients, which are then forgotten; nothing where `finite`, () bool, is False. `images`
        as of the Gaussians' `Optimizer.step`."""
        self.steps += images
        moved = [name for name, value in self.values.items() if value.grad is not None]
        adam_(
            [self.values[name] for name in moved],
            [gradient for name in moved if (gradient := self.values[name].grad) is not None],
            [self.first[name] for name in moved],
            [self.second[name] for name in moved],
            [rates[name] * images**0.5 for name in moved],
            step=-(-self.steps // images),
            finite=finite,
            beta1=BETA1**images,
            beta2=BETA2**images,
            epsilon=EPSILON / images**0.5,
        )
        for name in moved:
            self.values[name].grad = None

    def add_up(self, ranks: Ranks) -> None:
        """Let every rank have the gradients of all."""
        if ranks.size > 1:
            for value in self.values.values():
                value.grad = ranks.sum_(torch.zeros_like(value) if value.grad is None else value.grad)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps; shares memory with this."""
        values = {name: value.detach() for name, value in self.values.items()}
        return {"steps": self.steps, "values": values, "first": self.first, "second": self.second}

    @torch.no_grad()
    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned for the same photos."""
        self.steps = state["steps"]
        for name, value in self.values.items():
            value.copy_(state["values"][name])
            self.first[name].copy_(state["first"][name])
            self.second[name].copy_(state["second"][name])

    def is_finite(self) -> bool:
        """Whether all values and moments are."""
        tensors = (*self.values.values(), *self.first.values(), *self.second.values())
        return all(bool(each.isfinite().all()) for each in tensors)
