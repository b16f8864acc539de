"""The names and conventions that scripts written for other builds of this package use.

Matrices are transposed (row vectors), the field of view is given as tangents, and the principal point stands in
`projmatrix`. Only the returned tuple differs between builds; here it is (color, radii, inv_depth, distortion).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from .checks import check_integer, check_number, check_tensor
from .rasterize import rasterize


class GaussianRasterizationSettings(NamedTuple):
    """A camera and how to render with it."""

    image_height: int  # pixels
    image_width: int  # pixels
    tanfovx: float  # tan of half the horizontal field of view: image_width/(2·fx)
    tanfovy: float  # tan of half the vertical field of view
    bg: Tensor  # (3,) background color
    scale_modifier: float
    viewmatrix: Tensor  # (4, 4) world to camera, transposed
    projmatrix: Tensor  # (4, 4) world to clip space, transposed; its principal point may be off-center
    sh_degree: int
    campos: Tensor  # (3,) the camera's center; implied by viewmatrix and not read
    prefiltered: bool = False  # not read: culling is exact
    debug: bool = False  # not read: errors are always reported
    antialiasing: bool = False


class GaussianRasterizer(torch.nn.Module):
    """Renders Gaussians as seen with the settings that it was made with."""

    def __init__(self, raster_settings: GaussianRasterizationSettings) -> None:
        super().__init__()
        self.raster_settings = raster_settings

    def forward(
        self,
        means3D: Tensor,
        means2D: Tensor | None,
        opacities: Tensor,
        shs: Tensor | None = None,
        colors_precomp: Tensor | None = None,
        scales: Tensor | None = None,
        rotations: Tensor | None = None,
        cov3D_precomp: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Render.

        Args:
            means3D, opacities, shs, colors_precomp, scales, rotations: `rasterize`'s means, opacities, shs, colors,
                scales, quats.
            means2D: (N, 2) or (N, 3), zeros whose gradient receives that of the projected means in normalized device
                coordinates: the gradient per pixel × (W/2, H/2). None if it is not wanted.
            cov3D_precomp: not supported, must be None: the gradients of scales and rotations are the point.

        Returns: color (3, H, W), radii (N,), inv_depth (1, H, W), distortion (1, H, W).

        Raises: TypeError, ValueError as `rasterize` does.
        """
        if cov3D_precomp is not None:
            raise ValueError("cov3D_precomp is given; it must be None: pass scales and rotations instead")
        if scales is None or rotations is None:
            raise ValueError("scales or rotations is None; both must be given")
        s = self.raster_settings
        output = rasterize(
            means3D, scales, rotations, opacities, shs, colors_precomp,
            viewmat=check_tensor("viewmatrix", s.viewmatrix, (4, 4)).T, **_intrinsics(s),
            background=s.bg, sh_degree=s.sh_degree, scale_modifier=s.scale_modifier, antialiasing=s.antialiasing,
            means2d_offset=_offset(means2D, means3D, s),
        )  # fmt: skip
        return output.color, output.radii, output.inv_depth, output.distortion


def _intrinsics(s: GaussianRasterizationSettings) -> dict[str, Any]:
    """Focal lengths from the field of view, and the principal point from the clip space transform.

    `projmatrix` (untransposed) is projection·viewmat; the projection's entries [0, 2] and [1, 2] shift the image by
    that part of half its size.
    """
    width = check_integer("image_width", s.image_width, 1)
    height = check_integer("image_height", s.image_height, 1)
    tanfovx = check_number("tanfovx", s.tanfovx, 0, open_low=True)
    tanfovy = check_number("tanfovy", s.tanfovy, 0, open_low=True)
    viewmat = check_tensor("viewmatrix", s.viewmatrix, (4, 4)).detach().double().T
    clip_from_world = check_tensor("projmatrix", s.projmatrix, (4, 4)).detach().double().T
    projection = clip_from_world @ torch.linalg.inv(viewmat)
    return {
        "width": width,
        "height": height,
        "fx": width / (2 * tanfovx),
        "fy": height / (2 * tanfovy),
        "cx": (1 + float(projection[0, 2])) * width / 2,
        "cy": (1 + float(projection[1, 2])) * height / 2,
    }


def _offset(means2D: Tensor | None, means3D: Tensor, s: GaussianRasterizationSettings) -> Tensor | None:
    """means2D in pixels: what it stands for is a shift of the projected means."""
    if means2D is None:
        return None
    if not isinstance(means2D, Tensor) or means2D.dim() != 2 or means2D.shape[1] < 2 or len(means2D) != len(means3D):
        found = tuple(means2D.shape) if isinstance(means2D, Tensor) else type(means2D).__name__
        raise ValueError(f"means2D is {found}; it must be a tensor of shape ({len(means3D)}, 3) or None")
    return means2D[:, :2] * means2D.new_tensor([s.image_width / 2, s.image_height / 2])
