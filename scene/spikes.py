"""What the views have shown of spikes and floaters: the evidence by which `scene.prune` judges them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from scene.densify import DensityStatistics
from scene.gaussians import Gaussians
from scene.types import Camera
from utils.regularizers import ray_ratio

SPIKE_ROWS = ("spike_views", "weight", "weight_max", "distortion", "ray_views", "views_before", "views_on")
DEPTH_MARGIN = 0.05  # of the sensor's depth: what differs by less is on the surface; sensors err by 1–3 %


class SpikeStatistics(DensityStatistics):
    """What densification needs, and beside it what the views since the last `reset_spikes` have shown of spikes.

    One object for both, so that `edit_rows` cannot leave one of them behind; the two are reset on their own.

    rows, (N,) each, beside those of `DensityStatistics`: spike_views how many of the views given to `observe_spikes`
    it had a part in; weight and distortion the sums of its weights and of its shares of the distortion (world units²);
    weight_max its largest weight at any pixel;
    ray_views in how many it was elongated along the view ray; views_before and views_on in how many its centre was
    before the depth that the sensor measured there, and on it.
    """

    def __init__(self, count: int, device: str | torch.device = "cpu") -> None:
        super().__init__(count, device)
        self.rows |= {name: torch.zeros(count, device=device) for name in SPIKE_ROWS}

    @torch.no_grad()
    def observe_spikes(
        self,
        gaussians: Gaussians,
        camera: Camera,
        weight_sum: Tensor,
        weight_max: Tensor,
        distortion_share: Tensor,
        *,
        ray_ratio_max: float,
        depth: Tensor | None = None,
        depth_valid: Tensor | None = None,
    ) -> None:
        """Add one view. It need not be every view, but views from many sides.

        `weight_sum`, `weight_max`, `distortion_share`: (N,) the rasterizer's statistics of linear depth. Elongated
        along the ray is what `ray_ratio` puts over `ray_ratio_max`. `depth`: (1,H,W) z in world units as a sensor
        measured it, where `depth_valid`, (1,H,W) bool; monocular depth is not exact enough to prune by.
        """
        rows = (weight_sum > 0).nonzero().squeeze(1)
        means = gaussians.means[rows]
        self.rows["spike_views"][rows] += 1
        self.rows["weight"] += weight_sum
        self.rows["distortion"] += distortion_share
        torch.maximum(self.rows["weight_max"], weight_max, out=self.rows["weight_max"])
        center = means.new_tensor(camera.center)
        ratio = ray_ratio(means, gaussians.activated_scales[rows], gaussians.quats[rows], center)
        self.rows["ray_views"][rows] += (ratio > ray_ratio_max).float()
        if depth is not None and depth_valid is not None:
            before, on = against_depth(means, camera, depth, depth_valid)
            self.rows["views_before"][rows] += before.float()
            self.rows["views_on"][rows] += on.float()

    def spread(self) -> Tensor:
        """(N,) world units: how far in depth a Gaussian is from the mean of its pixels, root mean square by weight.

        Its share of the distortion per unit of weight, as a length; 0 where no view has seen it.
        """
        weight = self.rows["weight"]
        return torch.where(weight > 0, self.rows["distortion"] / torch.where(weight > 0, weight, 1.0), 0.0).sqrt()

    def reset_spikes(self) -> None:
        """Forget the views. To be called after everything that uses them, never before."""
        for name in SPIKE_ROWS:
            self.rows[name].zero_()


def against_depth(means: Tensor, camera: Camera, depth: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Which centres, (M,3), are before the measured depth of their pixel, and which are on it: two (M,) bool.

    By more, or at most, `DEPTH_MARGIN` of that depth, against the 3×3 pixels about the centre's: before is what is
    before all of them, on what is between the nearest and the farthest, so that poses off by a pixel and the depth's
    own edges accuse nothing. Neither where no depth is valid, outside the image, and behind what was measured.
    """
    pose = torch.as_tensor(camera.camera_from_world, dtype=means.dtype, device=means.device)
    x, y, z = (means @ pose[:3, :3].T + pose[:3, 3]).unbind(1)
    ahead = z > 0
    safe_z = torch.where(ahead, z, 1.0)
    u, v = camera.fx * x / safe_z + camera.cx, camera.fy * y / safe_z + camera.cy
    inside = ahead & (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)
    pixels = torch.where(inside, v.floor() * camera.width + u.floor(), 0).long()
    near = -max_pool2d(torch.where(valid, -depth, -torch.inf), 3, stride=1, padding=1)  # infinite where none is valid
    far = max_pool2d(torch.where(valid, depth, -torch.inf), 3, stride=1, padding=1)
    nearest, farthest = near.flatten()[pixels] * (1 - DEPTH_MARGIN), far.flatten()[pixels] * (1 + DEPTH_MARGIN)
    measured = inside & nearest.isfinite()
    return measured & (z < nearest), measured & (z >= nearest) & (z <= farthest)
