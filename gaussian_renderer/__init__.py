"""From Gaussians and a camera to a picture: the only door to the rasterizer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from arguments import PipelineOptions
from diff_gaussian_rasterization import RasterOutput, rasterize
from scene.gaussians.model import Gaussians
from scene.types import Camera
from utils.losses.thickness import ray_variance
from utils.schedules import sh_degree_at

__all__ = [
    "RasterOutput",
    "RenderSettings",
    "SensorDepth",
    "background_color",
    "expected_depth",
    "random_color",
    "render",
    "settings_at",
    "settings_of",
    "surface_depth",
]


@dataclass(frozen=True)
class RenderSettings:
    """How to draw."""

    near: float  # world units: what is not farther from the camera than this is not drawn
    sh_degree: int  # of the spherical harmonics in use
    antialiasing: bool = False
    statistics: bool = False  # per-Gaussian sums of weights and of distortion as well
    absgrad: bool = False  # a backward pass leaves means2d.absgrad, (N, 2)
    scale_modifier: float = 1.0  # all scales times this
    distortion_space: str = "linear"
    distortion_gap: float = math.inf  # relative step of depth between surfaces of a pixel, each with its own distortion
    depth_model: str = "ray"  # depth of a splat: along each pixel's ray, or its "center"'s
    median_depth: bool = False  # the depth where half of the light is taken as well
    depth_slope: bool = False  # the slope of the inverse depth over the pixels as well
    ray_variance: bool = False  # as `features` the variance of z within the Gaussians as well, (1, H, W) world units²


class SensorDepth(NamedTuple):
    """What splats are held against: see `rasterize`."""

    depth: Tensor  # (1, H, W) world units, 0 where it is unknown
    limit: float  # world units: no distance from it counts more


def settings_of(near: float, sh_degree: int, pipeline: PipelineOptions) -> RenderSettings:
    """How a trained model is drawn in a scene with this near plane."""
    return RenderSettings(near, sh_degree, pipeline.antialiasing, depth_model=pipeline.depth_model)


def settings_at(iteration: int, *, near: float, sh_degree: int, pipeline: PipelineOptions) -> RenderSettings:
    """How a run draws at `iteration`, which has degrees up to `sh_degree` at its end."""
    return settings_of(near, sh_degree_at(iteration, sh_degree), pipeline)


def background_color(white: bool, device: torch.device) -> Tensor:
    """(3,) white, else black."""
    return torch.full((3,), float(white), device=device)


def random_color(generator: torch.Generator, device: torch.device) -> Tensor:
    """(3,) uniform in [0, 1), from a generator on the CPU."""
    return torch.rand(3, generator=generator).to(device, non_blocking=True)


def expected_depth(output: RasterOutput) -> Tensor:
    """(H, W) Σw·z/Σw, world units, without gradient; 0 where nothing is drawn."""
    return (output.depth / output.alpha.clamp_min(torch.finfo(output.alpha.dtype).tiny))[0].detach()


def surface_depth(output: RasterOutput) -> Tensor:
    """(H, W) z of the surface that each pixel shows, world units, without gradient; 0 where there is none.

    Of what was rendered with `median_depth`: at an edge the mean lies between the surfaces, where nothing is.
    """
    assert output.median_depth is not None
    return output.median_depth[0]


def render(
    gaussians: Gaussians,
    camera: Camera,
    background: Tensor,
    settings: RenderSettings,
    *,
    colors: Tensor | None = None,
    sensor: SensorDepth | None = None,
    viewmat: Tensor | None = None,
) -> RasterOutput:
    """Draw the Gaussians before `background`, (3,). The result is that of `diff_gaussian_rasterization.rasterize`.

    `colors`, (N,3), replace those of the Gaussians; `viewmat`, (4,4), replaces the camera's, and receives a gradient.
    Where `sensor` has a depth the distortion is measured about it, instead of the pixel's mean depth.
    """
    if viewmat is None:
        viewmat = torch.as_tensor(camera.camera_from_world, dtype=gaussians.means.dtype)
        viewmat = viewmat.to(gaussians.device, non_blocking=True)
    shape = gaussians.means, gaussians.activated_scales, gaussians.quats
    return rasterize(
        *shape,
        gaussians.activated_opacities,
        shs=gaussians.shs(settings.sh_degree) if colors is None else None,
        colors=colors,
        viewmat=viewmat,
        fx=camera.fx,
        fy=camera.fy,
        cx=camera.cx,
        cy=camera.cy,
        width=camera.width,
        height=camera.height,
        background=background,
        sh_degree=settings.sh_degree,
        near=settings.near,
        scale_modifier=settings.scale_modifier,
        antialiasing=settings.antialiasing,
        distortion_space=settings.distortion_space,
        distortion_gap=settings.distortion_gap,
        depth_model=settings.depth_model,
        sensor_depth=None if sensor is None else sensor.depth,
        sensor_limit=math.inf if sensor is None else sensor.limit,
        median_depth=settings.median_depth,
        features=ray_variance(*shape, viewmat, settings.near) if settings.ray_variance else None,
        depth_slope=settings.depth_slope,
        statistics=settings.statistics,
        absgrad=settings.absgrad,
    )
