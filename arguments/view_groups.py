"""The settings of what is learned of each training photo beside the Gaussians, a group per stage."""

from __future__ import annotations

from dataclasses import dataclass

from utils.options import option


@dataclass(frozen=True)
class ExposureOptions:
    """Exposure of each training photo"""

    exposure: str = option(
        "auto",
        "whether a 3x4 color transform is learned for each training photo: auto does where the photos show the same "
        "points of the scene in different brightness",
        choices=("auto", "on", "off"),
    )
    exposure_lr_init: float = option(
        0.01, "learning rate of the color transforms at the first step", minimum=0, maximum=1
    )
    exposure_lr_final: float = option(
        0.001, "learning rate of the color transforms at the last step; log-linear in between", minimum=0, maximum=1
    )
    exposure_lr_delay_steps: int = option(
        0, "number of steps over which the learning rate of the color transforms rises at first", minimum=0
    )
    exposure_lr_delay_mult: float = option(
        0.0, "factor on the learning rate of the color transforms at the first of these steps", minimum=0, maximum=1
    )


@dataclass(frozen=True)
class PoseOptions:
    """Refinement of the camera poses"""

    refine_poses: bool = option(
        False, "refines the pose of each training photo; use it where poses are off by a pixel or more"
    )
    pose_lr_init: float = option(
        1e-3,
        "learning rate of the poses when their refinement starts, in scene extents and radians per step",
        minimum=0,
        maximum=1,
    )
    pose_lr_final: float = option(
        1e-5,
        "learning rate of the poses at the last step, in scene extents and radians per step; log-linear in between",
        minimum=0,
        maximum=1,
    )
    refine_poses_from_iter: int | None = option(
        None, "step after which poses are refined", minimum=0, follows="a tenth of --iterations"
    )
