"""Growing: what the statistics say, who is cloned, who is split, and never more than allowed."""

from __future__ import annotations

import pytest
import torch

from scene.gaussians.model import PARAMETERS, Gaussians
from scene.gaussians.optimizer import Optimizer
from tests.helpers.clouds import random_gaussians
from training.strategies.densify import DensityStatistics, default_grad_threshold, densify, reset_opacities
from training.strategies.split_longest import SplitShape, split_longest
from utils.quaternion import rotate

RATES = dict.fromkeys(PARAMETERS, 1e-3)


def with_gradients(gradients: list[float]) -> DensityStatistics:
    """Statistics of one view of 2×2 pixels, in which a pixel is a half image size."""
    statistics = DensityStatistics(len(gradients))
    grads = torch.tensor([[value, 0.0] for value in gradients])
    statistics.observe(grads, torch.ones(len(gradients), dtype=torch.int32), 2, 2)
    return statistics


def grow(gaussians: Gaussians, gradients: list[float], clone_below: float, max_gaussians: int = 0) -> tuple[int, int]:
    return densify(
        gaussians,
        Optimizer(gaussians, RATES),
        with_gradients(gradients),
        grad_threshold=0.5,
        clone_below=clone_below,
        max_gaussians=max_gaussians,
        generator=torch.Generator().manual_seed(3),
    )


def test_statistics_are_means_over_the_views_that_saw() -> None:
    statistics = DensityStatistics(3)
    grads = torch.tensor([[3e-3, 4e-3], [1e-3, 0.0], [9.0, 9.0]])
    statistics.observe(grads, torch.tensor([4, 10, 0], dtype=torch.int32), 200, 100)
    statistics.observe(grads, torch.tensor([0, 30, 0], dtype=torch.int32), 100, 200)
    first = ((3e-3 * 100) ** 2 + (4e-3 * 50) ** 2) ** 0.5
    assert statistics.mean_gradient().tolist() == pytest.approx([first, (0.1 + 0.05) / 2, 0.0])
    assert statistics.rows["views"].tolist() == [1, 2, 0]
    assert statistics.rows["screen_size"].tolist() == pytest.approx([0.02, 0.15, 0.0])
    statistics.reset()
    assert not any(values.any() for values in statistics.rows.values())


def test_the_threshold_does_not_depend_on_the_resolution() -> None:
    """A loss that is a mean over pixels, of an image twice as large: half the gradient per pixel moved."""
    small, large = DensityStatistics(1), DensityStatistics(1)
    radii = torch.ones(1, dtype=torch.int32)
    small.observe(torch.tensor([[2e-3, 1e-3]]), radii, 100, 80)
    large.observe(torch.tensor([[1e-3, 0.5e-3]]), radii, 200, 160)
    assert small.mean_gradient().item() == pytest.approx(large.mean_gradient().item())


def test_small_photos_have_a_higher_threshold() -> None:
    assert default_grad_threshold(1e6) == default_grad_threshold(4e6) == 2e-4
    assert default_grad_threshold(288 * 512) == pytest.approx(2.93e-4, rel=0.01)


def test_nothing_over_the_threshold_changes_nothing() -> None:
    gaussians, expected = random_gaussians(4), random_gaussians(4)
    assert grow(gaussians, [0.1, 0.5, 0.0, 0.4], clone_below=1.0) == (0, 0)
    assert all(torch.equal(gaussians.parameters[name], expected.parameters[name]) for name in PARAMETERS)


def test_small_ones_are_cloned() -> None:
    gaussians, before = random_gaussians(4), random_gaussians(4)
    assert grow(gaussians, [0.0, 0.6, 0.0, 0.7], clone_below=10.0) == (2, 0)
    order = [0, 1, 2, 3, 1, 3]
    assert all(torch.equal(gaussians.parameters[name], before.parameters[name][order]) for name in PARAMETERS)


def test_large_ones_are_split_along_their_longest_axis_where_a_shape_is_given() -> None:
    gaussians, before = random_gaussians(4), random_gaussians(4)
    parents = torch.tensor([False, True, False, True])
    statistics = with_gradients([0.0, 0.6, 0.0, 0.7])
    generator = torch.Generator().manual_seed(3)
    untouched = generator.get_state()
    grown = densify(
        gaussians, Optimizer(gaussians, RATES), statistics, grad_threshold=0.5, clone_below=1e-6, max_gaussians=0,
        generator=generator, shape=SplitShape(),
    )  # fmt: skip
    assert grown == (0, 2) and torch.equal(generator.get_state(), untouched), "nothing is drawn"
    children = split_longest(before, parents, SplitShape())
    for name in PARAMETERS:
        assert torch.equal(gaussians.parameters[name][2:], children[name]), name
    lengths, parent = gaussians.activated_scales[2:].sort(dim=1).values, before.activated_scales[[1, 3, 1, 3]]
    longest = parent.amax(dim=1)
    shorter = torch.maximum(0.6 * longest, parent.sort(dim=1).values[:, 1])
    torch.testing.assert_close(lengths[:, 2], shorter)
    moved = (gaussians.means[2:] - before.means[[1, 3, 1, 3]]).norm(dim=1)
    torch.testing.assert_close(moved, 0.6 * longest)


