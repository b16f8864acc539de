"""Depth losses where readings are missing, few or flat: invalid pixels have no part in anything."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tests.helpers.depth_samples import SIZE, Sample, same, value_and_gradient
from utils.losses.depth import NAMES

pytestmark = pytest.mark.usefixtures("one_thread")

OFFSET_BY_DESIGN = {"mip_laplace"}  # a perfect rendering does not have loss 0: ln b is left


@pytest.mark.parametrize("junk", [math.nan, math.inf, 0.0, -1000.0, 65535.0])
@pytest.mark.parametrize("name", NAMES)
def test_invalid_targets_have_no_part(name: str, junk: float) -> None:
    """Found by their values, without a mask as well."""
    sample = Sample()
    clean = value_and_gradient(sample, name)
    spoilt = torch.where(sample.valid, sample.target, junk)
    for valid in (None, sample.valid, sample.valid.double()):
        found = value_and_gradient(sample, name, target=spoilt, valid=valid, depth_max=60.0)
        assert same(found, clean)
    assert clean[1][~sample.valid].abs().max() == 0 and clean[1][sample.valid].abs().max() > 0


@pytest.mark.parametrize("junk", [math.nan, math.inf, -math.inf, 0.0, -1000.0, 1e30])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_rendered_in_invalid_pixels_has_no_part(name: str, junk: float) -> None:
    sample = Sample()
    spoilt = torch.where(sample.valid, sample.rendered(name).detach(), junk)
    assert same(value_and_gradient(sample, name, spoilt), value_and_gradient(sample, name))


@pytest.mark.parametrize("junk", [math.nan, 0.0, -1000.0, 65535.0])
@pytest.mark.parametrize("name", NAMES)
def test_without_valid_pixels_a_loss_is_zero_with_zero_gradient(name: str, junk: float) -> None:
    sample = Sample()
    for rendered in (sample.rendered(name).detach(), torch.full(SIZE, junk, dtype=torch.float64)):
        target = torch.full(SIZE, junk, dtype=torch.float64)
        value, gradient = value_and_gradient(sample, name, rendered, target=target, depth_max=60.0)
        assert value == 0 and gradient.abs().max() == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_nan_in_a_valid_pixel_is_not_hidden(name: str) -> None:
    sample = Sample()
    spoilt = sample.rendered(name).detach().clone()
    spoilt[tuple(np.argwhere(sample.valid.numpy())[5])] = math.nan
    assert value_and_gradient(sample, name, spoilt)[0].isnan()


@pytest.mark.parametrize("name", NAMES)
def test_few_valid_pixels(name: str) -> None:
    sample = Sample()
    for count in (1, 2, 3):
        valid = torch.zeros(SIZE, dtype=torch.bool)
        valid[4, 3 : 3 + count] = True
        value, gradient = value_and_gradient(sample, name, valid=valid)
        assert value.isfinite() and gradient.isfinite().all() and gradient[~valid].abs().max() == 0
        if name not in ("ssi", "grad"):  # two pixels are fitted without error, and have no Sobel gradient
            assert abs(value) > 1e-3 and gradient[valid].abs().max() > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_small_images(name: str) -> None:
    for size in ((1, 1), (1, 9), (3, 2)):
        value, gradient = value_and_gradient(Sample(size), name, valid=None)
        assert value.isfinite() and gradient.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_a_perfect_rendering(name: str) -> None:
    sample = Sample()
    perfect = sample.target.reciprocal() if name == "inv_l1" else sample.target
    value, gradient = value_and_gradient(sample, name, perfect)
    assert gradient.isfinite().all()
    assert name in OFFSET_BY_DESIGN or value == pytest.approx(0, abs=1e-12)
    assert value < value_and_gradient(sample, name)[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", NAMES)
def test_flat_maps(name: str, dtype: torch.dtype) -> None:
    """A rendering, or a target, of one depth everywhere: 0.1 has a mean that is not quite 0.1."""
    sample = Sample(dtype=dtype)
    flat = torch.full(SIZE, 0.1, dtype=dtype)
    for rendered, target in ((flat, sample.target), (sample.rendered(name).detach(), flat), (flat, flat)):
        value, gradient = value_and_gradient(sample, name, rendered, target=target)
        assert value.isfinite() and gradient.isfinite().all()


def test_ssi_of_a_flat_rendering_is_the_deviation_of_the_target() -> None:
    for dtype in (torch.float32, torch.float64):
        sample = Sample(dtype=dtype)
        value, gradient = value_and_gradient(sample, "ssi", torch.full(SIZE, 0.1, dtype=dtype))
        target = sample.target[sample.valid]
        assert value.item() == pytest.approx((target - target.mean()).abs().mean().item(), rel=1e-5)
        assert value > 0.1 and gradient.abs().max() == 0
