"""The noise of the strategy mcmc: of whom it is, how large, and on what it hangs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from arguments import parse_train_options
from gaussian_renderer import RenderSettings
from scene import load_scene
from training.corrections import Corrections
from training.draw import draw_of
from training.startup import first_state
from training.state import TrainingState
from training.strategies import strategy_options
from training.strategies.mcmc import PAPER_EXTENT


def state_of(dataset: Path) -> TrainingState:
    words = ["-s", str(dataset), "-m", "unused", "--strategy", "mcmc", "--iterations", "40"]
    options = parse_train_options(words, strategies=strategy_options())
    return first_state(options, load_scene(dataset, quiet=True), torch.device("cpu"))


def shaken(state: TrainingState, opacities: Tensor) -> Tensor:
    """(N,3): how far Gaussians of these opacities move in a step without events."""
    gaussians = state.gaussians
    gaussians.opacities.detach()[:, 0] = torch.logit(opacities)
    before = gaussians.means.detach().clone()
    draw = draw_of(gaussians, Corrections(), torch.zeros(3), RenderSettings(near=0.05, sh_degree=0))
    assert state.strategy.after_step(1, draw) == {}
    return gaussians.means.detach() - before


def test_noise_is_that_of_equation_8_and_of_the_faint(dataset: Path) -> None:
    """By its mean square over many steps: Σ of a round Gaussian is σ²."""
    state = state_of(dataset)
    gaussians, extent = state.gaussians, state.strategy.inputs.scene.extent
    gaussians.scales.detach()[:] = torch.log(torch.tensor(0.05 * extent))
    opacities = torch.full((len(gaussians),), 0.9)
    opacities[::2] = 0.005
    moved = torch.stack([shaken(state, opacities) for _ in range(100)])
    assert not moved[:, 1::2].any()
    rate = state.optimizer.rates["means"] / extent
    expected = 0.05**2 * 0.5 * 5e5 * rate * PAPER_EXTENT**2 * extent
    assert moved[:, ::2].square().mean().sqrt().item() == pytest.approx(expected, rel=0.03)
    assert moved[:, ::2].mean().abs() < 0.05 * expected


def test_whether_one_is_shaken_changes_nothing_for_the_others(dataset: Path) -> None:
    """It hangs on the rounding of an opacity; the noise of the others, and the photos to come, must not."""
    faint, bright, one = state_of(dataset), state_of(dataset), 5
    opacities = torch.full((len(faint.gaussians),), 0.02)
    moved = shaken(faint, opacities)
    opacities[one] = 0.9
    others = shaken(bright, opacities)
    assert moved.abs().min(dim=1).values[one] > 0 and not others[one].any()
    others[one] = moved[one]
    assert torch.equal(moved, others)
    assert torch.equal(faint.generator.get_state(), bright.generator.get_state())
