"""Drawing in two stages: Gaussians become splats, splats become a picture. Between them splats may change ranks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from diff_gaussian_rasterization import RasterOutput, Splats, blend_splats, project_splats
from scene.gaussians.model import Gaussians
from scene.types import Camera
from utils.losses.thickness import ray_variance


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


class Activated(NamedTuple):
    """What all cameras are drawn from: made once for several, so that it takes memory once."""

    scales: Tensor  # (N, 3)
    opacities: Tensor  # (N, 1)


def activate(gaussians: Gaussians) -> Activated:
    """The activations of the Gaussians."""
    return Activated(gaussians.activated_scales, gaussians.activated_opacities)


def project(
    gaussians: Gaussians,
    camera: Camera,
    settings: RenderSettings,
    *,
    colors: Tensor | None = None,
    viewmat: Tensor | None = None,
    activated: Activated | None = None,
) -> Splats:
    """The Gaussians as the camera sees them. `colors` and `viewmat` as of `gaussian_renderer.render`."""
    activated = activated or activate(gaussians)
    if viewmat is None:
        viewmat = _viewmat(camera, gaussians.means)
    shape = gaussians.means, activated.scales, gaussians.quats
    return project_splats(
        *shape,
        activated.opacities,
        shs=gaussians.shs_dc if colors is None else None,
        # Harmonics that are not in use are left out of the graph: their parameter has no gradient, and does not move.
        sh_rest=gaussians.shs_rest if colors is None and settings.sh_degree > 0 else None,
        colors=colors,
        viewmat=viewmat,
        fx=camera.fx,
        fy=camera.fy,
        cx=camera.cx,
        cy=camera.cy,
        width=camera.width,
        height=camera.height,
        sh_degree=settings.sh_degree,
        near=settings.near,
        scale_modifier=settings.scale_modifier,
        antialiasing=settings.antialiasing,
        depth_model=settings.depth_model,
        features=ray_variance(*shape, viewmat, settings.near) if settings.ray_variance else None,
    )


def _viewmat(camera: Camera, like: Tensor) -> Tensor:
    """(4, 4) of the dtype and on the device of `like`; rounded by numpy, which is no operation of a device's."""
    dtype = np.float64 if like.dtype == torch.float64 else np.float32
    return torch.from_numpy(camera.camera_from_world.astype(dtype)).to(like.device, non_blocking=True)


def blend(
    splats: Splats,
    camera: Camera,
    background: Tensor,
    settings: RenderSettings,
    sensor: SensorDepth | None = None,
    absgrad_receiver: Tensor | None = None,
) -> RasterOutput:
    """The picture that splats make before `background`, (3,)."""
    return blend_splats(
        splats,
        width=camera.width,
        height=camera.height,
        background=background,
        distortion_space=settings.distortion_space,
        distortion_gap=settings.distortion_gap,
        sensor_depth=None if sensor is None else sensor.depth,
        sensor_limit=math.inf if sensor is None else sensor.limit,
        median_depth=settings.median_depth,
        depth_slope=settings.depth_slope,
        statistics=settings.statistics,
        absgrad=settings.absgrad,
        absgrad_receiver=absgrad_receiver,
    )
