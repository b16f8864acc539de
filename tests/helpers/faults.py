"""Faults of rasterizers, for the tests of the alarms."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class DropGradient(torch.autograd.Function):
    """The fault this project exists for: an image whose gradient gets lost on its way back to the Gaussians."""

    @staticmethod
    def forward(ctx: Any, image: Tensor) -> Tensor:
        return image.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return torch.zeros_like(gradient)


class BadGradient(DropGradient):
    """The value is right, one number of the gradient is not."""

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        bad = gradient.clone()
        bad[0, 12, 20] = torch.nan
        return bad
