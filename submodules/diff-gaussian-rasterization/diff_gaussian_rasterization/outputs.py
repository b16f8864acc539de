"""What `rasterize` is told of a pixel's rules, and what it returns."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Thresholds(NamedTuple):
    """The limits of a pixel's rules. Ordinary settings: the defaults are those of 3D Gaussian splatting."""

    alpha_min: float = 1 / 255  # a Gaussian with less alpha at a pixel is skipped there
    alpha_max: float = 0.99  # alpha is held at this
    transmittance_min: float = 1e-4  # a pixel ends before the Gaussian that would leave less light than this


class Statistics(NamedTuple):
    """What each Gaussian did in the image; (N,) each, without gradient."""

    weight_sum: Tensor  # Σ over pixels of its weight w = alpha·transmittance
    max_contribution: Tensor  # its largest weight
    distortion_share: Tensor  # Σ over pixels of w·(m − M)², its part of the summed distortion


class Splats(NamedTuple):
    """Gaussians as a camera sees them; only those with a radius have a part in its images."""

    means2d: Tensor  # (N, 2) pixels
    inv_cov_factor: Tensor  # (N, 3) triangular factor xx, xy, yy of the inverse covariance, 1/pixels
    opacities: Tensor  # (N,)
    colors: Tensor  # (N, C)
    depths: Tensor  # (N,) of the centers, world units
    depth_slopes: Tensor  # (N, 2) of the inverse depth, 1/(world units·pixel); (0, 2) where all have the center's depth
    cutoff_sigmas: Tensor  # (N,) standard deviations within which alpha is at least alpha_min; without gradient
    radii: Tensor  # (N,) int32, pixels; 0 for a Gaussian that can touch no pixel
    num_nonfinite: Tensor  # () int64, Gaussians culled because a value of theirs is NaN or infinite
    features: Tensor | None = None  # (N, F) more numbers to blend


class RasterOutput(NamedTuple):
    """The images, and what densification needs to know of each Gaussian."""

    color: Tensor  # (C, H, W) Σw·c + T_end·background
    inv_depth: Tensor  # (1, H, W) Σw/z, 1/world units
    depth: Tensor  # (1, H, W) Σw·z, world units; divide by alpha for the expected depth
    alpha: Tensor  # (1, H, W) Σw
    distortion: Tensor  # (1, H, W) Σw·(m − M)², world units² (linear) or 1/world units² (inverse); see sensor_depth
    radii: Tensor  # (N,) int32, pixels; 0 for a Gaussian that can touch no pixel
    means2d: Tensor  # (N, 2) pixels, in the graph; with `absgrad` its attribute of that name is (N, 2) after backward
    num_nonfinite: Tensor  # () int64, Gaussians culled because a value of theirs is NaN or infinite
    statistics: Statistics | None
    median_depth: Tensor | None = None  # (1, H, W) z where half of the light is taken, 0 where it never is; no gradient
    features: Tensor | None = None  # (F, H, W) Σw·f
    depth_slope: Tensor | None = None  # (2, H, W) Σw·h, 1/(world units·pixel): h the slope of a splat's 1/z over x, y
