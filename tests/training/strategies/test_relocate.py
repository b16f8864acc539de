"""Relocation: copies that look like the one, in float64 against blending; and moments of whoever was touched."""

from __future__ import annotations

import math

import pytest
import torch

from scene.gaussians.model import PARAMETERS, Gaussians
from scene.gaussians.optimizer import Optimizer
from tests.helpers.clouds import random_gaussians
from training.strategies.mcmc import NoRows
from training.strategies.relocate import MOST_COPIES, add_copies, relocate, shared_among

RATES = dict.fromkeys(PARAMETERS, 1e-3)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(5)


def trained(count: int) -> tuple[Gaussians, Optimizer]:
    """Gaussians with moments everywhere."""
    gaussians = random_gaussians(count)
    optimizer = Optimizer(gaussians, RATES)
    for parameter in gaussians.parameters.values():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step(torch.ones(count, dtype=torch.bool))
    return gaussians, optimizer


@pytest.mark.parametrize("copies", [1, 2, 3, 10, MOST_COPIES])
@pytest.mark.parametrize("opacity", [0.01, 0.3, 0.9, 0.999])
def test_copies_blend_to_the_peak_and_the_integral_of_the_one(copies: int, opacity: float) -> None:
    one = torch.tensor([opacity], dtype=torch.float64)
    shared = shared_among(one, torch.tensor([copies]))
    x = torch.linspace(-12, 12, 40_001, dtype=torch.float64)
    profile = shared.opacities * torch.exp(-0.5 * (x / shared.scale_factors) ** 2)
    blended = 1 - (1 - profile) ** copies  # front to back, all in one place
    assert blended.max().item() == pytest.approx(opacity, rel=1e-12)
    integral = torch.trapezoid(blended, x).item()
    assert integral == pytest.approx(opacity * math.sqrt(2 * math.pi), rel=1e-9)
    if copies > 1:
        assert shared.opacities.item() < opacity and shared.scale_factors.item() < 1


def test_the_sum_is_that_of_the_papers_equation_9() -> None:
    for copies, opacity in ((2, 0.5), (5, 0.7), (20, 0.95)):
        shared = shared_among(torch.tensor([opacity], dtype=torch.float64), torch.tensor([copies]))
        each = 1 - (1 - opacity) ** (1 / copies)
        double_sum = sum(
            math.comb(i - 1, k) * (-1) ** k / math.sqrt(k + 1) * each ** (k + 1)
            for i in range(1, copies + 1)
            for k in range(i)
        )
        assert shared.scale_factors.item() == pytest.approx(opacity / double_sum, rel=1e-10)


def test_the_dead_go_where_others_are() -> None:
    gaussians, optimizer = trained(30)
    dead = torch.arange(30) < 10
    gaussians.opacities.detach()[:10] = -9.0
    before = {name: values.detach().clone() for name, values in gaussians.parameters.items()}
    moments = {name: [each.clone() for each in optimizer.moments[name]] for name in PARAMETERS}
    assert relocate(gaussians, optimizer, NoRows(), dead, generator()) == 10
    assert len(gaussians) == 30
    moved, sources = (
        gaussians.means.detach()[20:],
        torch.cdist(gaussians.means.detach()[20:], before["means"]).argmin(1),
    )
    assert torch.equal(moved, before["means"][sources]) and not dead[sources].any()
    touched = torch.zeros(30, dtype=torch.bool)
    touched[sources] = True
    for row in range(10, 30):
        now = row - 10
        alike = all(torch.equal(gaussians.parameters[name][now], before[name][row]) for name in PARAMETERS)
        assert alike != bool(touched[row])
        kept = all(
            torch.equal(new[now], old[row])
            for name in PARAMETERS
            for new, old in zip(optimizer.moments[name], moments[name], strict=True)
        )
        assert kept != bool(touched[row])
    assert not any(each[20:].any() for pair in optimizer.moments.values() for each in pair)
    assert (gaussians.activated_opacities[20:] > 0.005).all()


def test_copies_share_opacity_and_scale_with_their_source() -> None:
    gaussians, optimizer = trained(6)
    gaussians.opacities.detach()[:] = -12.0
    gaussians.opacities.detach()[2] = 1.0
    opacity = gaussians.activated_opacities.detach()[2]
    assert add_copies(gaussians, optimizer, NoRows(), 3, generator()) == 3
    rows = [2, 6, 7, 8]
    together = 1 - (1 - gaussians.activated_opacities.detach()[rows]).prod()
    assert together.item() == pytest.approx(opacity.item(), rel=1e-5)
    assert torch.equal(gaussians.scales[rows], gaussians.scales[[2]].expand(4, 3))


def test_nowhere_to_go() -> None:
    gaussians, optimizer = trained(3)
    assert relocate(gaussians, optimizer, NoRows(), torch.ones(3, dtype=torch.bool), generator()) == 0
    assert len(gaussians) == 3