def test_large_ones_are_split() -> None:
    gaussians, before = random_gaussians(4), random_gaussians(4)
    assert grow(gaussians, [0.0, 0.6, 0.0, 0.7], clone_below=1e-6) == (0, 2)
    parents = [1, 3, 1, 3]
    assert len(gaussians) == 6
    assert torch.equal(gaussians.means[:2], before.means[[0, 2]])
    for name in ("quats", "opacities", "shs_dc", "shs_rest"):
        assert torch.equal(gaussians.parameters[name][2:], before.parameters[name][parents])
    assert torch.allclose(gaussians.activated_scales[2:], before.activated_scales[parents] / 1.6)
    offsets = gaussians.means[2:] - before.means[parents]
    assert bool((offsets.norm(dim=1) > 0).all())
    assert bool((offsets.norm(dim=1) < 5 * before.activated_scales[parents].amax(dim=1)).all())


def test_the_scale_decides_between_the_two() -> None:
    gaussians = random_gaussians(50)
    largest = gaussians.activated_scales.amax(dim=1)
    cloned, split = grow(gaussians, [1.0] * 50, clone_below=0.08)
    assert (cloned, split) == (int((largest <= 0.08).sum()), int((largest > 0.08).sum())) and cloned * split > 0
    assert len(gaussians) == 100


def test_children_have_the_parents_covariance() -> None:
    count = 4000
    one = random_gaussians(1, sh_degree=0, seed=4)
    gaussians = Gaussians({name: one.parameters[name].detach().repeat_interleave(count, 0) for name in PARAMETERS})
    grow(gaussians, [1.0] * count, clone_below=0.0)
    samples = gaussians.means.detach() - one.means.detach()
    axes = rotate(one.quats.expand(3, 4), torch.eye(3)).detach()  # row i: the world direction of local axis i
    expected = axes.T @ torch.diag(one.activated_scales[0].detach() ** 2) @ axes
    assert torch.allclose(samples.T @ samples / len(samples), expected, atol=0.06 * float(expected.diagonal().max()))
    assert samples.mean(dim=0).abs().max() < 0.05 * one.activated_scales.max()


def test_rotation_by_hand() -> None:
    quarter_about_z = torch.tensor([[2.0, 0.0, 0.0, 2.0]])  # not of unit length
    assert torch.allclose(rotate(quarter_about_z, torch.tensor([[1.0, 2.0, 3.0]])), torch.tensor([[-2.0, 1.0, 3.0]]))


@pytest.mark.parametrize("clone_below", [1e-6, 10.0])
def test_the_limit_takes_the_strongest(clone_below: float) -> None:
    gaussians, before = random_gaussians(5), random_gaussians(5)
    cloned, split = grow(gaussians, [0.6, 0.9, 0.4, 0.8, 0.7], clone_below, max_gaussians=7)
    assert len(gaussians) == 7 and cloned + split == 2
    assert torch.equal(gaussians.quats[-2:], before.quats[[1, 3]])


@pytest.mark.parametrize("limit", [3, 5])
def test_a_limit_that_is_reached_stops_growth(limit: int) -> None:
    gaussians = random_gaussians(5)
    assert grow(gaussians, [1.0] * 5, clone_below=10.0, max_gaussians=limit) == (0, 0)
    assert len(gaussians) == 5


def test_opacity_reset() -> None:
    gaussians = random_gaussians(50)
    optimizer = Optimizer(gaussians, RATES)
    gaussians.parameters["opacities"].detach()[0] = -8.0
    gaussians.means.grad, gaussians.opacities.grad = torch.ones(50, 3), torch.ones(50, 1)
    optimizer.step(torch.ones(50, dtype=torch.bool))
    low = gaussians.activated_opacities[0].item()
    reset_opacities(gaussians, optimizer)
    assert gaussians.activated_opacities.max().item() == pytest.approx(0.01, rel=1e-5)
    assert gaussians.activated_opacities[0].item() == low < 0.01
    assert not optimizer.moments["opacities"].first.any() and optimizer.moments["means"].first.any()
    assert gaussians.opacities.requires_grad
