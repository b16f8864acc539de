"""Adam against torch's own, and rows that come and go with everything that belongs to them."""

from __future__ import annotations

import pytest
import torch

from scene.gaussians.model import PARAMETERS, Gaussians
from scene.gaussians.optimizer import Optimizer, edit_rows
from tests.helpers.clouds import random_gaussians
from training.strategies.densify import DensityStatistics

RATES = dict(means=1e-2, scales=5e-3, quats=1e-3, opacities=2e-2, shs_dc=3e-3, shs_rest=1e-4)


def put_gradients(gaussians: Gaussians, seed: int, names: tuple[str, ...] = PARAMETERS) -> None:
    generator = torch.Generator().manual_seed(seed)
    for name in names:
        parameter = gaussians.parameters[name]
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def everyone(gaussians: Gaussians) -> torch.Tensor:
    return torch.ones(len(gaussians), dtype=torch.bool)


def trained(count: int = 9, steps: int = 3) -> tuple[Gaussians, Optimizer, DensityStatistics]:
    """Gaussians with moments and statistics that are not zero."""
    gaussians = random_gaussians(count)
    optimizer, statistics = Optimizer(gaussians, RATES), DensityStatistics(count)
    for step in range(steps):
        put_gradients(gaussians, step)
        optimizer.step(everyone(gaussians))
        statistics.observe(torch.randn(count, 2), torch.arange(1, count + 1), 64, 48)
    return gaussians, optimizer, statistics


def test_steps_are_those_of_torch() -> None:
    gaussians, expected = random_gaussians(40), random_gaussians(40)
    optimizer = Optimizer(gaussians, RATES)
    reference = torch.optim.Adam(
        [dict(params=[expected.parameters[name]], lr=RATES[name]) for name in PARAMETERS], eps=1e-15, foreach=False
    )
    before = gaussians.to_arrays()
    for step in range(5):
        put_gradients(gaussians, step)
        put_gradients(expected, step)
        optimizer.step(everyone(gaussians))
        reference.step()
    assert optimizer.steps == 5
    for name in PARAMETERS:
        assert torch.allclose(gaussians.parameters[name], expected.parameters[name], atol=1e-6)
        assert gaussians.parameters[name].grad is None
    assert abs(gaussians.to_arrays().means - before.means).max() > 1e-2


@pytest.mark.parametrize("images", [2, 4])
def test_steps_of_several_photos_are_those_of_torch_with_scaled_rates_and_betas(images: int) -> None:
    """Grendel's rule (Zhao et al. 2024): rates times √B, betas to the power of B, epsilon over √B."""
    gaussians, expected = random_gaussians(40), random_gaussians(40)
    optimizer = Optimizer(gaussians, RATES)
    reference = torch.optim.Adam(
        [dict(params=[expected.parameters[name]], lr=RATES[name] * images**0.5) for name in PARAMETERS],
        betas=(0.9**images, 0.999**images), eps=1e-15 / images**0.5, foreach=False,
    )  # fmt: skip
    before = gaussians.to_arrays()
    for step in range(5):
        put_gradients(gaussians, step)
        put_gradients(expected, step)
        optimizer.step(everyone(gaussians), images=images)
        reference.step()
    assert optimizer.steps == 5 * images
    for name in PARAMETERS:
        assert torch.allclose(gaussians.parameters[name], expected.parameters[name], atol=1e-6)
    assert abs(gaussians.to_arrays().means - before.means).max() > 1e-2


def test_tiny_gradients_move_as_far_as_large_ones() -> None:
    gaussians = random_gaussians(3)
    optimizer, before = Optimizer(gaussians, RATES), gaussians.means.detach().clone()
    gaussians.means.grad = torch.full((3, 3), 1e-9)
    optimizer.step(everyone(gaussians))
    assert torch.allclose(before - gaussians.means, torch.tensor(RATES["means"]), rtol=1e-3)


def test_without_a_gradient_nothing_moves() -> None:
    gaussians, optimizer, _ = trained()
    rest, moments = gaussians.shs_rest.detach().clone(), optimizer.moments["shs_rest"].first.clone()
    means = gaussians.means.detach().clone()
    put_gradients(gaussians, 7, names=("means",))
    optimizer.step(everyone(gaussians))
    assert torch.equal(gaussians.shs_rest, rest) and torch.equal(optimizer.moments["shs_rest"].first, moments)
    assert not torch.equal(gaussians.means, means)


