"""How much each Gaussian contributes to what cameras see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from gaussian_renderer import RenderSettings, render
from scene.gaussians.model import Gaussians
from scene.types import Camera
from utils.sampling import subsample


@torch.no_grad()
def total_contribution(gaussians: Gaussians, cameras: Sequence[Camera], settings: RenderSettings, views: int) -> Tensor:
    """(N,) the sum of each Gaussian's blending weights over all pixels of at most `views` of the cameras, evenly
    chosen."""
    total, background = torch.zeros(len(gaussians), device=gaussians.device), torch.zeros(3, device=gaussians.device)
    for camera in subsample(cameras, views):
        statistics = render(gaussians, camera, background, replace(settings, statistics=True)).statistics
        assert statistics is not None
        total += statistics.weight_sum
    return total


def keep_largest(gaussians: Gaussians, scores: Tensor, count: int) -> Gaussians:
    """The `count` Gaussians of the largest (N,) scores, in their order; of equal scores the first."""
    kept = scores.argsort(descending=True, stable=True)[:count].sort().values
    return Gaussians({name: values.detach()[kept] for name, values in gaussians.parameters.items()})
