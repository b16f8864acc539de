"""A surface, a rendering of it and pixels without a reading, for the tests of depth losses."""

from __future__ import annotations

import torch
from torch import Tensor

from utils.losses.depth import depth_loss

K = (20.0, 24.0, 7.3, 5.9)  # fx, fy, cx, cy
SIZE = (12, 15)


class Sample:
    """A slanted surface with a step in it, a rendering that is off by 5 to 30 %, and 30 % invalid pixels."""

    def __init__(self, size: tuple[int, int] = SIZE, seed: int = 0, dtype: torch.dtype = torch.float64) -> None:
        generator = torch.Generator().manual_seed(seed)

        def noise() -> Tensor:
            return torch.rand(size, dtype=torch.float64, generator=generator)

        rows, columns = torch.meshgrid(*(torch.linspace(0, 1, n, dtype=torch.float64) for n in size), indexing="ij")
        target = 1.5 + 0.4 * rows + 0.2 * columns + 1.5 * (columns > 0.6) + 0.02 * noise()
        sign = torch.where(noise() < 0.5, -1.0, 1.0)
        depth = target * (1 + sign * (0.05 + 0.25 * noise()))
        self.target = target.to(dtype)
        self.depth = depth.to(dtype).requires_grad_()
        self.inv_depth = (1 / depth).to(dtype).requires_grad_()
        self.valid = noise() > 0.3
        self.weight = (0.2 + noise()).to(dtype)

    def rendered(self, name: str) -> Tensor:
        """The map that the loss looks at."""
        return self.inv_depth if name == "inv_l1" else self.depth

    def loss(self, name: str, **changes: object) -> Tensor:
        inputs = dict(depth=self.depth, inv_depth=self.inv_depth, target=self.target, valid=self.valid, intrinsics=K)
        return depth_loss(name, **(inputs | changes))


def value_and_gradient(sample: Sample, name: str, rendered: Tensor | None = None, **changes: object):
    rendered = (sample.rendered(name) if rendered is None else rendered).detach().requires_grad_()
    value = sample.loss(name, **({"inv_depth" if name == "inv_l1" else "depth": rendered} | changes))
    return value.detach(), torch.autograd.grad(value, rendered)[0]


def same(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
