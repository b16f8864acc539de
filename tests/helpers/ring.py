"""A dataset of a few small pictures of random Gaussians, taken in a ring, and the flags of an eventful short run."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from gaussian_renderer import RenderSettings, render
from scene.gaussians.initialize import SH_DC
from scene.readers.colmap import write_model
from scene.types import Camera, PointCloud
from tests.helpers.clouds import random_gaussians
from utils.image_io import to_bytes

WIDTH, HEIGHT, VIEWS, POINTS = 48, 36, 9, 80
# Densification, pruning and opacity resets all happen within a few steps.
BUSY = (
    "--strategy threshold --densify_from_iter 3 --densify_until_iter 18 --densification_interval 4 "
    "--opacity_reset_interval 10 --densify_grad_threshold 0.00005"
)


def camera_at(angle: float, name: str, unit: float = 1.0) -> Camera:
    """A camera 5 units from the origin, looking at it."""
    forward = -np.array([np.sin(angle), 0.2, np.cos(angle)])
    forward /= np.linalg.norm(forward)
    right = np.cross([0.0, 1.0, 0.0], forward)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward])
    pose[:3, 3] = -pose[:3, :3] @ (-5.0 * forward) * unit
    return Camera(name, WIDTH, HEIGHT, 45.0, 46.0, WIDTH / 2 + 1.5, HEIGHT / 2 - 1, pose)


def make_dataset(folder: Path, unit: float = 1.0, outside: int | None = None) -> Path:
    """Pictures of random Gaussians about the origin, and their centers as points. `unit`: the length of one unit.

    With `outside`, a border of the pictures is this gray and transparent.
    """
    gaussians = random_gaussians(POINTS, sh_degree=0)
    gaussians.scales.detach().add_(1.0)
    cameras = [camera_at(0.25 * index, f"{index:02}.png", unit) for index in range(VIEWS)]
    (folder / "images").mkdir(parents=True)
    for index, camera in enumerate(cameras):
        near = camera_at(0.25 * index, camera.name)
        with torch.no_grad():
            picture = to_bytes(render(gaussians, near, torch.zeros(3), RenderSettings(near=0.05, sh_degree=0)).color)
        picture = picture[..., ::-1]
        if outside is not None:
            alpha = np.zeros((HEIGHT, WIDTH, 1), dtype=np.uint8)
            alpha[6:-6, 6:-6] = 255
            picture = np.concatenate([np.where(alpha > 0, picture, np.uint8(outside)), alpha], axis=2)
        cv2.imwrite(str(folder / "images" / camera.name), picture)
    colors = (0.5 + SH_DC * gaussians.shs_dc.detach()[:, 0]).clamp(0, 1).numpy()
    means = gaussians.means.detach().numpy() * np.float32(unit)
    write_model(folder / "sparse" / "0", cameras, PointCloud(means, colors))
    return folder
