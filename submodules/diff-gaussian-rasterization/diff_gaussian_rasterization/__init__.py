"""An exact, differentiable rasterizer of 3D Gaussians: color, depths, alpha and distortion in one pass."""

from .adam import adam_
from .graphdeco import GaussianRasterizationSettings, GaussianRasterizer
from .ops import get_num_threads, instruction_set, set_num_threads
from .photometric import photometric
from .rasterize import RasterOutput, Statistics, Thresholds, rasterize

__all__ = [
    "GaussianRasterizationSettings",
    "GaussianRasterizer",
    "RasterOutput",
    "Statistics",
    "Thresholds",
    "adam_",
    "get_num_threads",
    "instruction_set",
    "photometric",
    "rasterize",
    "set_num_threads",
]
