"""Rotations by quaternions."""

from __future__ import annotations

import torch
from torch import Tensor


def rotate(quats: Tensor, vectors: Tensor) -> Tensor:
    """Rotate (M,3) vectors by (M,4) quaternions w x y z of any length > 0: v + 2·q × (q × v + w·v), q normalised."""
    unit = torch.nn.functional.normalize(quats, dim=1)
    scalar, axis = unit[:, :1], unit[:, 1:]
    return vectors + 2 * torch.linalg.cross(axis, torch.linalg.cross(axis, vectors) + scalar * vectors)


def rotate_back(quats: Tensor, vectors: Tensor) -> Tensor:
    """The inverse of `rotate`: from the world's axes to the local ones, where it goes the other way."""
    return rotate(torch.cat([quats[:, :1], -quats[:, 1:]], dim=1), vectors)
