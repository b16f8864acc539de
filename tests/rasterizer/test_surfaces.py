"""The distortion of each surface of a pixel apart: what must hold of it whatever the implementation."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from diff_gaussian_rasterization import rasterize
from diff_gaussian_rasterization.reference import rasterize_reference, surface_labels
from tests.rasterizer.scenes import (
    IMAGES,
    RasterScene,
    backward,
    forward,
    gradients,
    random_cotangents,
    random_scene,
)
from tests.rasterizer.test_identities import camera_points, weights_of

MODELS = ["center", "ray"]
SPACES = ["linear", "inverse"]
GAP = 0.1


def facing_discs(depths: list[float], opacity: float = 0.3, unit: float = 1.0, **settings: Any) -> RasterScene:
    """Large discs at these depths, which face the camera: each pixel sees them all."""
    n = len(depths)
    z = unit * torch.tensor(depths, dtype=torch.float64)
    rng = torch.Generator().manual_seed(0)
    tensors = {
        "means": torch.stack([0.02 * z, -0.01 * z, z], dim=1),
        "scales": torch.stack([0.3 * z, 0.25 * z, 1e-4 * z], dim=1),
        "quats": torch.tensor([[1.0, 0.0, 0.0, 0.0]], dtype=torch.float64).repeat(n, 1),
        "opacities": torch.full((n, 1), opacity, dtype=torch.float64),
        "colors": torch.rand(n, 3, generator=rng, dtype=torch.float64),
        "viewmat": torch.eye(4, dtype=torch.float64),
        "background": torch.zeros(3, dtype=torch.float64),
    }
    camera = dict(fx=30.0, fy=30.0, cx=8.0, cy=9.0, width=18, height=17)
    return RasterScene("discs", tensors, {**camera, "distortion_gap": GAP, **settings})


def spread_of(scene: RasterScene, rows: list[int]) -> Tensor:
    """(H, W) Σw·(m − M)² of these Gaussians about their own mean, by their weights among all."""
    w = weights_of(scene.with_settings(distortion_gap=math.inf))[rows]
    z = camera_points(scene)[rows, 2]
    m = z if scene.settings.get("distortion_space", "linear") == "linear" else 1 / z
    total = w.sum(dim=0)
    mean = torch.einsum("ihw,i->hw", w, m) / torch.where(total > 0, total, 1)
    return (w * (m[:, None, None] - mean) ** 2).sum(dim=0)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("space", SPACES)
def test_surfaces_apart_have_the_sum_of_their_own_distortions(space: str, model: str) -> None:
    scene = facing_discs([2.0, 2.03, 2.08, 3.0, 3.1], distortion_space=space, depth_model=model)
    output, plain = scene.render(rasterize), scene.render(rasterize, distortion_gap=math.inf)
    expected = spread_of(scene, [0, 1, 2]) + spread_of(scene, [3, 4])
    assert (output.alpha > 0.5).any() and expected.max() > 1e-6
    assert plain.distortion.max() > 20 * output.distortion.max()
    # Discs that face the camera have their center's depths, but for the pinhole's Jacobian beside its axis.
    torch.testing.assert_close(output.distortion[0], expected, rtol=0.05 if model == "ray" else 1e-9, atol=1e-9)
    for name in ("color", "inv_depth", "depth", "alpha"):
        assert torch.equal(getattr(output, name), getattr(plain, name)), name


@pytest.mark.parametrize("model", MODELS)
def test_how_far_apart_surfaces_are_does_not_matter(model: str) -> None:
    """Nor is anything pulled from one to the other: the old fault of the mean at the edge of an object."""
    near, far = (facing_discs([2.0, 2.04, z, z + 0.05], depth_model=model) for z in (3.0, 9.0))
    one, other = near.render(rasterize).distortion, far.render(rasterize).distortion
    torch.testing.assert_close(one, other, rtol=0.05 if model == "ray" else 1e-9, atol=1e-12)
    output, inputs = forward(rasterize, near)
    found = backward(output, {"distortion": torch.ones_like(output.distortion)}, inputs)["means"][:, 2]
    assert found.abs().min() > 1e-3
    assert found[:2].sum().abs() < 0.05 * found[0].abs() and found[2:].sum().abs() < 0.05 * found[2].abs()


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("space", SPACES)
def test_a_wide_gap_is_the_plain_distortion(space: str, model: str) -> None:
    scene = random_scene(5, n=60, distortion_space=space, depth_model=model)
    wide, plain = scene.with_settings(distortion_gap=1e6), scene
    one, other = wide.render(rasterize), plain.render(rasterize)
    assert other.distortion.max() > 1e-3
    torch.testing.assert_close(one.distortion, other.distortion, rtol=1e-9, atol=1e-12)
    cotangents = random_cotangents(other, 5, ["distortion"])
    expected = gradients(rasterize, plain, cotangents)
    for name, gradient in gradients(rasterize, wide, cotangents).items():
        assert gradient.abs().max() > 1e-6 or name in ("shs", "background")
        torch.testing.assert_close(gradient, expected[name], rtol=1e-7, atol=1e-9 * float(expected[name].abs().max()))


def test_what_lies_behind_the_third_surface_is_the_fourth() -> None:
    depths = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    scene = facing_discs(depths, opacity=0.15)
    output = scene.render(rasterize)
    expected = spread_of(scene, [3, 4, 5])
    assert expected.max() > 1.0
    torch.testing.assert_close(output.distortion[0], expected, rtol=1e-9, atol=1e-9)
    assert not facing_discs(depths[:4]).render(rasterize).distortion.any()


def test_a_chain_of_small_steps_is_one_surface_while_its_mean_goes_along() -> None:
    """A splat is compared with the mean of what it joins, not with the first or the last of it."""
    weights = torch.tensor([[0.5, 0.2, 0.1, 0.1]], dtype=torch.float64)
    measures = torch.tensor([[1.0, 1.08, 1.11, 1.2]], dtype=torch.float64)
    assert surface_labels(weights, measures, 0.1).tolist() == [[0, 0, 0, 1]]
    assert surface_labels(weights, measures, 0.07).tolist() == [[0, 1, 1, 2]]
    assert surface_labels(weights * torch.tensor([[1.0, 0.0, 1.0, 1.0]]), measures, 0.1).tolist() == [[0, 0, 1, 1]]


@pytest.mark.parametrize("seed", range(4))
def test_shares_sum_up_to_the_image(seed: int) -> None:
    scene = random_scene(seed, n=60, depth_model="ray", distortion_gap=GAP, statistics=True)
    output, expected = scene.render(rasterize), scene.render(rasterize_reference)
    assert output.statistics is not None and expected.statistics is not None and output.distortion.max() > 1e-4
    torch.testing.assert_close(output.statistics.distortion_share.sum(), output.distortion.sum())
    for found, wanted in zip(output.statistics, expected.statistics, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)
    plain = scene.render(rasterize, distortion_gap=math.inf)
    assert output.distortion.sum() < 0.9 * plain.distortion.sum()


def test_about_a_sensors_depth_there_is_one_surface() -> None:
    scene = random_scene(8, n=60, depth_model="ray")
    height, width = scene.settings["height"], scene.settings["width"]
    measured = torch.full((1, height, width), 3.0, dtype=torch.float64)
    measured[:, :, ::2] = 0
    scene = scene.with_settings(sensor_depth=measured, sensor_limit=1.0)
    whole, apart = (scene.render(rasterize, distortion_gap=gap).distortion for gap in (math.inf, GAP))
    expected = scene.render(rasterize_reference, distortion_gap=GAP).distortion
    known = measured > 0
    torch.testing.assert_close(apart[known], whole[known], rtol=1e-12, atol=1e-14)
    assert (apart[~known] < 0.5 * whole[~known]).any()
    torch.testing.assert_close(apart, expected, rtol=1e-9, atol=1e-12)


def test_thin_surfaces_far_away_keep_their_digits() -> None:
    """Layers 0.01 apart at a depth of 1000, and behind 1500: in float32, 1e-3 of float64."""
    depths = [1000.0, 1000.01, 1000.02, 1500.0, 1500.01]
    scene = facing_discs(depths, depth_model="center")
    expected, found = scene.render(rasterize_reference).distortion, scene.render(rasterize, torch.float32).distortion
    assert expected.max() > 1e-6
    # 1000.01 is not a number of float32: the depths are those that it has.
    rounded = facing_discs([float(torch.tensor(z)) for z in depths]).render(rasterize_reference).distortion
    torch.testing.assert_close(found.double(), rounded, rtol=2e-3, atol=1e-3 * float(rounded.max()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_same_bits_for_any_number_of_threads(dtype: torch.dtype) -> None:
    scene = random_scene(1, n=3000, width=150, height=110, sh_degree=0, depth_model="ray", distortion_gap=GAP)

    def bits(threads: int) -> dict[str, Tensor]:
        torch.set_num_threads(threads)  # the fixture in conftest.py puts it back
        output, inputs = forward(rasterize, scene, dtype)
        cotangents = random_cotangents(output, 0)
        images = {name: getattr(output, name).detach() for name in IMAGES}
        return {**images, **{f"v_{name}": v for name, v in backward(output, cotangents, inputs).items()}}

    alone = bits(1)
    assert all(value.any() and value.isfinite().all() for value in alone.values())
    for threads in (2, 4):
        for name, value in bits(threads).items():
            assert torch.equal(value, alone[name]), (name, threads)


@pytest.mark.parametrize("gap", [0.0, -1.0, math.nan])
def test_a_gap_that_is_none_is_named(gap: float) -> None:
    with pytest.raises(ValueError, match="distortion_gap"):
        random_scene(1, n=4).render(rasterize, torch.float32, distortion_gap=gap)
