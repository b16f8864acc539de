"""The names and conventions that scripts written for other builds of this package use.

Matrices are transposed (row vectors), the field of view is given as tangents, and the principal point stands in
`projmatrix`. Builds differ in the tuple that they return; here `returns` in the settings names its images, so that a
script written for another build changes one line and nothing is misread.
"""

from __future__ import annotations

from collections import namedtuple
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .checks import check_integer, check_number, check_tensor
from .rasterize import RasterOutput, rasterize

RETURNS = ("color", "radii", "inv_depth", "distortion")
NEAR = 0.2  # world units, as in the other builds
# What `returns` may name: RasterOutput's fields and the blended depth of an opaque surface.
IMAGES = ("color", "radii", "inv_depth", "depth", "expected_depth", "alpha", "distortion", "num_nonfinite")

UNKNOWN_SETTINGS = {
    "projmatrix_raw": "leave it out; rasterize() has gradients of the camera: pass viewmat",
    "kernel_size": "leave it out; antialiasing=True uses a blur of 0.3 pixels²",
    "subpixel_offset": "leave it out; pixels are sampled at their centers",
    "require_depth": "leave it out; returns=('color', 'radii', 'expected_depth') gives the depth",
    "require_coord": "leave it out; rasterize(colors=...) renders features of any number of channels",
}
UNKNOWN_ARGUMENTS = {
    "theta": "rasterize() has gradients of the camera: pass viewmat",
    "rho": "rasterize() has gradients of the camera: pass viewmat",
    "extra_attrs": "rasterize(colors=...) renders features of any number of channels",
    "view2gaussian_precomp": "pass scales and rotations",
}


class _Settings(NamedTuple):
    image_height: int  # pixels
    image_width: int  # pixels
    tanfovx: float  # tan of half the horizontal field of view: image_width/(2·fx)
    tanfovy: float  # tan of half the vertical field of view
    bg: Tensor  # (C,) background color
    scale_modifier: float
    viewmatrix: Tensor  # (4, 4) or (1, 4, 4) world to camera, transposed
    projmatrix: Tensor  # the same, world to clip space, transposed; its principal point may be off-center
    sh_degree: int
    campos: Tensor  # (3,) the camera's center; implied by viewmatrix and not read
    prefiltered: bool = False  # not read: culling is exact
    debug: bool = False  # not read: errors are always reported
    antialiasing: bool = False
    returns: tuple[str, ...] = RETURNS  # the images that a call returns, of IMAGES, in this order


class GaussianRasterizationSettings(_Settings):
    """A camera and how to render with it.

    Raises: TypeError for a setting that only other builds have; the message says what to use instead.
    """

    def __new__(cls, *args: Any, **settings: Any) -> GaussianRasterizationSettings:
        _refuse_unknown("GaussianRasterizationSettings", settings, set(_Settings._fields), UNKNOWN_SETTINGS)
        return super().__new__(cls, *args, **settings)


class GaussianRasterizer(torch.nn.Module):
    """Renders Gaussians as seen with the settings that it was made with."""

    def __init__(self, raster_settings: GaussianRasterizationSettings) -> None:
        super().__init__()
        self.raster_settings = raster_settings

    @torch.no_grad()
    def markVisible(self, positions: Tensor) -> Tensor:
        """(N,) bool: which of `positions` (N, 3) lie farther than the near plane in front of the camera."""
        positions = check_tensor("positions", positions, ("N", 3))
        viewmat = _matrix("viewmatrix", self.raster_settings.viewmatrix, positions)
        return positions @ viewmat[2, :3] + viewmat[2, 3] > NEAR

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
        dc: Tensor | None = None,
        **others: Any,
    ) -> tuple[Tensor, ...]:
        """Render.

        Args:
            means3D, scales, rotations: `rasterize`'s means, scales, quats.
            opacities: (N, 1) or (N,).
            shs, colors_precomp: `rasterize`'s shs (N, K, 3), colors (N, C).
            means2D: (N, 2), (N, 3) or (N, 4). The gradient of the projected means in normalized device coordinates,
                which is that per pixel × (W/2, H/2), arrives in columns 0 and 1. Of four columns the last two receive
                its absolute values, added up over pixels (AbsGS, Ye et al. 2024). None if it is not wanted.
            cov3D_precomp: (N, 6) covariances xx xy xz yy yz zz, world units², instead of scales and rotations.
                scale_modifier does not change them, as in the other builds. Slower than scales and rotations.
            dc: (N, 1, 3) coefficients of degree 0, of builds that have them apart; `shs` are then the others.

        Returns: a named tuple of the settings' `returns`: color (C, H, W), radii (N,), inv_depth (1, H, W),
            distortion (1, H, W) if they say nothing else.

        Raises: TypeError, ValueError as `rasterize` does; TypeError for an argument that only other builds have.
        """
        _refuse_unknown("GaussianRasterizer", others, set(), UNKNOWN_ARGUMENTS)
        if cov3D_precomp is None and (scales is None or rotations is None):
            raise ValueError("scales or rotations is None; both must be given, or cov3D_precomp")
        names = _check_returns(self.raster_settings.returns)
        shs, sh_rest = (shs, None) if dc is None else (dc, shs)
        camera = _camera(self.raster_settings, means3D)
        screen = _screen(means2D, means3D, camera["width"], camera["height"])
        output = rasterize(
            means3D, scales, rotations, opacities[:, None] if opacities.dim() == 1 else opacities, shs, colors_precomp,
            sh_rest=sh_rest, **(camera | screen | _covariances(cov3D_precomp, means3D)),
        )  # fmt: skip
        return _returned(names)(*(_image(output, name) for name in names))


