"""An exact, differentiable rasterizer of 3D Gaussians: color, depths, alpha and distortion in one pass."""

from .adam import adam_
from .depth_terms import inv_depth_l1, mean_distortion
from .effective_rank import effective_rank_cost
from .exposure import expose
from .graphdeco import GaussianRasterizationSettings, GaussianRasterizer
from .ops import get_num_threads, instruction_set, set_num_threads
from .outputs import RasterOutput, Splats, Statistics, Thresholds
from .photometric import photometric
from .rasterize import blend_splats, project_splats, rasterize

__all__ = [
    "GaussianRasterizationSettings",
    "GaussianRasterizer",
    "RasterOutput",
    "Splats",
    "Statistics",
    "Thresholds",
    "adam_",
    "blend_splats",
    "effective_rank_cost",
    "expose",
    "get_num_threads",
    "instruction_set",
    "inv_depth_l1",
    "mean_distortion",
    "photometric",
    "project_splats",
    "rasterize",
    "set_num_threads",
]
