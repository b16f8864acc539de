"""Spikes cut to what lies on the surface.

A needle is not wrong as such: edges are made of them. Wrong is the part of it that sticks out of the surface. So a
needle is taken as pieces side by side, and only the outermost goes where its end is off the surface; what remains is
judged anew by the next survey. Deleted whole, needles took 2 dB with them on the synthetic room; cut, nothing.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scene.gaussians.model import PARAMETERS, Gaussians
from utils.quaternion import rotate

ENDS = (-2.0, 2.0)  # standard deviations from the center: there e⁻² of the opacity is left
PIECES = (
    -1.6,
    -0.8,
    0.0,
    0.8,
    1.6,
)  # the same, the centers of the pieces; the first and the last are those of the ends
PIECE_LENGTH = 0.3  # the longest standard deviation of a piece, in its needle's ...
PIECE_ELONGATION = 4.0  # ... and in its middle one, at most


def ends_of(gaussians: Gaussians) -> Tensor:
    """(N,2,3) world units: the ends of the longest axis of each Gaussian."""
    steps = gaussians.means.new_tensor(ENDS)
    return gaussians.means.detach()[:, None] + steps[:, None] * half_axis(gaussians, slice(None))[:, None]


def split_needles(gaussians: Gaussians, spikes: Tensor, off: Tensor) -> dict[str, Tensor]:
    """The raw parameters of the pieces of `spikes`, (N,) bool, that stay: all but those at an end that is `off`, (N,2)
    bool. A needle becomes balls and short rods in a row."""
    kept = _kept(spikes, off)
    count = int(kept.sum())
    values = {name: gaussians.parameters[name].detach()[spikes] for name in PARAMETERS}
    parts = {
        name: value[:, None].expand(-1, len(PIECES), *value.shape[1:])[kept].clone() for name, value in values.items()
    }
    steps = gaussians.means.new_tensor(PIECES)
    parts["means"] += (steps[:, None] * half_axis(gaussians, spikes)[:, None])[kept]
    middle, longest = parts["scales"].sort(dim=1).values[:, 1:].unbind(1)
    rows, axis = torch.arange(count, device=gaussians.device), parts["scales"].argmax(dim=1)
    length = torch.minimum(longest + math.log(PIECE_LENGTH), middle + math.log(PIECE_ELONGATION))
    parts["scales"][rows, axis] = length
    return parts


def needle_of_piece(spikes: Tensor, off: Tensor) -> Tensor:
    """(A,) the row of the needle that each piece of `split_needles` comes from."""
    return spikes.nonzero().squeeze(1).repeat_interleave(_kept(spikes, off).sum(dim=1))


def _kept(spikes: Tensor, off: Tensor) -> Tensor:
    """(S,5) bool: which pieces of each needle stay."""
    kept = torch.ones(int(spikes.sum()), len(PIECES), dtype=torch.bool, device=spikes.device)
    kept[:, 0], kept[:, -1] = ~off[spikes].T
    return kept


def half_axis(gaussians: Gaussians, rows: Tensor | slice) -> Tensor:
    """(M,3) world units: one standard deviation along the longest axis."""
    lengths, axis = gaussians.activated_scales.detach()[rows].max(dim=1)
    units = torch.nn.functional.one_hot(axis, 3).to(lengths.dtype)
    return rotate(gaussians.quats.detach()[rows], units * lengths[:, None])
