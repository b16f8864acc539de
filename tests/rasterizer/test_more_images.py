"""Features and the slope of the depth, blended beside the colors."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from diff_gaussian_rasterization import rasterize
from diff_gaussian_rasterization.reference import rasterize_reference
from tests.rasterizer.scenes import RasterScene, normal, random_scene
from tests.rasterizer.test_gradcheck import STEP, TOLERANCE, steady_scene


def with_features(scene: RasterScene, count: int) -> RasterScene:
    return scene.with_tensors(features=normal(torch.Generator().manual_seed(1), len(scene), count))


@pytest.mark.parametrize("count", [1, 2, 14, 20])
def test_features_are_blended_as_colors_are(count: int) -> None:
    scene = with_features(random_scene(3, n=60, sh_degree=1, depth_model="ray"), count)
    found = scene.render(rasterize, depth_slope=True)
    expected = scene.render(rasterize_reference, depth_slope=True)
    tensors = {name: tensor for name, tensor in scene.tensors.items() if name not in ("shs", "features")}
    black = torch.zeros(count, dtype=torch.float64)
    alone = RasterScene("colors", {**tensors, "colors": scene.tensors["features"], "background": black}, scene.settings)
    assert found.features is not None and found.depth_slope is not None and expected.features is not None
    assert found.features.shape == (count, 30, 40) and found.features.abs().max() > 0.1
    torch.testing.assert_close(found.features, alone.with_settings(sh_degree=0).render(rasterize).color)
    torch.testing.assert_close(found.features, expected.features, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found.depth_slope, expected.depth_slope, rtol=1e-9, atol=1e-12)
    without = {name: tensor for name, tensor in scene.tensors.items() if name != "features"}
    plain = RasterScene("plain", without, scene.settings).render(rasterize)
    assert torch.equal(found.color, plain.color) and plain.features is None and plain.depth_slope is None


def test_the_slope_is_that_of_the_inverse_depth_of_one_gaussian() -> None:
    """1/z of a splat is affine in the pixel, and this is its slope."""
    scene = random_scene(9, n=1, kinds=["ordinary"], depth_model="ray")
    output = scene.render(rasterize, depth_slope=True)
    assert output.depth_slope is not None
    cover = torch.where(output.alpha > 0, output.alpha, torch.nan)
    level, slope = (output.inv_depth / cover)[0], output.depth_slope / cover
    for step, rise in ((level.diff(dim=1), slope[0, :, 1:]), (level.diff(dim=0), slope[1, 1:])):
        both = ~(step.isnan() | rise.isnan())
        assert both.sum() > 20 and step[both].abs().max() > 1e-6
        torch.testing.assert_close(step[both], rise[both], rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("name", ["rays", "rays, border"])
def test_gradients(name: str) -> None:
    scene = with_features(steady_scene(name)[0], 2)

    def images(*tensors: Tensor) -> tuple[Tensor, Tensor]:
        output = rasterize(**dict(zip(scene.tensors, tensors, strict=True)), **scene.settings, depth_slope=True)
        assert output.features is not None and output.depth_slope is not None
        return output.features, output.depth_slope

    leaves = scene.leaves()
    features, slope = images(*leaves.values())
    assert features.std() > 1e-2 and slope.std() > 1e-5
    found = torch.autograd.grad(
        features.square().sum() + slope.square().sum(), list(leaves.values()), allow_unused=True
    )
    for each, gradient in zip(leaves, found, strict=True):
        if each not in ("colors", "shs", "background"):
            assert gradient is not None
            rows = gradient[:3] if each == "viewmat" else gradient
            assert rows.flatten(1).abs().amax(dim=1).min() > 1e-9, each
    assert gradcheck(images, tuple(leaves.values()), eps=STEP, atol=TOLERANCE, rtol=TOLERANCE)


def test_bad_arguments_are_named() -> None:
    scene = random_scene(1, n=4)
    with pytest.raises(ValueError, match="depth_slope.*'center'.*'ray'"):
        scene.render(rasterize, depth_slope=True)
    for features in (torch.zeros(3, 2), torch.zeros(4, 0), torch.zeros(4)):
        with pytest.raises(ValueError, match="features"):
            scene.render(rasterize, features=features.double())
