"""The settings of the loss and of the optimizer, a group per stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from utils.losses.depth import LOSSES, NAMES, parse_losses
from utils.options import option

USUAL_SENSOR = "0:30 3000:30 15000:1"  # --lambda_sensor where depth lies along rays
USUAL_RATES = {"feature_lr": 0.0025, "opacity_lr": 0.025, "scaling_lr": 0.005, "rotation_lr": 0.001}  # of 30,000 steps


def _rate(flag: str, help: str) -> Any:
    """A learning rate that is higher in short runs unless it is given."""
    usual = f"{USUAL_RATES[flag]:g}, times (30000 / --iterations)^(1/3) in a run of fewer steps, 2.5 times at most"
    return option(None, help, minimum=0, maximum=1, follows=usual)


@dataclass(frozen=True)
class OptimizationOptions:
    """Photometric loss and learning rates"""

    lambda_dssim: float = option(
        0.2, "weight of 1 - SSIM in the photometric loss, 0 to 1; L1 has the remaining weight", minimum=0, maximum=1
    )
    contrast_gain: float | None = option(
        None,
        "factor on the colors of photos and renders in L1 and SSIM, by which the usual learning rate of the color is "
        "divided; raise it for photos that are dark or in fog",
        minimum=0.01,
        maximum=1000,
        follows="1, or more where the photos fill less than 0.6 of the range of their files, 10 at most",
    )
    coarse_until_iter: int = option(
        0, "step before which photos are used at half size; a higher one saves time and costs quality", minimum=0
    )
    random_background: bool = option(
        False,
        "trains over a new random background color in each step; use it for photos with alpha that are to be shown "
        "on any background",
    )
    position_lr_init: float = option(
        1.6e-4, "learning rate of the means at the first step, in scene extents per step", minimum=0, maximum=1
    )
    position_lr_final: float | None = option(
        None,
        "learning rate of the means at the last step, in scene extents per step; log-linear in between",
        minimum=0,
        maximum=1,
        follows="0.0000016, times (30000 / --iterations)^(5/6) in a run of fewer steps, 10 times at most",
    )
    position_lr_max_steps: int | None = option(
        None, "number of steps over which the learning rate of the means decays", minimum=1, follows="--iterations"
    )
    feature_lr: float | None = _rate(
        "feature_lr", "learning rate of the color, SH degree 0; higher degrees use 1/20 of it"
    )
    opacity_lr: float | None = _rate("opacity_lr", "learning rate of the opacities, in logits per step")
    scaling_lr: float | None = _rate("scaling_lr", "learning rate of the scales, in natural logarithms per step")
    rotation_lr: float | None = _rate(
        "rotation_lr", "learning rate of the rotations, in units of the quaternion per step"
    )
    average_last: float = option(
        0.05,
        "part of the run, at its end, over whose steps the Gaussians are averaged; 0 leaves those of the last step",
        minimum=0,
        maximum=1,
    )
    sh_degree_interval: int | None = option(
        None,
        "number of steps after which colors get one more degree of spherical harmonics, up to --sh_degree",
        minimum=1,
        follows="1000, or a thirtieth of --iterations if that is less",
    )
    batch_size: int | None = option(
        None,
        "photos whose losses are added up in each step, which counts as so many steps; learning rates and Adam's betas "
        "are scaled to it",
        minimum=1,
        follows="the number of ranks that torchrun starts, 1 without it",
    )
    optimizer_type: str = option(
        "default",
        "optimizer: default is Adam over all Gaussians, sparse_adam updates only Gaussians visible in the step, "
        "which saves time and costs quality",
        choices=("default", "sparse_adam"),
    )


SCHEDULE = "a number, or knots step:value of a run of 30000 steps, which scale with --iterations"
DEPTH_LOSSES = (
    "depth loss that compares rendered depth Z with the depth map's Z*: a name, or a weighted sum such as "
    "ssi+0.5*silog+0.4*grad, whose parts are logged as depth_<name>; choose ssi for maps of unknown scale and shift; "
    + "; ".join(f"{name}: {LOSSES[name].formula}" for name in NAMES)
)


@dataclass(frozen=True)
class DepthOptions:
    """Depth supervision, where the scene has depth maps; lengths in scene extents"""

    depth_loss: str = option("inv_l1", DEPTH_LOSSES, check=parse_losses)
    depth_l1_weight_init: float = option(
        4.0, "weight of the depth loss at the first step; lower it for noisy depth maps", minimum=0
    )
    depth_l1_weight_final: float = option(
        0.04,
        "weight of the depth loss at the last step; log-linear in between; lower it for noisy depth maps",
        minimum=0,
    )
    depth_l1_mult: str = option("0:0.5 3000:0.5 15000:1", f"factor on the weight of the depth loss: {SCHEDULE}")
    depth_max: float | None = option(
        None,
        "depth beyond which the depth maps are ignored, in scene units; set it to the range of the sensor",
        minimum=0,
        follows="no limit",
    )
    depth_edge_weight: float = option(
        0.0,
        "factor k of the weight exp(-k * relative depth step) of a pixel in the depth loss; "
        "raise it if depth maps are wrong at their edges",
        minimum=0,
    )


@dataclass(frozen=True)
class RegularizerOptions:
    """Regularizers; lengths in scene extents"""

    lambda_dist: str = option(
        "0:10 3000:10 15000:1",
        f"weight of the depth distortion: {SCHEDULE}; lower it if fine structure is lost, 0 switches it off",
    )
    distortion: str = option(
        "log",
        "depth distortion of a pixel that lambda_dist weighs: plain is the variance of its depths; log is its "
        "logarithm beyond dist_scale, since a pixel at an edge rightly has two depths; gap is the plain one of each "
        "surface that it sees, parted by dist_gap",
        choices=("plain", "log", "gap"),
    )
    dist_scale: float = option(
        0.02,
        "depth gap beyond which the distortion grows only logarithmically with --distortion log, in scene extents, "
        "over the square root of lambda_dist where that is over 1; 0 is as --distortion plain",
        minimum=0,
    )
    dist_gap: float = option(
        0.02,
        "relative step of depth that parts the surfaces of a pixel with --distortion gap; raise it if surfaces stay "
        "thick",
        minimum=1e-6,
    )
    lambda_sensor: str | None = option(
        None,
        "weight of each splat's squared distance from the depth map, where that is known and away from its edges; the "
        f"distortion then counts the other pixels: {SCHEDULE}; lower it if the poses are worse than the depth",
        follows=f"{USUAL_SENSOR}; 0 with --depth_model center, or where a distortion is asked for",
    )
    sensor_limit: float = option(
        0.04, "distance from the depth map beyond which lambda_sensor pulls no splat, in scene extents", minimum=0
    )
    lambda_normal: str = option(
        "0",
        "weight of the difference of the rendered depth's slopes from the Gaussians' own, which turns them into "
        f"their surface: {SCHEDULE}; needs --depth_model ray; a high one closes gaps, as between slats",
    )
    lambda_thickness: str = option(
        "0",
        f"weight of the variance of depth within the Gaussians, along the rays: {SCHEDULE}; raise it together with "
        "lambda_erank if surfaces are thick",
    )
    lambda_erank: str = option(
        "15000:0 15001:0.001",
        f"weight of the effective rank, which makes needles shorter: {SCHEDULE}; raise it if needles stay",
    )
    erank_min: float = option(
        1.18,
        "effective rank from which on lambda_erank costs nothing: 1 is a needle, 1.18 flat and five times as long as "
        "wide, 2 a disc, 3 a ball; raise it to make Gaussians round",
        minimum=1.001,
        maximum=3,
    )
    lambda_ray: str = option(
        "0", f"weight of the elongation along the view ray: {SCHEDULE}; raise it if Gaussians grow long along the rays"
    )
    ray_ratio_max: float = option(
        3.0,
        "elongation along the view ray up to which lambda_ray costs nothing, as a ratio to the extent across the ray",
        minimum=0,
    )
    lambda_alpha: float = option(
        0.1,
        "weight of the alpha loss, for photos that have an alpha channel; raise it if the background keeps fog",
        minimum=0,
    )
    lambda_opacity: float | None = option(
        None,
        "weight of the mean opacity; raise it to let Gaussians fade that no photo needs",
        "--opacity_reg",
        minimum=0,
        follows="0; 0.01 with --strategy mcmc",
    )
    lambda_scale: float | None = option(
        None,
        "weight of the mean scale, in scene extents; raise it to let Gaussians shrink that no photo needs",
        "--scale_reg",
        minimum=0,
        follows="0; 0.01 with --strategy mcmc",
    )
