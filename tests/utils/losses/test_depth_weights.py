"""How much a target's pixel is trusted: the variance of its geometry, and the weight of edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.helpers.depth_samples import K, Sample, same, value_and_gradient
from tests.helpers.slow_depth_losses import slow_variance
from utils.losses.depth import NAMES, MipOptions, edge_weight, loss_mask, mip_variance

pytestmark = pytest.mark.usefixtures("one_thread")


def mip(**options: float) -> MipOptions:
    return MipOptions(**{f"mip_{name}": value for name, value in options.items()})


@pytest.mark.parametrize("options", [{}, dict(window=3, lambda_prior=0.1), dict(window=7, alpha_clamp=0.02)])
def test_mip_variance_is_the_formula(options: dict[str, float]) -> None:
    sample = Sample((14, 19), 3)
    expected = slow_variance(sample.target.numpy(), sample.valid.numpy(), **options)
    found = mip_variance(sample.target, sample.valid, K, mip(**options))
    assert expected.max() > 2 * np.median(expected[sample.valid.numpy()]) > 0
    assert torch.allclose(found, torch.from_numpy(expected), rtol=1e-12, atol=0)
    assert not found.requires_grad


def test_mip_variance_is_never_negative_and_knows_no_invalid_pixel() -> None:
    sample = Sample((40, 50))
    found = mip_variance(sample.target, sample.valid, K, mip())
    assert found.shape == (40, 50) and (found[sample.valid] > 0).all() and (found[~sample.valid] == 0).all()
    for junk in (math.nan, 0.0, -1000.0):
        spoilt = torch.where(sample.valid, sample.target, junk)
        assert torch.equal(mip_variance(spoilt[None], None, K, mip()), found)
    wild = torch.exp(3 * torch.randn(40, 50, generator=torch.Generator().manual_seed(0)))
    for clamp in (0.01, 0.3, 1.0, 5.0):
        assert (mip_variance(wild, None, K, mip(lambda_prior=0.0, alpha_clamp=clamp)) >= 0).all()
    assert (mip_variance(torch.full((6, 7), math.nan), None, K, mip()) == 0).all()


def test_mip_variance_is_larger_at_edges_and_far_away() -> None:
    intrinsics = (300.0, 300.0, 30.0, 20.0)

    def variance(target: Tensor, valid: Tensor | None = None) -> Tensor:
        return mip_variance(target, valid, intrinsics, mip())

    flat = torch.full((40, 60), 2.0, dtype=torch.float64)
    edge = flat.clone()
    edge[:, 30:] = 2.3
    smooth, stepped = variance(flat), variance(edge)
    assert (stepped[:, 28:32] > 100 * smooth[:, 28:32]).all()
    assert torch.allclose(stepped[:, :28], smooth[:, :28], rtol=1e-9)
    assert torch.allclose(variance(3 * flat), 9 * smooth, rtol=1e-12)
    assert (variance(flat + 0.5) > smooth).all()
    slope = flat + 0.02 * torch.arange(60.0, dtype=torch.float64)
    assert (variance(slope) > 2 * smooth).all()
    spots = flat.clone()
    spots[10, 10] = spots[11, 31] = 4.0  # bad readings: alone, they widen no range but their own
    away = torch.ones_like(flat, dtype=torch.bool)
    away[10, 10] = away[11, 31] = False
    assert torch.allclose(variance(spots)[away], smooth[away], rtol=0.1)


def test_mip_variance_can_be_made_beforehand() -> None:
    sample = Sample()
    for name in ("mip_l1", "mip_laplace"):
        options = mip(window=3, lambda_prior=0.4, alpha_clamp=0.2)
        made = mip_variance(sample.target, sample.valid, K, options)
        at_once = value_and_gradient(sample, name, options=options)
        assert same(value_and_gradient(sample, name, variance=made), at_once)
        junk = torch.where(sample.valid, made, math.nan)[None]
        assert same(value_and_gradient(sample, name, variance=junk), at_once)
        assert abs(sample.loss(name) - at_once[0]) > 1e-6


def test_mip_l1_trusts_edges_less_and_keeps_its_unit() -> None:
    sample = Sample((40, 50))
    _, gradient = value_and_gradient(sample, "mip_l1", intrinsics=(1e4, 1e4, 25.0, 20.0))
    edge = (torch.arange(50) / 49 - 0.6).abs() < 0.03
    smooth = (torch.arange(50) / 49 - 0.6).abs() > 0.1
    size = torch.where(sample.valid, gradient.abs(), math.nan)
    assert edge.sum() >= 2
    assert size[:, edge].nanmedian() < 0.2 * size[:, smooth].nanmedian()
    larger = sample.loss("mip_l1", depth=1000 * sample.depth, target=1000 * sample.target)
    assert larger.item() == pytest.approx(1000 * sample.loss("mip_l1").item(), rel=1e-9)
    laplace = sample.loss("mip_laplace", depth=1000 * sample.depth, target=1000 * sample.target)
    assert (laplace - sample.loss("mip_laplace")).item() == pytest.approx(math.log(1000), rel=1e-9)


def test_edge_weight() -> None:
    target = torch.full((9, 12), 2.0, dtype=torch.float64)
    target[:, 6:] = 3.0
    target[2, 1] = math.nan
    weight = edge_weight(target[None], None, 4.0)
    assert weight.shape == (9, 12) and weight[2, 1] == 0
    assert torch.allclose(weight[:, 5], torch.tensor(math.exp(-4 * 1 / 2), dtype=torch.float64))
    assert torch.allclose(weight[:, 6], torch.tensor(math.exp(-4 * 1 / 3), dtype=torch.float64))
    flat = torch.ones(9, 12, dtype=torch.bool)
    flat[:, 5:7] = flat[2, 1] = False
    assert (weight[flat] == 1).all()  # beside an invalid pixel, too
    assert torch.allclose(edge_weight(1000 * target, None, 4.0), weight, rtol=1e-12)
    assert torch.equal(edge_weight(target, None, 0.0), loss_mask(target, None).double())


@pytest.mark.parametrize("name", NAMES)
def test_edge_weight_with_every_loss(name: str) -> None:
    """Less of the gradient falls on the step of the target."""
    sample = Sample((24, 40))
    plain = value_and_gradient(sample, name)[1].abs()
    weighted = value_and_gradient(sample, name, weight=edge_weight(sample.target, sample.valid, 5.0))[1].abs()
    step = (torch.arange(40) / 39 - 0.6).abs() < 0.026
    assert step.sum() == 2 and plain[:, step].sum() > 0
    assert weighted[:, step].sum() / weighted.sum() < 0.7 * plain[:, step].sum() / plain.sum()


def test_loss_mask() -> None:
    target = torch.tensor([[1.0, 0.0, -1000.0, math.nan, math.inf, 65535.0, 5.0]])
    assert loss_mask(target, None).tolist() == [[True, False, False, False, False, True, True]]
    mask = torch.tensor([[1.0, 1, 1, 1, 1, 1, 0]])
    assert loss_mask(target[None], mask[None], 10.0).tolist() == [[True] + 6 * [False]]
