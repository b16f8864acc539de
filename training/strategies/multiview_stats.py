"""What all training views together show of each Gaussian: the evidence by which `training.strategies.prune` judges.

A survey is one look at the views between two steps, so that it sees one cloud from all sides and at the same time; what
each training step shows in passing is of another cloud every time, and of few sides.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from diff_gaussian_rasterization import RasterOutput
from scene.gaussians.model import Gaussians
from scene.loading.image_cache import LoadedView, ViewCache
from scene.loading.shared import surveyed
from scene.types import Camera
from training.strategies.base import Render
from training.strategies.split_needles import ENDS, ends_of
from utils.losses.regularizers import ray_ratio
from utils.neighbours import largest_about

MAX_VIEWS = 64  # of a survey, evenly chosen
MIN_ALPHA = 0.5  # a pixel with less shows no surface to judge by
DEPTH_MARGIN = 0.05  # of a sensor's depth: what is nearer by more floats before it; sensors err by 1–3 %
MIN_VIEWS = 2  # an end that fewer views can judge is not judged
MOSTLY = 0.6  # of the views that can judge an end show it on the surface, or it is off it


@dataclass
class MultiViewStats:
    """Evidence for N Gaussians. Lengths in world units."""

    views: Tensor  # (N,) how many of the views it had a part in
    weight: Tensor  # (N,) the sum of its weights over all pixels of all views
    max_contribution: Tensor  # (N,) its largest weight at any pixel
    distortion: Tensor  # (N,) the sum of its shares of the distortion, of linear depth
    ray_views: Tensor  # (N,) in how many views it was elongated along the view ray
    views_before: Tensor  # (N,) in how many its center was before what a sensor measured there, by over DEPTH_MARGIN
    views_on: Tensor  # (N,) ... and within DEPTH_MARGIN of it
    end_views: Tensor  # (N,2) how many could judge each end of its longest axis
    end_on: Tensor  # (N,2) ... and show the surface there

    @classmethod
    def of_nothing(cls, gaussians: Gaussians) -> MultiViewStats:
        """The evidence of no view."""
        rows = [gaussians.means.new_zeros(len(gaussians)) for _ in range(7)]
        return cls(*rows, *(gaussians.means.new_zeros(len(gaussians), len(ENDS)) for _ in range(2)))

    def spread(self) -> Tensor:
        """(N,) how far in depth a Gaussian is from the mean of its pixels, root mean square by weight.

        Its share of the distortion per unit of weight, as a length; 0 where no view has seen it.
        """
        weight = self.weight
        return torch.where(weight > 0, self.distortion / torch.where(weight > 0, weight, 1.0), 0.0).sqrt()

    def off_surface(self) -> Tensor:
        """(N,2) bool: which ends of the longest axis the views do not mostly show on the surface."""
        return (self.end_views >= MIN_VIEWS) & (self.end_on < MOSTLY * self.end_views)


@torch.no_grad()
def collect_multiview_stats(
    gaussians: Gaussians, photos: ViewCache, draw: Render, *, tolerance: float, ray_ratio_max: float
) -> MultiViewStats:
    """Look at the training views, at most `MAX_VIEWS` of them.

    An end is on the surface within `tolerance`, world units, of the depth that a sensor has measured at its pixel, or
    of the rendered depth where none has. Elongated along the ray is what `ray_ratio` puts over `ray_ratio_max`.
    """
    found, count = MultiViewStats.of_nothing(gaussians), min(len(photos), MAX_VIEWS)
    ends, scales = ends_of(gaussians), gaussians.activated_scales
    for photo in surveyed(photos, [index * len(photos) // count for index in range(count)], gaussians.ranks):
        output = draw(photo.camera)
        seen = _add_statistics(found, output)
        means = gaussians.means[seen]
        center = torch.from_numpy(photo.camera.center).to(means)
        ratio = ray_ratio(means, scales[seen], gaussians.quats[seen], center)
        found.ray_views[seen] += (ratio > ray_ratio_max).float()
        if photo.depth is not None and photo.depth_valid is not None and photo.depth_measured:
            margins = DEPTH_MARGIN * photo.depth
            before, on, _ = against_depth(means, photo.camera, photo.depth, photo.depth_valid, margins)
            found.views_before[seen] += before.float()
            found.views_on[seen] += on.float()
        depth, known = _best_depth(output, photo)
        margins = torch.full_like(depth, tolerance)
        _, on, judged = against_depth(ends[seen].flatten(0, 1), photo.camera, depth, known, margins)
        found.end_on[seen] += on.reshape(-1, 2).float()
        found.end_views[seen] += judged.reshape(-1, 2).float()
    return found


def _add_statistics(found: MultiViewStats, output: RasterOutput) -> Tensor:
    """Add what the rasterizer has gathered; (M,) the Gaussians that have a part in the view."""
    gathered = output.statistics
    assert gathered is not None, "a survey draws with statistics"
    found.weight += gathered.weight_sum
    found.distortion += gathered.distortion_share
    torch.maximum(found.max_contribution, gathered.max_contribution, out=found.max_contribution)
    seen = gathered.weight_sum.nonzero().squeeze(1)
    found.views[seen] += 1
    return seen


def _best_depth(output: RasterOutput, photo: LoadedView) -> tuple[Tensor, Tensor]:
    """(1,H,W) the depth of the surface, and where it is known: measured, else rendered. Monocular depth is not exact
    enough to judge by."""
    known = output.alpha > MIN_ALPHA
    depth = output.depth / torch.where(known, output.alpha, 1.0)
    if photo.depth is None or photo.depth_valid is None or not photo.depth_measured:
        return depth, known
    return torch.where(photo.depth_valid, photo.depth, depth), known | photo.depth_valid


def against_depth(
    points: Tensor, camera: Camera, depth: Tensor, valid: Tensor, margins: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Which of the (M,3) points are before the surface at their pixel, which on it, and which can be judged: (M,) bool.

    `depth`, `valid`, `margins`: (1,H,W). By the 3×3 pixels about the point's: before is what is before all of them by
    more than the margin, on what is between the nearest and the farthest or at most a margin away, so that poses off by
    a pixel and the depth's own edges accuse nothing. What no pixel is valid for, or lies outside, is not judged.
    """
    pose = torch.as_tensor(camera.camera_from_world, dtype=points.dtype).to(points.device)
    x, y, z = (points @ pose[:3, :3].T + pose[:3, 3]).unbind(1)
    ahead = z > 0
    safe_z = torch.where(ahead, z, 1.0)
    v, u = camera.pixels(x, y, safe_z)
    inside = ahead & (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)
    pixels = torch.where(inside, v.floor() * camera.width + u.floor(), 0).long()
    near = -largest_about(torch.where(valid, margins - depth, -torch.inf))
    far = largest_about(torch.where(valid, depth + margins, -torch.inf))
    nearest, farthest = near.flatten()[pixels], far.flatten()[pixels]  # infinite where no pixel is valid
    judged = inside & nearest.isfinite()
    return judged & (z < nearest), judged & (z >= nearest) & (z <= farthest), judged
