"""A split that hardly changes the picture: two along the longest axis in the place of one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from scene.gaussians.model import PARAMETERS, Gaussians
from training.strategies.split_needles import half_axis


@dataclass(frozen=True)
class SplitShape:
    """Where the two children lie and how large they are, in parts of what their parent is.

    By the defaults the footprint of a Gaussian of opacity 0.1, 0.6, 0.99 changes by 10, 12, 15 % (relative L2 norm of
    the alpha); drawn from the parent and 1.6 × smaller, by 75 to 83 %.
    """

    offset: float = 0.6  # of the children's centers from the parent's, in its longest standard deviation
    longest: float = 0.6  # of the longest axis
    others: float = 1.0  # of the other two
    opacity: float = 0.8


@torch.no_grad()
def split_longest(gaussians: Gaussians, parents: Tensor, shape: SplitShape) -> dict[str, Tensor]:
    """The raw parameters of two children for each of the `parents`, (N,) bool: all first ones, then all second."""
    children = {name: gaussians.parameters[name].detach()[parents] for name in PARAMETERS}
    step = shape.offset * half_axis(gaussians, parents)
    rows, axis = torch.arange(len(step), device=gaussians.device), children["scales"].argmax(dim=1)
    scales = children["scales"] + math.log(shape.others)
    scales[rows, axis] = children["scales"][rows, axis] + math.log(shape.longest)
    children["scales"] = scales
    children["opacities"] = to_logits(shape.opacity * gaussians.activated_opacities.detach()[parents])
    pair = {name: torch.cat([values, values]) for name, values in children.items()}
    pair["means"] = torch.cat([children["means"] - step, children["means"] + step])
    return pair


def to_logits(opacities: Tensor) -> Tensor:
    """The raw parameter of opacities in (0,1)."""
    return torch.log(opacities / (1 - opacities))
