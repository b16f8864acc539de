"""The mean distortion and the mean difference of inverse depths against plain torch, and their gradients."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, library
from torch.autograd import gradcheck

from diff_gaussian_rasterization import inv_depth_l1, mean_distortion
from tests.helpers.operators import check_threads

SIZES = [(1, 1), (3, 5), (1, 37), (13, 17), (90, 181)]  # ragged in every vector width; the last has several chunks
UNIT, DEPTH_MAX = 1.7, 2.5
SCALES = [0.0, 0.02, 0.5]


class Images:
    """Depths about a map, some pixels without a Gaussian, without a reading, with one too far, and with no weight."""

    def __init__(self, size: tuple[int, int], dtype: torch.dtype = torch.float64, seed: int = 0) -> None:
        self.rng = torch.Generator().manual_seed(seed)
        self.size = (1, *size)
        depth = self.random(1.0, 4.0)
        self.alpha = torch.where(self.random() < 0.8, self.random(0.05, 1.0), 0.0)
        self.inv_depth = (self.alpha / depth).to(dtype)
        self.target = torch.where(self.random() < 0.9, depth * self.random(0.7, 1.4), 0.0).to(dtype)
        self.distortion = (self.alpha * self.random(0.0, 1.0) ** 4).to(dtype)
        self.valid = self.random() < 0.9
        self.weight = torch.where(self.random() < 0.9, self.random(0.1, 1.0), 0.0).to(dtype)
        self.alpha = self.alpha.to(dtype)

    def random(self, low: float = 0.0, high: float = 1.0) -> Tensor:
        return low + (high - low) * torch.rand(self.size, generator=self.rng, dtype=torch.float64)


def plain_inv_depth_l1(
    inv_depth: Tensor, alpha: Tensor, target: Tensor, valid: Tensor | None, weight: Tensor | None
) -> Tensor:
    """By torch's own operators, on the pixels that count alone."""
    near = target / UNIT
    counted = (alpha > 0) & (near > 0) & (near < DEPTH_MAX)
    counted = counted if valid is None else counted & valid
    counted = counted if weight is None else counted & (weight > 0)
    weights = torch.ones_like(target)[counted] if weight is None else weight[counted]
    error = (inv_depth[counted] / alpha[counted] * UNIT - near[counted].reciprocal()).abs()
    return (error * weights).sum() / weights.sum() if counted.any() else 0 * (inv_depth + alpha).sum()


def plain_mean_distortion(distortion: Tensor, alpha: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    counted = alpha > 0 if mask is None else (alpha > 0) & (mask > 0)
    weights = torch.ones_like(alpha)[counted] if mask is None else mask[counted]
    values = distortion[counted] / UNIT**2
    if scale > 0:
        values = scale**2 * torch.log1p(values / scale**2)
    return (values * weights).sum() / weights.sum() if counted.any() else 0 * distortion.sum()


def inverse_and_gradients(images: Images, valid: Tensor | None, weight: Tensor | None, plain: bool) -> list[Tensor]:
    leaves = [images.inv_depth.clone().requires_grad_(), images.alpha.clone().requires_grad_()]
    inputs = (*leaves, images.target, valid, weight)
    value = plain_inv_depth_l1(*inputs) if plain else inv_depth_l1(*inputs, unit=UNIT, depth_max=DEPTH_MAX)
    return [value.detach(), *torch.autograd.grad(value, leaves)]


def distortion_and_gradient(images: Images, mask: Tensor | None, scale: float, plain: bool) -> list[Tensor]:
    leaf = images.distortion.clone().requires_grad_()
    inputs = (leaf, images.alpha, mask)
    value = plain_mean_distortion(*inputs, scale) if plain else mean_distortion(*inputs, unit=UNIT, scale=scale)
    return [value.detach(), *torch.autograd.grad(value, leaf)]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_inverse_depth_is_the_formula(size: tuple[int, int], weighted: bool) -> None:
    images = Images(size)

    def found_of(images: Images, plain: bool) -> list[Tensor]:
        valid, weight = (images.valid, images.weight) if weighted else (None, None)
        return inverse_and_gradients(images, valid, weight, plain=plain)

    expected = found_of(images, plain=True)
    assert size == (1, 1) or (expected[0] > 0.05 and all(each.any() for each in expected[1:]))
    for one, other in zip(found_of(images, plain=False), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)
    for one, other in zip(found_of(Images(size, torch.float32), plain=False), expected, strict=True):
        assert (one.double() - other).abs().max() <= 1e-5 * other.abs().max()


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_the_distortion_is_the_formula(size: tuple[int, int], masked: bool, scale: float) -> None:
    images = Images(size)
    expected = distortion_and_gradient(images, images.weight if masked else None, scale, plain=True)
    assert size == (1, 1) or (expected[0] > 1e-4 and expected[1].any())
    found = distortion_and_gradient(images, images.weight if masked else None, scale, plain=False)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)
    single = Images(size, torch.float32)
    found = distortion_and_gradient(single, single.weight if masked else None, scale, plain=False)
    for one, other in zip(found, expected, strict=True):
        assert (one.double() - other).abs().max() <= 1e-5 * other.abs().max()


