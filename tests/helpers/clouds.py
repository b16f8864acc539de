"""Random Gaussians for the tests of the trainer."""

from __future__ import annotations

import torch

from scene.gaussians.model import Gaussians


def random_gaussians(count: int, sh_degree: int = 3, seed: int = 0) -> Gaussians:
    """Gaussians about the origin, a twentieth of a unit large, of every opacity."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(count, *shape, generator=generator)

    return Gaussians(
        dict(
            means=normal(3),
            scales=normal(3) * 0.5 - 3,
            quats=normal(4),
            opacities=normal(1),
            shs_dc=normal(1, 3) * 0.5,
            shs_rest=normal((sh_degree + 1) ** 2 - 1, 3) * 0.1,
        )
    )
