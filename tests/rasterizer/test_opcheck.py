"""Every operator keeps torch's rules: its schema, its fake, its derivative, and all of them under tracing."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, library

from diff_gaussian_rasterization import Thresholds, ops
from diff_gaussian_rasterization.rasterize import DEPTH_MODELS, depth_reach
from tests.rasterizer.scenes import RasterScene, random_scene

OPERATORS = ["project", "project_backward", "isect_tiles", "blend", "blend_backward", "blend_statistics"]


def project_arguments(scene: RasterScene, dtype: torch.dtype, gradient: bool) -> tuple[Any, ...]:
    features = "shs" if "shs" in scene.tensors else "colors"
    names = ("means", "scales", "quats", "opacities", features, "viewmat")
    tensors = [scene.tensors[name].to(dtype).requires_grad_(gradient) for name in names]
    s = scene.settings
    return (
        *tensors, s["width"], s["height"], s["fx"], s["fy"], s["cx"], s["cy"], 0.2, 1.0, Thresholds().alpha_min,
        s.get("sh_degree", -1), True, depth_reach(s["depth_model"], Thresholds().alpha_min), None,
    )  # fmt: skip


def blend_arguments(scene: RasterScene, dtype: torch.dtype, gradient: bool) -> tuple[Any, ...]:
    *splats, cutoff_sigmas, radii, _ = ops.project(*project_arguments(scene, dtype, False))
    means2d, inv_cov_factor, depths = splats[0], splats[1], splats[4]
    size = scene.settings["width"], scene.settings["height"]
    lists = ops.isect_tiles(means2d, inv_cov_factor, depths, cutoff_sigmas, radii, *size)
    inputs = (*splats, scene.tensors["background"].to(dtype))
    leaves = [tensor.detach().clone().requires_grad_(gradient) for tensor in inputs]
    receiver = torch.zeros_like(means2d).requires_grad_(gradient) if scene.settings.get("absgrad", False) else None
    sensor = torch.ones((1, *reversed(size)), dtype=dtype) if scene.settings["depth_model"] == "ray" else None
    gap = scene.settings.get("distortion_gap", math.inf)
    return (*leaves, cutoff_sigmas, *lists, *size, *Thresholds(), False, gap, sensor, 2.0, receiver)


def cotangents(outputs: tuple[Tensor, ...]) -> list[Tensor]:
    rng = torch.Generator().manual_seed(0)
    return [torch.randn(output.shape, generator=rng, dtype=output.dtype) for output in outputs]


def arguments(operator: str, scene: RasterScene, dtype: torch.dtype) -> tuple[Any, ...]:
    if operator == "project":
        return project_arguments(scene, dtype, True)
    if operator == "blend":
        return blend_arguments(scene, dtype, True)
    project_inputs, blend_inputs = project_arguments(scene, dtype, False), blend_arguments(scene, dtype, False)
    *splats, cutoff_sigmas, radii, _ = ops.project(*project_inputs)
    if operator == "project_backward":
        return (*project_inputs, radii, *cotangents(tuple(splats)))
    if operator == "isect_tiles":
        size = scene.settings["width"], scene.settings["height"]
        return (splats[0], splats[1], splats[4], cutoff_sigmas, radii, *size)
    images, state = ops.blend(*blend_inputs)[:5], ops.blend(*blend_inputs)[5:]
    if operator == "blend_backward":
        return (*blend_inputs[:-1], blend_inputs[-1] is not None, *state, *cotangents(images))
    assert operator == "blend_statistics"
    return (*blend_inputs[:-1], *state[1:])


@pytest.mark.parametrize("depth_model", DEPTH_MODELS)
@pytest.mark.parametrize(("n", "dtype"), [(12, torch.float32), (12, torch.float64), (0, torch.float32)])
@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.slow
def test_opcheck(operator: str, dtype: torch.dtype, n: int, depth_model: str) -> None:
    scene = random_scene(1, n=n, width=20, height=18, sh_degree=1, depth_model=depth_model)
    inputs = arguments(operator, scene, dtype)
    results = library.opcheck(getattr(torch.ops.diff_gaussian_rasterization, operator).default, inputs)
    assert len(results) >= 4 and set(results.values()) == {"SUCCESS"}


@pytest.mark.parametrize("depth_model", DEPTH_MODELS)
@pytest.mark.parametrize("operator", ["blend", "blend_backward", "blend_statistics"])
def test_opcheck_of_surfaces(operator: str, depth_model: str) -> None:
    scene = random_scene(1, n=12, width=20, height=18, sh_degree=1, depth_model=depth_model, distortion_gap=0.1)
    inputs = arguments(operator, scene, torch.float32)
    results = library.opcheck(getattr(torch.ops.diff_gaussian_rasterization, operator).default, inputs)
    assert len(results) >= 4 and set(results.values()) == {"SUCCESS"}


@pytest.mark.parametrize("absgrad", [False, True])
@pytest.mark.parametrize("operator", OPERATORS)
def test_opcheck_of_features(operator: str, absgrad: bool) -> None:
    scene = random_scene(
        1, n=12, width=20, height=18, sh_degree=None, channels=8, absgrad=absgrad, depth_model="ray"
    )  # fmt: skip
    inputs = arguments(operator, scene, torch.float32)
    results = library.opcheck(getattr(torch.ops.diff_gaussian_rasterization, operator).default, inputs)
    assert len(results) >= 4 and set(results.values()) == {"SUCCESS"}
