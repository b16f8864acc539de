"""The operators called by hand, one after the other, by the CPU or by the emulated kernels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from diff_gaussian_rasterization import ops
from diff_gaussian_rasterization.rasterize import Thresholds

from ..scenes import RasterScene

_native = torch.ops.diff_gaussian_rasterization
PROJECTED = ("means2d", "conics", "opacities2d", "colors", "depths", "reaches", "radii", "num_nonfinite")
LISTS = ("ids", "slots", "offsets", "ranges")
BLENDED = (
    "color", "inv_depth", "depth", "alpha", "distortion", "transmittance", "reference", "offset", "end"
)  # fmt: skip
SPLAT_GRADIENTS = ("v_means2d", "absgrad", "v_conics", "v_opacities2d", "v_colors", "v_depths", "v_background")
GRADIENTS = ("v_means", "v_scales", "v_quats", "v_opacities", "v_features", "v_viewmat")
STATISTICS = ("weight_sum", "weight_max", "distortion_share")


class OnCpu:
    """The operators as they are registered."""

    project, bin, blend, blend_statistics = ops.project, ops.bin, ops.blend, ops.blend_statistics
    project_backward, blend_backward = _native.project_backward, _native.blend_backward
    ssim, ssim_backward, adam = ops.ssim, _native.ssim_backward, ops.adam


def project_arguments(scene: RasterScene, dtype: torch.dtype = torch.float64) -> tuple[Any, ...]:
    t, s = {name: tensor.to(dtype).contiguous() for name, tensor in scene.tensors.items()}, scene.settings
    features = t["shs"] if "shs" in t else t["colors"]
    tensors = (t["means"], t["scales"], t["quats"], t["opacities"], features, t["viewmat"])
    numbers = (s["width"], s["height"], s["fx"], s["fy"], s["cx"], s["cy"], 0.2, s.get("scale_modifier", 1.0))
    degree = s.get("sh_degree", 0) if "shs" in t else -1
    return (*tensors, *numbers, s.get("thresholds", Thresholds()).alpha_min, degree, s.get("antialiasing", False))


def blend_arguments(
    scene: RasterScene, splats: tuple[Tensor, ...], lists: tuple[Tensor, ...], dtype: torch.dtype = torch.float64
) -> tuple[Any, ...]:
    s = scene.settings
    means2d, conics, opacities, colors, depths, reaches = splats[:6]
    background = scene.tensors["background"].to(dtype)
    return (
        means2d, conics, opacities, colors, depths, background, reaches, *lists, s["width"], s["height"],
        *s.get("thresholds", Thresholds()), s.get("distortion_space", "linear") == "inverse",
    )  # fmt: skip


def run(
    on: Any, scene: RasterScene, cotangents: dict[str, Tensor | None] | None = None, dtype: torch.dtype = torch.float64
) -> dict[str, Tensor]:
    """Everything that the operators return, by name. `cotangents`: of the five images, None for no backward pass."""
    projecting = project_arguments(scene, dtype)
    splats = on.project(*projecting)
    lists = on.bin(splats[0], splats[1], splats[4], splats[5], splats[6], *projecting[6:8])
    blending = blend_arguments(scene, splats, lists, dtype)
    blended = on.blend(*blending)
    names, results = [*PROJECTED, *LISTS, *BLENDED], [*splats, *lists, *blended]
    if cotangents is not None:
        absent = splats[0].new_empty(0)
        images = [absent if v is None else v.to(dtype) for v in cotangents.values()]
        gradients = on.blend_backward(*blending, *blended[5:], *images)
        v_means2d, _, *rest = gradients[:6]
        names += [*SPLAT_GRADIENTS, *GRADIENTS, *STATISTICS]
        results += [*gradients, *on.project_backward(*projecting, splats[6], v_means2d, *rest)]
        results += on.blend_statistics(*blending, *blended[6:])
    return dict(zip(names, results, strict=True))
