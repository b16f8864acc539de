"""A frame for the browser: one of the rasterizer's images as a picture."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from diff_gaussian_rasterization import RasterOutput
from gaussian_renderer import RenderSettings, render
from scene.gaussians.model import Gaussians
from scene.types import Camera
from utils.image_io import depth_scale, distortion_scale, to_bytes
from utils.quaternion import rotate

IMAGES = ("color", "depth", "distortion", "alpha", "normals")
MIN_ALPHA = 0.05  # a pixel with less has no depth worth showing


@torch.no_grad()
def frame(
    gaussians: Gaussians, camera: Camera, background: Tensor, settings: RenderSettings, image: str = "color"
) -> np.ndarray:
    """(H,W,3) uint8, one of IMAGES before `background`, (3,). Depth and distortion have colors of this frame's range;
    normals are in world axes, -1 to 1 as 0 to 255."""
    if image == "normals":
        normals = render(gaussians, camera, torch.zeros_like(background), settings, colors=_normals(gaussians, camera))
        return to_bytes(torch.nn.functional.normalize(normals.color, dim=0) / 2 + 0.5)
    output = render(gaussians, camera, background, settings)
    if image == "color":
        return to_bytes(output.color)
    if image == "alpha":
        return to_bytes(output.alpha.expand(3, -1, -1))
    return _painted(output, image)


def _painted(output: RasterOutput, image: str) -> np.ndarray:
    alpha, depth, distortion = (each[0].cpu().numpy() for each in (output.alpha, output.depth, output.distortion))
    hit = alpha >= MIN_ALPHA
    if image == "distortion":
        return distortion_scale([distortion[hit]]).paint(distortion)
    depth = depth / np.maximum(alpha, np.finfo(alpha.dtype).tiny)
    return depth_scale([depth[hit]]).paint(depth, hit)


def _normals(gaussians: Gaussians, camera: Camera) -> Tensor:
    """(N,3) the shortest axes, world axes, toward the camera."""
    center = torch.from_numpy(camera.center).to(gaussians.means)
    shortest = torch.eye(3).to(gaussians.means)[gaussians.scales.argmin(dim=1)]
    normals = rotate(gaussians.quats, shortest)
    away = ((gaussians.means - center) * normals).sum(dim=1, keepdim=True) > 0
    return torch.where(away, -normals, normals)
