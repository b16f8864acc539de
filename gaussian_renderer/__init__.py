"""From Gaussians and a camera to a picture: the only door to the rasterizer."""

from __future__ import annotations

import torch
from torch import Tensor

from arguments import PipelineOptions
from diff_gaussian_rasterization import RasterOutput
from gaussian_renderer.sharded import Request, lead_render
from gaussian_renderer.stages import RenderSettings, SensorDepth, blend, project
from scene.gaussians.model import Gaussians
from scene.types import Camera
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


def settings_of(near: float, sh_degree: int, pipeline: PipelineOptions, *, absgrad: bool = False) -> RenderSettings:
    """How a trained model is drawn in a scene with this near plane."""
    return RenderSettings(near, sh_degree, pipeline.antialiasing, absgrad=absgrad, depth_model=pipeline.depth_model)


def settings_at(
    iteration: int, *, near: float, sh_degree: int, every: float, pipeline: PipelineOptions, absgrad: bool = False
) -> RenderSettings:
    """How a run draws at `iteration`, which adds a degree every `every` steps up to `sh_degree`."""
    return settings_of(near, sh_degree_at(iteration, sh_degree, every), pipeline, absgrad=absgrad)


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

    Gaussians that are spread over ranks are drawn on rank 0, inside of `sharded.leading`, without colors and sensor,
    and without gradient but for that by `viewmat` (see `sharded.lead_render`); those of the output that are of each
    Gaussian are then of each that is seen.
    """
    if gaussians.shard is not None:
        assert colors is None and sensor is None
        return lead_render(gaussians, Request(camera, background, settings, viewmat=viewmat))
    return blend(
        project(gaussians, camera, settings, colors=colors, viewmat=viewmat), camera, background, settings, sensor
    )