@pytest.mark.parametrize("weighted", [False, True])
def test_gradients(weighted: bool) -> None:
    images = Images((5, 7))
    valid, weight = (images.valid, images.weight) if weighted else (None, None)
    value, v_inv_depth, v_alpha = inverse_and_gradients(images, valid, weight, plain=False)
    assert value > 0.05 and (v_inv_depth != 0).sum() > 8 and (v_alpha != 0).sum() > 8
    seen = images.alpha > 0  # elsewhere a difference would make a pixel be seen
    leaves = images.inv_depth.clone().requires_grad_(), images.alpha[seen].clone().requires_grad_()

    def term(inv_depth: Tensor, alphas: Tensor) -> Tensor:
        alpha = images.alpha.clone().masked_scatter(seen, alphas)
        return inv_depth_l1(inv_depth, alpha, images.target, valid, weight, unit=UNIT, depth_max=DEPTH_MAX)

    assert gradcheck(term, leaves, eps=1e-7, atol=1e-8, rtol=1e-6)


@pytest.mark.parametrize("scale", SCALES)
def test_gradient_of_the_distortion(scale: float) -> None:
    images = Images((5, 7))
    value, gradient = distortion_and_gradient(images, images.weight, scale, plain=False)
    assert value > 1e-4 and (gradient != 0).sum() > 8
    leaf = images.distortion.clone().requires_grad_()
    assert gradcheck(
        lambda d: mean_distortion(d, images.alpha, images.weight, unit=UNIT, scale=scale),
        (leaf,), eps=1e-7, atol=1e-8, rtol=1e-6,
    )  # fmt: skip


def test_the_logarithm_has_all_digits_where_the_distortion_is_small() -> None:
    """ln of the rounded sum 1 + D/s² would have none left at the lower end."""
    exact = torch.logspace(-12, 6, 4001, dtype=torch.float64)
    for each in exact.float().split(500):
        for part in each.split(1):
            found = mean_distortion(part[None, None], torch.ones(1, 1, 1), scale=0.5)
            assert found.item() == pytest.approx(0.25 * math.log1p(part.double().item() / 0.25), rel=1e-6)


