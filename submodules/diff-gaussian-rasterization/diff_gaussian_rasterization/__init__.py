"""An exact, differentiable rasterizer of 3D Gaussians: color, depths, alpha and distortion in one pass."""

from .graphdeco import GaussianRasterizationSettings, GaussianRasterizer
from .ops import instruction_set
from .rasterize import RasterOutput, Statistics, Thresholds, rasterize
from .ssim import ssim_map

__all__ = [
    "GaussianRasterizationSettings",
    "GaussianRasterizer",
    "RasterOutput",
    "Statistics",
    "Thresholds",
    "instruction_set",
    "rasterize",
    "ssim_map",
]
