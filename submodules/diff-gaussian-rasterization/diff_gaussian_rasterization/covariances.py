"""Gaussians given by their covariances instead of scales and rotations: their splats, in plain torch.

The kernels project axes, from which they know the determinant of a needle's footprint to all digits. A covariance has
lost them; so here all is computed in float64. Autograd gives the gradients. It is slower than the kernels: the
covariances' usual source, scales and rotations, is the better input.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .reference import (
    BLUR,
    COMPENSATION_FLOOR,
    covariance_slopes,
    jacobian,
    project_points,
)


class Footprints(NamedTuple):
    """What projection makes of covariances; as `ops.project` returns it, for all N."""

    means2d: Tensor  # (N, 2)
    inv_cov_factor: Tensor  # (N, 3)
    opacities2d: Tensor  # (N,)
    depths: Tensor  # (N,)
    depth_slopes: Tensor  # (N, 2), or (0, 2) where all pixels have the center's depth


def principal_axes(covariances: Tensor) -> tuple[Tensor, Tensor]:
    """Scales (N, 3) and quaternions (N, 4) of covariances (N, 3, 3), without gradient: what culling needs to know.

    Rows that are not finite stay so.
    """
    finite = covariances.isfinite().all(dim=(1, 2))
    values, vectors = torch.linalg.eigh(torch.where(finite[:, None, None], covariances, 0).double())
    vectors = vectors * torch.linalg.det(vectors)[:, None, None].sign()
    scales = torch.where(finite[:, None], values.clamp(min=0).sqrt(), torch.nan)
    return scales.to(covariances), quaternions(vectors).to(covariances)


def quaternions(rotations: Tensor) -> Tensor:
    """(N, 4) w x y z of rotation matrices (N, 3, 3): the column of 4·q·qᵀ with the largest diagonal entry."""
    r = rotations
    xx, yy, zz = r[:, 0, 0], r[:, 1, 1], r[:, 2, 2]
    wx, wy, wz = r[:, 2, 1] - r[:, 1, 2], r[:, 0, 2] - r[:, 2, 0], r[:, 1, 0] - r[:, 0, 1]
    xy, xz, yz = r[:, 0, 1] + r[:, 1, 0], r[:, 0, 2] + r[:, 2, 0], r[:, 1, 2] + r[:, 2, 1]
    rows = [
        [1 + xx + yy + zz, wx, wy, wz],
        [wx, 1 + xx - yy - zz, xy, xz],
        [wy, xy, 1 - xx + yy - zz, yz],
        [wz, xz, yz, 1 - xx - yy + zz],
    ]
    products = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
    best = products.diagonal(dim1=1, dim2=2).argmax(dim=1)
    return torch.nn.functional.normalize(products[torch.arange(len(r), device=r.device), best], dim=1)


def project_covariances(
    means: Tensor,
    covariances: Tensor,
    opacities: Tensor,
    visible: Tensor,
    viewmat: Tensor,
    intrinsics: tuple[float, float, float, float],
    size: tuple[int, int],
    antialiasing: bool,
    reach: float,
) -> Footprints:
    """The splats of the `visible` (N,) Gaussians, 0 for the others; `reach` as `ops.project`'s depth_reach.

    covariances (N, 3, 3), scale_modifier² included. Only their symmetric part counts.
    """
    rows = torch.nonzero(visible).squeeze(1)
    points = means[rows].double() @ viewmat[:3, :3].double().T + viewmat[:3, 3].double()
    rotation = viewmat[:3, :3].double()
    symmetric = (covariances[rows] + covariances[rows].mT).double() / 2
    turned = rotation @ symmetric @ rotation.T
    j = jacobian(points, intrinsics[0], intrinsics[1], *size)
    sharp = j @ turned @ j.mT
    blurred = sharp + BLUR * torch.eye(2, dtype=sharp.dtype, device=sharp.device)
    det_sharp, det = (_determinant(each) for each in (sharp, blurred))
    xy, yy = blurred[:, 0, 1], blurred[:, 1, 1]
    factor = torch.stack([(yy / det).sqrt(), -xy / (det * yy).sqrt(), yy.rsqrt()], dim=1)
    opacity = opacities[rows, 0].double()
    if antialiasing:
        opacity = opacity * (det_sharp / det).clamp(min=COMPENSATION_FLOOR).sqrt()
    z = points[:, 2]
    slopes = covariance_slopes(j @ turned[:, :, 2:], blurred, z, reach) if reach > 0 else None

    def of_everyone(values: Tensor) -> Tensor:
        return means.new_zeros(len(means), *values.shape[1:]).index_put((rows,), values.to(means.dtype))

    means2d = of_everyone(project_points(points, *intrinsics))
    depth_slopes = means.new_zeros(0, 2) if slopes is None else of_everyone(slopes)
    return Footprints(means2d, of_everyone(factor), of_everyone(opacity), of_everyone(z), depth_slopes)


def _determinant(matrices: Tensor) -> Tensor:
    return matrices[:, 0, 0] * matrices[:, 1, 1] - matrices[:, 0, 1] ** 2