@pytest.mark.parametrize("junk", [math.nan, math.inf, -math.inf, 0.0, -1000.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_does_not_count_has_no_part(dtype: torch.dtype, junk: float) -> None:
    images = Images((13, 17), dtype)
    outside = ~(images.valid & (images.weight > 0) & (images.alpha > 0))
    clean = inverse_and_gradients(images, images.valid, images.weight, plain=False)
    clean += distortion_and_gradient(images, images.weight * images.valid, 0.1, plain=False)
    weight, target = images.weight.clone(), images.target.clone()
    images.weight = torch.where(images.valid, weight, math.nan)
    for name in ("inv_depth", "distortion"):
        setattr(images, name, torch.where(outside, junk, getattr(images, name)))
    images.target = torch.where(outside | (target == 0), junk, target)
    found = inverse_and_gradients(images, images.valid, images.weight, plain=False)
    found += distortion_and_gradient(images, weight * images.valid, 0.1, plain=False)
    for one, other in zip(found, clean, strict=True):
        assert torch.equal(one, other) and other.any()
        assert other.dim() == 0 or not other[outside].any()


@pytest.mark.parametrize("name", ["inv_depth", "distortion"])
def test_what_is_not_a_number_is_not_hidden(name: str) -> None:
    images = Images((13, 17))
    counted = (images.alpha > 0) & (images.target > 0) & (images.target / UNIT < DEPTH_MAX)
    spoilt = getattr(images, name).clone()
    spoilt[tuple(counted.nonzero()[5])] = math.nan
    setattr(images, name, spoilt)
    inverse = inv_depth_l1(images.inv_depth, images.alpha, images.target, unit=UNIT, depth_max=DEPTH_MAX)
    distortion = mean_distortion(images.distortion, images.alpha, scale=0.1)
    assert (inverse if name == "inv_depth" else distortion).isnan()
    assert not (distortion if name == "inv_depth" else inverse).isnan()


def test_without_any_weight_a_mean_is_zero() -> None:
    images = Images((13, 17))
    images.weight = torch.zeros_like(images.weight)
    found = inverse_and_gradients(images, None, images.weight, plain=False)
    found += distortion_and_gradient(images, images.weight, 0.1, plain=False)
    images.alpha = torch.zeros_like(images.alpha)
    found += inverse_and_gradients(images, None, None, plain=False)
    found += distortion_and_gradient(images, None, 0.0, plain=False)
    assert not any(each.any() for each in found)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_same_bits_for_any_number_of_threads(dtype: torch.dtype) -> None:
    images = Images((300, 400), dtype)

    def results() -> list[Tensor]:
        found = inverse_and_gradients(images, images.valid, images.weight, plain=False)
        return [*found, *distortion_and_gradient(images, None, 0.1, plain=False)]

    check_threads(results)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.slow
def test_opcheck(dtype: torch.dtype, weighted: bool) -> None:
    ops, images = torch.ops.diff_gaussian_rasterization, Images((5, 7), dtype)
    valid, weight = (images.valid, images.weight) if weighted else (None, None)
    leaves = images.inv_depth.clone().requires_grad_(), images.alpha.clone().requires_grad_()
    settings = (images.target, valid, weight, UNIT, DEPTH_MAX)
    library.opcheck(ops.inv_depth_l1.default, (*leaves, *settings))
    value, share = ops.inv_depth_l1(images.inv_depth, images.alpha, *settings)
    library.opcheck(ops.inv_depth_l1_backward.default, (images.inv_depth, images.alpha, *settings, share, value))
    distortion = images.distortion.clone().requires_grad_()
    others = (images.alpha, weight, UNIT, 0.1)
    library.opcheck(ops.mean_distortion.default, (distortion, *others))
    value, share = ops.mean_distortion(images.distortion, *others)
    library.opcheck(ops.mean_distortion_backward.default, (images.distortion, *others, share, value))


def test_a_second_derivative_is_an_error() -> None:
    images = Images((5, 7))
    leaf = images.distortion.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(mean_distortion(leaf, images.alpha, scale=0.1), leaf, create_graph=True)
    with pytest.raises(RuntimeError, match="mean_distortion is differentiable once"):
        gradient.sum().backward()
    leaf = images.inv_depth.clone().requires_grad_()
    value = inv_depth_l1(leaf, images.alpha.requires_grad_(), images.target)
    (gradient,) = torch.autograd.grad(value, leaf, create_graph=True)
    with pytest.raises(RuntimeError, match="inv_depth_l1 is differentiable once"):
        gradient.sum().backward()


GOOD = torch.ones(1, 4, 5)
WRONG = [
    ("alpha", GOOD[0], ValueError, r"alpha has shape \(4, 5\); it must be \(1, H, W\)"),
    ("alpha", GOOD.int(), TypeError, r"alpha has dtype torch.int32"),
    ("inv_depth", None, TypeError, r"inv_depth is a NoneType; it must be a tensor of shape \(1, 4, 5\)"),
    ("target", GOOD[:, :3], ValueError, r"target has shape \(1, 3, 5\); it must be \(1, 4, 5\)"),
    ("target", GOOD.double(), TypeError, r"target has dtype torch.float64; it must be torch.float32, as alpha has"),
    ("valid", GOOD, ValueError, r"valid is torch.float32 \(1, 4, 5\); it must be torch.bool \(1, 4, 5\)"),
    ("valid", True, ValueError, r"valid is a bool; it must be torch.bool \(1, 4, 5\)"),
    ("weight", GOOD.to("meta"), ValueError, r"weight is on device meta; it must be on cpu, as alpha is"),
    ("unit", 0.0, ValueError, "unit is 0; it must be a finite number above 0"),
    ("depth_max", math.nan, ValueError, "depth_max is nan; it must be a finite number of at least 0"),
    ("distortion", GOOD[:, :, :1], ValueError, r"distortion has shape \(1, 4, 1\); it must be \(1, 4, 5\)"),
    ("mask", GOOD > 0, TypeError, "mask has dtype torch.bool; it must be torch.float32 or torch.float64"),
    ("scale", -1.0, ValueError, "scale is -1; it must be a finite number of at least 0"),
]


@pytest.mark.parametrize("name, value, kind, message", WRONG)
def test_bad_input(name: str, value: object, kind: type[Exception], message: str) -> None:
    of_distortion = name in ("distortion", "mask", "scale")
    images = ("distortion", "alpha") if of_distortion else ("inv_depth", "alpha", "target")
    arguments = dict.fromkeys(images, GOOD) | {name: value}
    with pytest.raises(kind, match=message):
        (mean_distortion if of_distortion else inv_depth_l1)(**arguments)
