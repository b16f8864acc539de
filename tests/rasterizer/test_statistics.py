"""Σw, max w and the share of the distortion, Gaussian by Gaussian."""

from __future__ import annotations

import pytest
import torch

from diff_gaussian_rasterization import Statistics, Thresholds, rasterize
from diff_gaussian_rasterization.reference import blend_weights, pixel_samples, rasterize_reference, splat_alphas
from tests.rasterizer.scenes import RasterScene, random_scene, reference_splats


def by_brute_force(scene: RasterScene) -> Statistics:
    """Pixel by pixel, from the weights of the reference."""
    order, splats = reference_splats(scene.tensors, scene.settings)
    samples = pixel_samples(scene.settings["width"], scene.settings["height"], splats.depths)
    weights, _, _ = blend_weights(splat_alphas(splats, samples, 0.99), Thresholds())
    m = splats.depths if scene.settings["distortion_space"] == "linear" else 1 / splats.depths
    total, largest, share = (torch.zeros(len(scene), dtype=torch.float64) for _ in range(3))
    for w in weights:
        mean = (w * m).sum() / w.sum() if w.sum() > 0 else 0.0
        total[order] += w
        largest[order] = torch.maximum(largest[order], w)
        share[order] += w * (m - mean) ** 2
    return Statistics(total, largest, share)


@pytest.mark.parametrize("space", ["linear", "inverse"])
@pytest.mark.parametrize("seed", range(4))
def test_statistics(seed: int, space: str) -> None:
    scene = random_scene(seed, n=50, distortion_space=space, statistics=True)
    expected = by_brute_force(scene)
    for rasterizer, dtype, tolerance in (
        (rasterize_reference, torch.float64, 1e-9),
        (rasterize, torch.float64, 1e-9),
        (rasterize, torch.float32, 1e-4),
    ):
        output = scene.render(rasterizer, dtype)
        assert output.statistics is not None
        for name, value in expected._asdict().items():
            found = getattr(output.statistics, name)
            assert found.shape == (50,) and found.dtype == dtype and value.any() and not value.all()
            assert not found[value == 0].any(), f"{name} of what is not seen is not 0"
            assert (found.double() - value).abs().max() <= tolerance * value.max(), name


def test_they_sum_up_to_the_images() -> None:
    output = random_scene(5, n=50).render(rasterize, statistics=True)
    assert output.statistics is not None
    torch.testing.assert_close(output.statistics.weight_sum.sum(), output.alpha.sum())
    torch.testing.assert_close(output.statistics.distortion_share.sum(), output.distortion.sum())


def test_they_come_only_when_asked_for_and_without_a_graph() -> None:
    scene = random_scene(6, n=10)
    assert scene.render(rasterize).statistics is None
    output = rasterize(**scene.leaves(), **scene.settings, statistics=True)
    assert output.color.requires_grad and output.statistics is not None
    assert not any(value.requires_grad for value in output.statistics)
