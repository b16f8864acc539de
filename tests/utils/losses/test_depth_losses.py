"""Depth losses against slow formulas, their gradients, what each promises, and what is refused."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from tests.helpers.depth_samples import SIZE, Sample, same, value_and_gradient
from tests.helpers.slow_depth_losses import slow_loss
from utils.errors import UserError
from utils.losses.depth import NAMES, MipOptions, edge_weight
from utils.losses.depth.g2 import g2_terms
from utils.losses.depth.masked import Pixels, depth_images, select_pixels

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_losses_are_their_formulas(name: str, weighted: bool) -> None:
    for seed in (0, 1):
        sample = Sample((18, 21), seed)
        sample.target[:3, :2] *= 0.03  # near enough for inv_weighted_l1's floor
        weight = sample.valid * (sample.weight if weighted else 1.0)
        arrays = [each.detach().numpy() for each in (sample.depth, sample.inv_depth, sample.target, weight.double())]
        expected = slow_loss(name, *arrays)
        # mip_l1's ε stands beside deviations of some 1e-2 of the depth
        tolerance = 1e-5 if name == "mip_l1" else 1e-11
        assert abs(expected) > 1e-2
        assert sample.loss(name, weight=sample.weight if weighted else None).item() == pytest.approx(
            expected, rel=tolerance
        )


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_gradients(name: str, weighted: bool) -> None:
    sample = Sample((9, 10))
    weight = sample.weight if weighted else None
    value, gradient = value_and_gradient(sample, name, weight=weight)
    assert abs(value) > 1e-2 and gradient[sample.valid].abs().median() > 1e-4
    key = "inv_depth" if name == "inv_l1" else "depth"
    assert gradcheck(
        lambda x: sample.loss(name, weight=weight, **{key: x}), sample.rendered(name), eps=1e-6, atol=1e-8, rtol=1e-6
    )


@pytest.mark.parametrize("name", NAMES)
def test_following_the_gradient_lowers_the_loss(name: str) -> None:
    sample = Sample()
    value, gradient = value_and_gradient(sample, name)
    closer = sample.rendered(name).detach() - 1e-4 * gradient / gradient.norm()
    assert value_and_gradient(sample, name, closer)[0] < value


@pytest.mark.parametrize("name", NAMES)
def test_single_precision(name: str) -> None:
    exact, gradient = value_and_gradient(Sample(), name)
    value, rounded = value_and_gradient(Sample(dtype=torch.float32), name)
    assert value.dtype == rounded.dtype == torch.float32
    assert value.item() == pytest.approx(exact.item(), rel=1e-4)
    assert (rounded - gradient).norm() < 1e-3 * gradient.norm()


@pytest.mark.parametrize("name", NAMES)
def test_shapes_agree(name: str) -> None:
    sample = Sample()
    flat = value_and_gradient(sample, name, weight=sample.weight)
    deep = {key: getattr(sample, key)[None] for key in ("target", "valid", "weight")}
    value, gradient = value_and_gradient(sample, name, sample.rendered(name)[None], **deep)
    assert value.shape == () and gradient.shape == (1, *SIZE)
    assert same(flat, (value, gradient[0]))


@pytest.mark.parametrize("name", NAMES)
def test_any_number_of_threads_gives_the_same_bits(name: str) -> None:
    sample = Sample((181, 203), dtype=torch.float32)  # over 32768 pixels: less is never shared among threads
    results = []
    for count in (1, 2):
        torch.set_num_threads(count)
        results.append(value_and_gradient(sample, name, weight=edge_weight(sample.target, sample.valid, 2.0)))
    assert results[0][1].abs().max() > 0
    assert same(*results)


# ---- what the losses promise -----------------------------------------------------------------------------------------


def pixels_of(depth: Tensor, target: Tensor, valid: Tensor) -> Pixels:
    return select_pixels(depth_images(depth, depth, target, valid, None, alpha=None, unit=1.0, depth_max=math.inf))


def test_silog_of_a_common_factor() -> None:
    sample = Sample()
    for factor in (0.5, 1.0, 3.0):
        value = sample.loss("silog", depth=factor * sample.target)
        assert value.item() == pytest.approx(math.sqrt(0.15) * abs(math.log(factor)), abs=1e-12)
    # units: the same factor on both maps changes nothing
    scaled = sample.loss("silog", depth=1000 * sample.depth, target=1000 * sample.target)
    assert scaled.item() == pytest.approx(sample.loss("silog").item(), rel=1e-12)


def test_ssi_sees_no_scale_and_shift_of_the_rendering() -> None:
    sample = Sample()
    value, gradient = value_and_gradient(sample, "ssi")
    moved = sample.loss("ssi", depth=7.5 * sample.depth - 3.0)
    assert value > 0.05 and moved.item() == pytest.approx(value.item(), rel=1e-12)
    assert sample.loss("ssi", depth=0.2 * sample.target + 4.0).item() == pytest.approx(0, abs=1e-12)
    for direction in (torch.ones(SIZE, dtype=torch.float64), sample.depth.detach()):
        assert abs((gradient * direction).sum()) < 1e-12 < 1e-2 < gradient.norm()


def test_relative_terms_of_g2_see_no_scale_and_shift() -> None:
    sample = Sample((24, 32))

    def terms(depth: Tensor) -> list[float]:
        return [each.item() for each in g2_terms(pixels_of(depth, sample.target, sample.valid))]

    before, moved = terms(sample.depth), terms(7.5 * sample.depth + 3.0)
    assert min(before) > 0.05 and moved[0] > before[0] + 1
    assert moved[1:] == pytest.approx(before[1:], rel=1e-5)  # not exact: 1e-6 stands beside the mean deviation
    assert terms(2 * sample.target + 1)[1:] == pytest.approx([0, 0], abs=1e-5)


def test_g2_counts_no_gradient_across_an_invalid_pixel() -> None:
    """Two plateaus, rendered at other heights, with a column of holes between them."""
    target = torch.ones(16, 17, dtype=torch.float64)
    target[:, 9:] = 2.0
    depth = 3 - target
    valid = torch.ones(16, 17, dtype=torch.bool)
    with_edge = g2_terms(pixels_of(depth, target, valid))
    valid[:, 8] = False
    without = g2_terms(pixels_of(depth, target, valid))
    assert without[1] > 1 and with_edge[1] > 1
    fine_scale = (16 * 2 * 2 * 8 - 2 * 2 * 2 * 2) / valid.sum().item() / 4  # all that the edge has at full size
    assert with_edge[2] - without[2] > 0.5 * fine_scale


@pytest.mark.parametrize("name", NAMES)
def test_weights(name: str) -> None:
    sample = Sample()
    plain = value_and_gradient(sample, name)
    constant = value_and_gradient(sample, name, weight=torch.full(SIZE, 0.25, dtype=torch.float64))
    assert torch.allclose(constant[0], plain[0], rtol=1e-12)
    assert torch.allclose(constant[1], plain[1], rtol=1e-9, atol=1e-15)
    chosen = sample.valid & (sample.weight > 0.5)
    assert same(
        value_and_gradient(sample, name, weight=(sample.weight > 0.5).double()),
        value_and_gradient(sample, name, valid=chosen),
    )
    soft = value_and_gradient(sample, name, valid=torch.where(sample.valid, sample.weight, math.nan))
    assert same(soft, value_and_gradient(sample, name, weight=sample.weight))
    assert abs(soft[0] - plain[0]) > 1e-6
    junk = torch.where(sample.valid, sample.weight, math.nan)
    assert same(value_and_gradient(sample, name, weight=junk), soft)


# ---- what is refused -------------------------------------------------------------------------------------------------


def test_unknown_names_and_options() -> None:
    sample = Sample()
    with pytest.raises(UserError, match="'l2' is not a depth loss; those are g2, grad, inv_l1, .* ssi"):
        sample.loss("l2")
    with pytest.raises(UserError, match="depth loss l1 takes no options, not MipOptions"):
        sample.loss("l1", options=MipOptions())
    with pytest.raises(UserError, match="depth loss mip_l1 takes MipOptions, not dict"):
        sample.loss("mip_l1", options={"mip_window": 3})


def test_wrong_inputs() -> None:
    sample = Sample()
    with pytest.raises(UserError, match="intrinsics"):
        sample.loss("mip_l1", intrinsics=None)
    with pytest.raises(UserError, match="4 pixels; an odd"):
        sample.loss("mip_l1", options=MipOptions(mip_window=4))
    for key in ("depth", "valid", "weight"):
        with pytest.raises(UserError, match=r"\(12, 14\)"):
            sample.loss("l1", **{key: torch.ones(12, 14)})
    with pytest.raises(UserError, match=r"target .* \(3, 12, 15\)"):
        sample.loss("l1", target=torch.ones(3, *SIZE))
