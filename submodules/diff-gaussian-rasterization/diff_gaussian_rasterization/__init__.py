"""An exact, differentiable rasterizer of 3D Gaussians: color, depths, alpha and distortion in one pass."""

from .adam import adam_
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
    "adam_",
    "instruction_set",
    "rasterize",
    "ssim_map",
]