def test_visible_only_leaves_the_others_alone() -> None:
    gaussians, everywhere = random_gaussians(10), random_gaussians(10)
    sparse, dense = Optimizer(gaussians, RATES, visible_only=True), Optimizer(everywhere, RATES)
    visible = torch.arange(10) % 3 == 0
    for step in range(3):
        put_gradients(gaussians, step)
        put_gradients(everywhere, step)
        sparse.step(visible)
        dense.step(visible)
    start = random_gaussians(10)
    for name in PARAMETERS:
        assert torch.equal(gaussians.parameters[name][~visible], start.parameters[name][~visible])
        assert torch.allclose(gaussians.parameters[name][visible], everywhere.parameters[name][visible], atol=1e-6)
        assert not sparse.moments[name].second[~visible].any()
        assert not torch.equal(everywhere.parameters[name][~visible], start.parameters[name][~visible])


def test_rows_are_edited_everywhere_at_once() -> None:
    gaussians, optimizer, statistics = trained(9)
    keep = torch.tensor([True, False, True, True, False, True, True, True, False])
    before = {name: gaussians.parameters[name].detach().clone() for name in PARAMETERS}
    moments = {name: [each.clone() for each in optimizer.moments[name]] for name in PARAMETERS}
    rows = {name: values.clone() for name, values in statistics.rows.items()}
    added = {name: values.detach().clone() for name, values in random_gaussians(2, seed=5).parameters.items()}
    edit_rows(gaussians, optimizer, statistics, keep, added)
    assert len(gaussians) == 8
    for name in PARAMETERS:
        assert torch.equal(gaussians.parameters[name], torch.cat([before[name][keep], added[name]]))
        assert gaussians.parameters[name].requires_grad and gaussians.parameters[name].is_leaf
        for old, new in zip(moments[name], optimizer.moments[name], strict=True):
            assert old.any() and torch.equal(new[:6], old[keep]) and not new[6:].any() and len(new) == 8
    for name, values in statistics.rows.items():
        assert torch.equal(values[:6], rows[name][keep]) and not values[6:].any() and rows[name].any()


@pytest.mark.parametrize("keep_none", [False, True])
def test_rows_can_all_stay_or_all_go(keep_none: bool) -> None:
    gaussians, optimizer, statistics = trained(4)
    edit_rows(gaussians, optimizer, statistics, torch.full((4,), not keep_none))
    assert len(gaussians) == (0 if keep_none else 4)
    put_gradients(gaussians, 0)
    optimizer.step(everyone(gaussians))  # goes on with what is left
    assert optimizer.steps == 4


def test_forget_and_state() -> None:
    gaussians, optimizer, _ = trained()
    other = Optimizer(gaussians, dict.fromkeys(PARAMETERS, 0.0))
    other.load_state(optimizer.state())
    assert other.steps == 3 and other.rates == optimizer.rates
    assert torch.equal(other.moments["quats"].second, optimizer.moments["quats"].second)
    optimizer.forget("opacities")
    assert not optimizer.moments["opacities"].first.any() and not optimizer.moments["opacities"].second.any()
    assert optimizer.moments["means"].first.any()


@pytest.mark.parametrize("visible_only", [False, True])
def test_nothing_moves_by_what_is_not_finite(visible_only: bool) -> None:
    for finite in (True, False):
        gaussians = random_gaussians(6)
        optimizer = Optimizer(gaussians, dict.fromkeys(PARAMETERS, 0.1), visible_only)
        before = {name: values.detach().clone() for name, values in gaussians.parameters.items()}
        for values in gaussians.parameters.values():
            values.grad = torch.full_like(values, 1.0 if finite else torch.nan)
        optimizer.step(torch.arange(6) < 4, torch.tensor(finite))
        for name, values in gaussians.parameters.items():
            moved = (values.detach() != before[name]).flatten(1).any(dim=1)
            assert moved.tolist() == [finite and (row < 4 or not visible_only) for row in range(6)]
            assert all(moment.isfinite().all() for moment in optimizer.moments[name])