# ---- what is returned


@cache
def _returned(names: tuple[str, ...]) -> Any:
    return namedtuple("Images", names)


def _check_returns(names: object) -> tuple[str, ...]:
    if isinstance(names, str) or not isinstance(names, (tuple, list)) or not names or len({*names}) != len(names):
        raise ValueError(f"returns is {names!r}; it must be a tuple of different names of {', '.join(IMAGES)}")
    for name in names:
        if name not in IMAGES:
            raise ValueError(f"returns has {name!r}; its names must be of {', '.join(IMAGES)}")
    return tuple(names)


def _image(output: RasterOutput, name: str) -> Tensor:
    if name != "expected_depth":
        return getattr(output, name)
    hit = output.alpha > 0
    return torch.where(hit, output.depth / torch.where(hit, output.alpha, 1), 0)


def _refuse_unknown(of: str, given: dict[str, Any], known: set[str], instead: dict[str, str]) -> None:
    for name in given:
        if name not in known:
            raise TypeError(f"{of} has no {name}; {instead.get(name, 'leave it out')}")


def _covariances(cov3D: Tensor | None, means3D: Tensor) -> dict[str, Any]:
    """`rasterize`'s keywords, from the upper triangles."""
    if cov3D is None:
        return {}
    xx, xy, xz, yy, yz, zz = check_tensor("cov3D_precomp", cov3D, (len(means3D), 6), means3D).unbind(1)
    rows = [torch.stack(row, dim=1) for row in ((xx, xy, xz), (xy, yy, yz), (xz, yz, zz))]
    return {"covariances": torch.stack(rows, dim=1), "scale_modifier": 1.0}


# ---- the camera


def _camera(s: _Settings, means3D: Tensor) -> dict[str, Any]:
    """`rasterize`'s keywords.

    `projmatrix` (untransposed) is projection·viewmat; the projection's entries [0, 2] and [1, 2] shift the image by
    that part of half its size.
    """
    width, height = _pixels("image_width", s.image_width), _pixels("image_height", s.image_height)
    tanfovx = check_number("tanfovx", s.tanfovx, 0, open_low=True)
    tanfovy = check_number("tanfovy", s.tanfovy, 0, open_low=True)
    viewmat = _matrix("viewmatrix", s.viewmatrix)
    projection = _matrix("projmatrix", s.projmatrix).double() @ torch.linalg.inv(viewmat.double())
    return {
        "viewmat": viewmat.to(means3D),
        "width": width,
        "height": height,
        "fx": width / (2 * tanfovx),
        "fy": height / (2 * tanfovy),
        "cx": (1 + float(projection[0, 2])) * width / 2,
        "cy": (1 + float(projection[1, 2])) * height / 2,
        "background": torch.as_tensor(s.bg).to(means3D),
        "sh_degree": s.sh_degree,
        "near": NEAR,
        "scale_modifier": s.scale_modifier,
        "antialiasing": s.antialiasing,
    }


def _pixels(name: str, value: Any) -> int:
    """A size that may also be a whole number of numpy's, torch's, or a float."""
    number = check_number(name, value, 1)
    return check_integer(name, int(number) if number == int(number) else value, 1)


def _matrix(name: str, value: Tensor, like: Tensor | None = None) -> Tensor:
    """(4, 4) of column vectors, of a transposed matrix that may have a leading 1."""
    if isinstance(value, Tensor) and value.dim() == 3 and len(value) == 1:
        value = value[0]
    matrix = check_tensor(name, value, (4, 4)).T
    return matrix if like is None else matrix.to(like)


# ---- the screen's points


def _screen(means2D: Tensor | None, means3D: Tensor, width: int, height: int) -> dict[str, Any]:
    """`rasterize`'s keywords: means2D stands for a shift of the projected means, in pixels."""
    if means2D is None:
        return {}
    n = len(means3D)
    fits = isinstance(means2D, Tensor) and means2D.dim() == 2 and len(means2D) == n and 2 <= means2D.shape[1] <= 4
    if not fits:
        found = tuple(means2D.shape) if isinstance(means2D, Tensor) else type(means2D).__name__
        raise ValueError(f"means2D is {found}; it must be a tensor of shape ({n}, 2), ({n}, 3) or ({n}, 4), or None")
    half = means2D.new_tensor([width / 2, height / 2])
    if means2D.shape[1] < 4:
        return {"means2d_offset": means2D[:, :2] * half}
    return {"means2d_offset": means2D[:, :2] * half, "absgrad_receiver": means2D[:, 2:] * half}
