"""The parameters of a cloud of Gaussians and their activations; nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from scene.gaussians.shard import Shard
from scene.types import GaussianArrays
from utils.distributed import ONE, Ranks

PARAMETERS = ("means", "scales", "quats", "opacities", "shs_dc", "shs_rest")


class Gaussians:
    """N Gaussians. Each parameter is an `nn.Parameter` of shape (N, ...), kept as the optimizer moves it:

    means (N,3) world units; scales (N,3) natural logarithms; quats (N,4) w x y z of any length > 0;
    opacities (N,1) logits; shs_dc (N,1,3) and shs_rest (N,K-1,3), K = (degree + 1)².

    With a `shard` these are the rows that this rank owns of a larger cloud.
    """

    def __init__(self, values: Mapping[str, Tensor], shard: Shard | None = None) -> None:
        if set(values) != set(PARAMETERS):
            raise ValueError(f"Gaussians need the parameters {PARAMETERS}, not {tuple(values)}")
        self.parameters: dict[str, nn.Parameter] = {}
        for name in PARAMETERS:
            self.replace(name, values[name])
        self.shard = shard

    def __len__(self) -> int:
        return len(self.means)

    @property
    def total(self) -> int:
        """How many there are on all ranks."""
        return len(self) if self.shard is None else self.shard.total

    @property
    def ranks(self) -> Ranks:
        """Who owns the cloud."""
        return ONE if self.shard is None else self.shard.ranks

    def places(self, rows: Tensor) -> tuple[Tensor, int]:
        """Where some own rows, (M,) rising indices, stand among those that all ranks name, and how many these are. A
        call of all ranks."""
        if self.shard is None:
            return torch.arange(len(rows), device=rows.device), len(rows)
        return self.shard.places(rows)

    def places_among_all(self) -> Tensor:
        """(N,) int64: where the own rows stand among those of all ranks. A call of all ranks."""
        return torch.arange(len(self), device=self.device) if self.shard is None else self.shard.among_all()

    def replace(self, name: str, values: Tensor) -> nn.Parameter:
        """Put `values` in the place of a parameter, which forgets its gradient; returns the new parameter."""
        self.parameters[name] = nn.Parameter(values.detach().contiguous())
        return self.parameters[name]

    @property
    def means(self) -> Tensor:
        return self.parameters["means"]

    @property
    def scales(self) -> Tensor:
        return self.parameters["scales"]

    @property
    def quats(self) -> Tensor:
        return self.parameters["quats"]

    @property
    def opacities(self) -> Tensor:
        return self.parameters["opacities"]

    @property
    def shs_dc(self) -> Tensor:
        return self.parameters["shs_dc"]

    @property
    def shs_rest(self) -> Tensor:
        return self.parameters["shs_rest"]

    @property
    def sh_degree(self) -> int:
        """The highest degree the coefficients reach."""
        return round((1 + self.shs_rest.shape[1]) ** 0.5) - 1

    @property
    def device(self) -> torch.device:
        return self.means.device

    @property
    def activated_scales(self) -> Tensor:
        """(N,3) standard deviations along the local axes, world units."""
        return self.scales.exp()

    @property
    def activated_opacities(self) -> Tensor:
        """(N,1) in (0,1)."""
        opacities: Tensor = Sigmoid.apply(self.opacities)
        return opacities

    @torch.no_grad()
    def to_arrays(self) -> GaussianArrays:
        """A copy in numpy, as it is written to a PLY file."""
        means, scales, quats, opacities, shs_dc, shs_rest = (
            self.parameters[name].cpu().numpy().astype(np.float32) for name in PARAMETERS
        )
        shs = np.concatenate([shs_dc, shs_rest], axis=1)
        return GaussianArrays(means=means, scales=scales, quats=quats, opacities=opacities, shs=shs)

    @classmethod
    def from_arrays(cls, arrays: GaussianArrays, device: str | torch.device = "cpu") -> Gaussians:
        """The Gaussians of a PLY file, as float32 on `device`."""
        values = {name: getattr(arrays, name) for name in ("means", "scales", "quats", "opacities")}
        values |= dict(shs_dc=arrays.shs[:, :1], shs_rest=arrays.shs[:, 1:])
        return cls({name: torch.tensor(value, dtype=torch.float32, device=device) for name, value in values.items()})


class Sigmoid(torch.autograd.Function):
    """1 / (1 + exp(−x)), the same bits for any number of threads.

    torch.sigmoid's are not: it computes the last few elements of each thread's share by another formula.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        result = torch.exp(-values).add_(1).reciprocal_()
        ctx.save_for_backward(result)
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (result,) = ctx.saved_tensors
        return (1 - result).mul_(result).mul_(gradient)
