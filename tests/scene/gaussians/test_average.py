"""The mean of a cloud over the last steps of a run: what it is, and that it stays with its rows."""

from __future__ import annotations

import torch
from torch import Tensor

from scene.gaussians.average import Average
from scene.gaussians.model import PARAMETERS, Gaussians
from scene.gaussians.optimizer import Optimizer, edit_rows
from tests.helpers.clouds import random_gaussians

RATES = dict.fromkeys(PARAMETERS, 0.05)


def walk(gaussians: Gaussians, optimizer: Optimizer, steps: int) -> list[dict[str, Tensor]]:
    """Steps in random directions, each taken into the average; the Gaussians after each, in float64."""
    generator, seen = torch.Generator().manual_seed(3), []
    for _ in range(steps):
        for parameter in gaussians.parameters.values():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step(torch.ones(len(gaussians), dtype=torch.bool))
        optimizer.follow()
        seen.append({name: value.detach().double() for name, value in gaussians.parameters.items()})
    return seen


def mean(seen: list[dict[str, Tensor]], name: str) -> Tensor:
    return torch.stack([each[name] for each in seen]).mean(dim=0)


def test_the_average_takes_the_gaussians_place() -> None:
    gaussians = random_gaussians(30)
    optimizer = Optimizer(gaussians, RATES)
    seen = walk(gaussians, optimizer, 40)
    optimizer.settle()
    assert optimizer.average is None
    for name in PARAMETERS:
        expected, last = mean(seen, name), seen[-1][name]
        assert (expected - last).abs().max() > 0.1
        assert torch.allclose(gaussians.parameters[name].double(), expected, rtol=0, atol=2e-6)
    optimizer.settle()  # without an average nothing changes
    assert torch.allclose(gaussians.means.double(), mean(seen, "means"), rtol=0, atol=2e-6)


def test_rows_take_their_average_along() -> None:
    gaussians = random_gaussians(9)
    optimizer = Optimizer(gaussians, RATES)
    seen = walk(gaussians, optimizer, 5)
    keep, added = torch.arange(9) % 3 != 1, random_gaussians(2, seed=5)
    edit_rows(gaussians, optimizer, None, keep, {name: added.parameters[name].detach() for name in PARAMETERS})
    optimizer.settle()
    for name in PARAMETERS:
        found = gaussians.parameters[name].double()
        assert len(found) == 8 and torch.allclose(found[:6], mean(seen, name)[keep], rtol=0, atol=1e-6)
        assert torch.equal(found[6:], added.parameters[name].double())


def test_what_was_changed_by_other_means_is_averaged_anew() -> None:
    gaussians = random_gaussians(9)
    optimizer = Optimizer(gaussians, RATES)
    seen = walk(gaussians, optimizer, 5)
    rows = torch.tensor([2, 7])
    with torch.no_grad():
        gaussians.means[rows] += 4.0
        optimizer.forget_rows(rows)
        gaussians.opacities.fill_(-3.0)
        optimizer.forget("opacities")
    moved = gaussians.means.detach()[rows].double()
    optimizer.settle()
    others = torch.ones(9, dtype=torch.bool)
    others[rows] = False
    assert torch.equal(gaussians.means.double()[rows], moved)
    assert torch.allclose(gaussians.means.double()[others], mean(seen, "means")[others], rtol=0, atol=1e-6)
    assert (gaussians.opacities == -3.0).all()
    assert torch.allclose(gaussians.quats.double()[others], mean(seen, "quats")[others], rtol=0, atol=1e-6)


def test_an_average_goes_on_from_its_state() -> None:
    gaussians = random_gaussians(6)
    optimizer = Optimizer(gaussians, RATES)
    walk(gaussians, optimizer, 3)
    assert optimizer.average is not None
    again = Average(**optimizer.average.state())
    walk(gaussians, optimizer, 1)
    again.add(gaussians.parameters)
    assert again.count == optimizer.average.count == 4
    for name in PARAMETERS:
        assert torch.equal(again.values[name], optimizer.average.values[name])
        assert not torch.equal(again.values[name], gaussians.parameters[name])
