"""The operators called by hand, one after the other, on the CPU, in the emulator or on a card."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import diff_gaussian_rasterization.ops  # noqa: F401  registers the operators
from diff_gaussian_rasterization.rasterize import Thresholds, depth_reach

from ..scenes import RasterScene

PROJECTED = (
    "means2d", "inv_cov_factor", "opacities2d", "colors", "depths", "depth_slopes", "cutoff_sigmas", "radii",
    "num_nonfinite",
)  # fmt: skip
LISTS = ("flatten_ids", "grad_slots", "isect_offsets", "tile_ranges")
BLENDED = (
    "color", "inv_depth", "depth", "alpha", "distortion", "transmittance", "reference", "offset", "end",
    "surface_ends",
)  # fmt: skip
SPLAT_GRADIENTS = (
    "v_means2d", "absgrad", "v_inv_cov_factor", "v_opacities2d", "v_colors", "v_depths", "v_depth_slopes",
    "v_background",
)  # fmt: skip
GRADIENTS = ("v_means", "v_scales", "v_quats", "v_opacities", "v_features", "v_viewmat")  # and of sh_rest
STATISTICS = ("weight_sum", "max_contribution", "distortion_share", "median_depth")


@dataclass(frozen=True)
class Backend:
    """The operators by their names, and where their tensors lie."""

    operators: Any
    device: str = "cpu"


ON_CPU = Backend(torch.ops.diff_gaussian_rasterization)
ON_CARD = Backend(torch.ops.diff_gaussian_rasterization, "cuda")


def project_arguments(scene: RasterScene, dtype: torch.dtype = torch.float64) -> tuple[Any, ...]:
    t, s = {name: tensor.to(dtype).contiguous() for name, tensor in scene.tensors.items()}, scene.settings
    features = t["shs"] if "shs" in t else t["colors"]
    tensors = (t["means"], t["scales"], t["quats"], t["opacities"], features, t["viewmat"])
    numbers = (s["width"], s["height"], s["fx"], s["fy"], s["cx"], s["cy"], 0.2, s.get("scale_modifier", 1.0))
    degree = s.get("sh_degree", 0) if "shs" in t else -1
    alpha_min = s.get("thresholds", Thresholds()).alpha_min
    reach = depth_reach(s.get("depth_model", "center"), alpha_min)
    return (*tensors, *numbers, alpha_min, degree, s.get("antialiasing", False), reach, None)


def blend_arguments(
    scene: RasterScene,
    splats: tuple[Tensor, ...],
    lists: tuple[Tensor, ...],
    dtype: torch.dtype = torch.float64,
) -> tuple[Any, ...]:
    s = scene.settings
    *seen, cutoff_sigmas = splats[:7]
    background, sensor = scene.tensors["background"].to(dtype), scene.tensors.get("sensor_depth")
    return (
        *seen, background, cutoff_sigmas, *lists, s["width"], s["height"],
        *s.get("thresholds", Thresholds()), s.get("distortion_space", "linear") == "inverse",
        s.get("distortion_gap", math.inf), None if sensor is None else sensor.to(dtype),
        s.get("sensor_limit", math.inf),
    )  # fmt: skip


def run(
    on: Backend,
    scene: RasterScene,
    cotangents: dict[str, Tensor | None] | None = None,
    dtype: torch.dtype = torch.float64,
    absgrad: bool = True,
) -> dict[str, Tensor]:
    """Everything that the operators return, by name, on the CPU.

    `cotangents`: of the five images, with None for an image that no loss looks at; None for no backward pass.
    """
    operators = on.operators
    scene = scene.with_tensors(**{name: tensor.to(on.device) for name, tensor in scene.tensors.items()})
    projecting = project_arguments(scene, dtype)
    splats = operators.project(*projecting)
    lists = operators.isect_tiles(splats[0], splats[1], splats[4], splats[6], splats[7], *projecting[6:8])
    blending = blend_arguments(scene, splats, lists, dtype)
    blended = operators.blend(*blending, None)
    names, results = [*PROJECTED, *LISTS, *BLENDED], [*splats, *lists, *blended]
    if cotangents is not None:
        absent = splats[0].new_empty(0)
        images = [absent if v is None else v.to(on.device, dtype) for v in cotangents.values()]
        gradients = operators.blend_backward(*blending, absgrad, *blended[5:], *images)
        v_means2d, _, *rest = gradients[:7]
        names += [*SPLAT_GRADIENTS, *GRADIENTS, *STATISTICS]
        results += [*gradients, *operators.project_backward(*projecting, splats[7], v_means2d, *rest)[:6]]
        results += operators.blend_statistics(*blending, *blended[6:])
    return {name: result.cpu() for name, result in zip(names, results, strict=True)}
