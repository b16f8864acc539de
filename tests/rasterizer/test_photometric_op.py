"""The fused L1 and SSIM against scipy, their gradients, their determinism, and torch's rules for operators."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve1d
from torch import Tensor, library
from torch.autograd import gradcheck

from diff_gaussian_rasterization import photometric
from tests.helpers.operators import check_threads

# Smaller than the window, one pixel, ragged in every vector width, several tiles in both directions, whole tiles.
MASKS = ["no mask", "soft", "hard"]
SHAPES = [(2, 13, 17), (1, 1, 1), (3, 4, 3), (1, 1, 40), (3, 37, 150), (2, 64, 256), (1, 65, 129)]


def images(shape: tuple[int, ...], dtype: torch.dtype = torch.float64, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Two images in [0,1] that are alike but not the same, with a dark corner and a bright one."""
    rng = torch.Generator().manual_seed(seed)
    image = torch.rand(shape, generator=rng, dtype=torch.float64)
    target = 0.7 * image + 0.3 * torch.rand(shape, generator=rng, dtype=torch.float64)
    target[:, : shape[1] // 4, : shape[2] // 4] *= 0.05
    image[:, -(shape[1] // 4) :, -(shape[2] // 4) :] *= 0.9
    return image.to(dtype), target.to(dtype)


def window_means(images: np.ndarray) -> np.ndarray:
    weights = np.exp(-(np.arange(-5.0, 6.0) ** 2) / (2 * 1.5**2))
    for axis in (1, 2):
        images = convolve1d(images, weights / weights.sum(), axis=axis, mode="constant")
    return images


def slow_ssim(image: Tensor, target: Tensor) -> np.ndarray:
    """Wang et al. 2004, eq. 13, by scipy in float64."""
    x, y = image.double().numpy(), target.double().numpy()
    mean_x, mean_y = window_means(x), window_means(y)
    variances = window_means(x**2) - mean_x**2 + window_means(y**2) - mean_y**2
    covariance = window_means(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + 0.01**2) / (mean_x**2 + mean_y**2 + 0.01**2)
    return luminance * (2 * covariance + 0.03**2) / (variances + 0.03**2)


def slow_terms(image: Tensor, target: Tensor, mask: Tensor | None) -> tuple[float, float]:
    weights = torch.ones(1, *image.shape[1:], dtype=torch.float64) if mask is None else mask
    image, target = (torch.where(weights > 0, each, 0.0) for each in (image, target))
    differences = (image - target).abs(), 1 - torch.from_numpy(slow_ssim(image, target))
    l1, dssim = (float((weights * each).sum() / (weights.sum() * len(image))) for each in differences)
    return l1, dssim


def some_mask(kind: str, shape: tuple[int, ...]) -> Tensor | None:
    """Weights: none, all over 0, or 0 at some pixels and at the first row but for its end."""
    if kind == "no mask":
        return None
    mask = 0.1 + 0.9 * torch.rand(1, *shape[1:], generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    if kind == "hard":
        mask[mask < 0.4] = 0
        mask[:, 0] = 0
        mask[:, 0, -1] = 1
    return mask


def values_and_gradients(
    image: Tensor, target: Tensor, mask: Tensor | None = None, weights: tuple[float, float] = (0.8, 0.2)
) -> list[Tensor]:
    """Both terms, and the gradients of their weighted sum by both images."""
    leaves = [image.clone().requires_grad_(), target.clone().requires_grad_()]
    l1, dssim = photometric(*leaves, mask)
    gradients = torch.autograd.grad(weights[0] * l1 + weights[1] * dssim, leaves)
    return [l1.detach(), dssim.detach(), *gradients]


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_the_formula(shape: tuple[int, ...], kind: str) -> None:
    image, target = images(shape)
    mask = some_mask(kind, shape)
    expected = slow_terms(image, target, mask)
    assert min(expected) > 1e-4
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        given = [None if each is None else each.to(dtype) for each in (image, target, mask)]
        found = photometric(*given)
        assert [float(each) for each in found] == pytest.approx(expected, abs=tolerance)
        assert all(each.shape == () and each.dtype == dtype for each in found)


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("shape", [(2, 13, 17), (1, 1, 1), (1, 4, 3), (1, 35, 3), (1, 2, 133)])
def test_gradients(shape: tuple[int, ...], kind: str) -> None:
    image, target = images(shape)
    mask = some_mask(kind, shape)
    for weights in ((1.0, 0.0), (0.0, 1.0)):
        *_, v_image, v_target = values_and_gradients(image, target, mask, weights)
        assert v_image.abs().max() > 1e-4 and v_target.abs().max() > 1e-4
    leaves = (image.requires_grad_(), target.requires_grad_())
    assert gradcheck(lambda *both: photometric(*both, mask), leaves, eps=1e-6, atol=1e-8, rtol=1e-6)


def test_float32_gradients_agree_with_float64() -> None:
    image, target = images((3, 70, 140))
    expected = values_and_gradients(image, target, weights=(0.0, 1.0))[2:]
    found = values_and_gradients(image.float(), target.float(), weights=(0.0, 1.0))[2:]
    for exact, single in zip(expected, found, strict=True):
        assert (exact - single).abs().max() < 1e-4 * exact.abs().max()


@pytest.mark.parametrize("kind", MASKS)
def test_l1_has_torchs_gradient(kind: str) -> None:
    """Equal pixels have none."""
    image, target = images((2, 40, 130))
    target[:, 5:20] = image[:, 5:20]
    mask = some_mask(kind, image.shape)
    weights = torch.ones(1, 40, 130, dtype=torch.float64) if mask is None else mask
    leaf = image.clone().requires_grad_()
    plain = (weights * (leaf - target).abs()).sum() / (2 * weights.sum())
    (expected,) = torch.autograd.grad(plain, leaf)
    *_, found, by_target = values_and_gradients(image, target, mask, (1.0, 0.0))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    assert torch.equal(by_target, -found) and not found[:, 5:20].any() and found.any()


def test_one_gradient_is_as_good_as_both() -> None:
    """What is kept for the backward pass depends on who needs a gradient; the gradients do not."""
    image, target = images((2, 40, 30))
    l1, dssim, v_image, v_target = values_and_gradients(image, target)
    assert torch.equal(torch.stack(photometric(image, target)), torch.stack([l1, dssim]))
    for position, expected in enumerate((v_image, v_target)):
        both = [image.clone(), target.clone()]
        both[position].requires_grad_()
        terms = photometric(*both)
        assert torch.equal(torch.autograd.grad(0.8 * terms[0] + 0.2 * terms[1], both[position])[0], expected)


def test_a_term_by_itself_has_its_own_gradient() -> None:
    image, target = images((2, 40, 30))
    image.requires_grad_()
    for position, weights in enumerate(((1.0, 0.0), (0.0, 1.0))):
        (alone,) = torch.autograd.grad(photometric(image, target)[position], image)
        assert torch.equal(alone, values_and_gradients(image.detach(), target, weights=weights)[2])


def test_images_in_any_memory_layout() -> None:
    image, target = images((3, 20, 24))
    mask = some_mask("hard", image.shape)
    assert mask is not None
    plain = values_and_gradients(image, target, mask)
    strided = values_and_gradients(
        image.permute(1, 2, 0).contiguous().permute(2, 0, 1), target, mask.mT.contiguous().mT
    )
    assert all(torch.equal(a, b) for a, b in zip(plain, strided, strict=True))


def test_equal_images_do_not_differ() -> None:
    image, _ = images((3, 40, 30))
    l1, dssim, v_image, v_target = values_and_gradients(image, image)
    assert l1 == 0 and abs(dssim) < 1e-12
    assert v_image.abs().max() < 1e-12 and v_target.abs().max() < 1e-12


def test_bright_flat_images_stay_finite_in_float32() -> None:
    """Far outside [0,1] the variance is all rounding; it must not make a denominator 0 or turn it around."""
    flat = torch.full((1, 40, 40), 300.0)
    for found in values_and_gradients(flat, 1.001 * flat):
        assert torch.isfinite(found).all()


@pytest.mark.parametrize("junk", [float("nan"), float("inf"), -1000.0, 0.5])
def test_what_is_masked_out_has_no_part(junk: float) -> None:
    image, target = images((2, 40, 130))
    mask = some_mask("hard", image.shape)
    assert mask is not None
    outside = (mask == 0).expand_as(image)
    spoilt = [torch.where(outside, junk, each) for each in (image, target)]
    clean = values_and_gradients(image, target, mask)
    for found, expected in zip(values_and_gradients(spoilt[0], spoilt[1], mask), clean, strict=True):
        assert torch.equal(found, expected)
    assert not clean[2][outside].any() and clean[2][~outside].any()


@pytest.mark.parametrize("shape", [(3, 0, 5), (2, 13, 17)])
def test_without_any_weight_there_is_no_difference(shape: tuple[int, ...]) -> None:
    image, target = images(shape)
    for found in values_and_gradients(image, target, torch.zeros(1, *shape[1:], dtype=torch.float64)):
        assert not found.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_same_bits_for_any_number_of_threads(dtype: torch.dtype) -> None:
    image, target = images((3, 100, 300), dtype)
    check_threads(lambda: values_and_gradients(image, target))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["no mask", "hard"])
@pytest.mark.slow
def test_opcheck(kind: str, dtype: torch.dtype) -> None:
    ops = torch.ops.diff_gaussian_rasterization
    image, target = images((2, 13, 17), dtype)
    mask = some_mask(kind, image.shape)
    mask = mask if mask is None else mask.to(dtype)
    for partial_count, (by_image, by_target) in {3: (True, False), 4: (True, True)}.items():
        leaves = (image.clone().requires_grad_(by_image), target.clone().requires_grad_(by_target))
        library.opcheck(ops.photometric.default, (*leaves, mask, partial_count))
    l1, dssim, *kept = ops.photometric(image, target, mask, 4)
    for is_target in (False, True):
        library.opcheck(ops.photometric_backward.default, (image, target, mask, *kept, is_target, l1, dssim))


GOOD = torch.zeros(3, 4, 5)
MASK = torch.ones(1, 4, 5)
WRONG = [
    ("a photo", GOOD, None, TypeError, r"image is a str; it must be a tensor of shape \(C, H, W\)"),
    (GOOD.int(), GOOD, None, TypeError, r"image has dtype torch.int32; it must be torch.float32 or torch.float64"),
    (GOOD[0], GOOD, None, ValueError, r"image has shape \(4, 5\); it must be \(C, H, W\)"),
    (GOOD.to("meta"), GOOD, None, ValueError, r"image is on device meta; it must be on cpu"),
    (GOOD, None, None, TypeError, r"target is a NoneType; it must be a tensor of shape \(3, 4, 5\)"),
    (GOOD, GOOD.double(), None, TypeError, r"target has dtype torch.float64; it must be torch.float32, as image has"),
    (GOOD, GOOD[:, :3], None, ValueError, r"target has shape \(3, 3, 5\); it must be \(3, 4, 5\)"),
    (GOOD, GOOD.to("meta"), None, ValueError, r"target is on device meta; it must be on cpu, as image is"),
    (GOOD, GOOD, MASK.bool(), TypeError, r"mask has dtype torch.bool; it must be torch.float32 or torch.float64"),
    (GOOD, GOOD, MASK.double(), TypeError, r"mask has dtype torch.float64; it must be torch.float32, as image has"),
    (GOOD, GOOD, GOOD, ValueError, r"mask has shape \(3, 4, 5\); it must be \(1, 4, 5\)"),
    (GOOD, GOOD, MASK.to("meta"), ValueError, r"mask is on device meta; it must be on cpu, as image is"),
]


@pytest.mark.parametrize("image, target, mask, kind, message", WRONG)
def test_bad_input(image: Tensor, target: Tensor, mask: Tensor | None, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        photometric(image, target, mask)
