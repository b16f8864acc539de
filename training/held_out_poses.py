"""Held-out photos at poses fitted to them, with the Gaussians frozen: what a model is worth where poses are inexact."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from arguments import PoseOptions
from gaussian_renderer import RenderSettings, render
from gaussian_renderer.exposures import Exposures
from gaussian_renderer.render_views import measure_view
from scene.gaussians.model import PARAMETERS, Gaussians
from scene.loading.image_cache import LoadedView, ViewCache
from scene.types import Camera
from training.pose_refinement import PoseRefinement
from utils.files import write_json
from utils.losses.photometric import photometric, weighted_sum
from utils.metrics.depth import Scores, average_depth
from utils.metrics.image import average

FILE = "refined_poses.json"
STEPS = 100  # for each photo
FIRST, LAST = 1e-3, 1e-5  # learning rates, scene extents and radians
EVERY = 10  # steps between fits of the photo's colors
WEIGHTS = {"l1": 0.8, "dssim": 0.2}


class HeldOutPoses:
    """Fits the pose of each photo, and measures the views there."""

    def __init__(
        self,
        gaussians: Gaussians,
        extent: float,
        background: Tensor,
        settings: RenderSettings,
        exposures: Exposures | None = None,
    ) -> None:
        self.gaussians = Gaussians(dict(gaussians.parameters), gaussians.shard)
        for name in PARAMETERS:
            self.gaussians.parameters[name].requires_grad_(False)
        self.extent, self.background, self.settings, self.exposures = extent, background, settings, exposures

    def measure(self, photos: ViewCache, folder: Path, stopped: Callable[[], bool]) -> dict[str, Any] | None:
        """The mean scores over `photos`, as in results.json; None when `stopped` says so.

        Writes refined_poses.json in `folder`: the mean, and photo -> scores, distance in scene units, degrees.
        """
        rows: dict[str, dict[str, Any]] = {}
        depths: dict[str, Scores] = {}
        for photo in photos.in_order(range(len(photos))):
            if stopped():
                return None
            name = photo.camera.name
            camera, distance, degrees = self.fitted(photo)
            shown = photo._replace(camera=camera)
            scores, depth = measure_view(self.gaussians, shown, self.background, self.settings, self.exposures)
            rows[name] = {**scores, "distance": distance, "degrees": degrees}
            depths |= {} if depth is None else {name: depth}
        mean: dict[str, Any] = dict(average(rows.values()))
        if depths:
            mean["depth"] = average_depth(depths.values())
        views = {name: row | ({"depth": depths[name]} if name in depths else {}) for name, row in rows.items()}
        write_json(folder / FILE, {"mean": mean, "views": views})
        return mean

    def fitted(self, photo: LoadedView) -> tuple[Camera, float, float]:
        """The camera at the pose at which the Gaussians show the photo best, and how far that is: units, degrees."""
        options = PoseOptions(pose_lr_init=FIRST, pose_lr_final=LAST, refine_poses_from_iter=0)
        device, camera = self.gaussians.device, photo.camera
        pose = PoseRefinement([camera], options, self.extent, device, anchored=False)
        colors, always = torch.eye(3, 4, device=device), torch.ones((), dtype=torch.bool, device=device)
        for step in range(STEPS):
            viewmat = pose.viewmat(camera.name)
            output = render(self.gaussians, camera, self.background, self.settings, viewmat=viewmat)
            if step % EVERY == 0:
                colors = fitted_colors(output.color.detach(), photo.color, photo.mask)
            shown = (colors[:, :3] @ output.color.flatten(1) + colors[:, 3:]).view_as(output.color)
            weighted_sum(photometric(shown, photo.color, photo.mask), WEIGHTS).backward()
            pose.step(step + 1, STEPS, always)
        distance, degrees = pose.moved()
        return pose.camera(camera), float(distance[0]), float(degrees[0])


def fitted_colors(image: Tensor, target: Tensor, mask: Tensor | None) -> Tensor:
    """(3,4): the affine transform of an image's colors, (3,H,W), that is closest to the target's, by least squares."""
    colors = torch.cat([image, torch.ones_like(image[:1])]).flatten(1).double()
    weighted = colors if mask is None else colors * mask.flatten(1)
    ridge = 1e-6 * torch.eye(4, dtype=colors.dtype, device=colors.device) * image[0].numel()
    identity = torch.eye(4, 3, dtype=colors.dtype, device=colors.device)
    return torch.linalg.solve(
        weighted @ colors.T + ridge, weighted @ target.flatten(1).double().T + ridge @ identity
    ).T.to(image)
