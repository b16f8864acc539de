"""How much each Gaussian has to do with what cameras see."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor

from gaussian_renderer import RenderSettings, render
from scene.gaussians.model import Gaussians
from scene.types import Camera


@torch.no_grad()
def contributions(gaussians: Gaussians, cameras: Iterable[Camera], settings: RenderSettings) -> Tensor:
    """(N,) float64: the sum of each Gaussian's blending weights over all pixels of all cameras.

    Occlusion counts: what is behind others has small weights. As the score by which Gaussians are removed: Fan et al.
    2024 (LightGaussian), without its factor for volume.
    """
    total = torch.zeros(len(gaussians), dtype=torch.float64, device=gaussians.device)
    background = torch.zeros(3, device=gaussians.device)
    for camera in cameras:
        statistics = render(gaussians, camera, background, replace(settings, statistics=True)).statistics
        assert statistics is not None
        total += statistics.weight_sum
    return total
