"""Losses against plain formulas, their gradients, and that what is masked out has no part."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve1d
from torch import Tensor
from torch.autograd import gradcheck

from utils.losses.photometric import backward_weighted_sum, masked_mean, photometric, ssim, weighted_sum


def images(height: int, width: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Two smooth-ish images that are alike but not the same, float64."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(3, height, width, dtype=torch.float64, generator=generator)
    noise = torch.rand(3, height, width, dtype=torch.float64, generator=generator)
    return image.requires_grad_(), (0.7 * image.detach() + 0.3 * noise)


def half_mask(height: int, width: int) -> Tensor:
    mask = torch.zeros(1, height, width, dtype=torch.float64)
    mask[:, : height // 2, 1:] = 1
    return mask


def slow_ssim(image: np.ndarray, target: np.ndarray) -> float:
    """Wang et al. 2004, eq. 13, by scipy."""
    weights = np.exp(-(np.arange(-5.0, 6.0) ** 2) / (2 * 1.5**2))
    weights /= weights.sum()

    def window(values: np.ndarray) -> np.ndarray:
        for axis in (1, 2):
            values = convolve1d(values, weights, axis=axis, mode="constant")
        return values

    mean_x, mean_y = window(image), window(target)
    variance_x, variance_y = window(image**2) - mean_x**2, window(target**2) - mean_y**2
    covariance = window(image * target) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    numerator = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return float((numerator / ((mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2))).mean())


@pytest.mark.parametrize("size", [(13, 17), (40, 30), (3, 4), (1, 1)])
def test_ssim_is_the_formula(size: tuple[int, int]) -> None:
    image, target = images(*size)
    expected = slow_ssim(image.detach().numpy(), target.numpy())
    assert ssim(image, target).item() == pytest.approx(expected, abs=1e-12)
    assert ssim(image.float(), target.float()).item() == pytest.approx(expected, abs=1e-4)
    assert expected < 0.999


def test_equal_images() -> None:
    image, _ = images(20, 20)
    assert ssim(image, image.detach()).item() == pytest.approx(1.0, abs=1e-12)
    assert photometric(image, image.detach())["l1"].item() == 0


def test_l1_is_the_mean_absolute_difference() -> None:
    image, target = images(8, 9)
    assert photometric(image, target)["l1"].item() == pytest.approx((image - target).abs().mean().item())
    mask = half_mask(8, 9)
    inside = mask.bool().expand(3, -1, -1)
    expected = (image - target)[inside].abs().mean().item()
    assert photometric(image, target, mask)["l1"].item() == pytest.approx(expected)


def test_soft_masks_weigh() -> None:
    values = torch.tensor([[[1.0, 3.0]]])
    assert masked_mean(values, torch.tensor([[[1.0, 0.5]]])).item() == pytest.approx((1 + 1.5) / 1.5)


@pytest.mark.parametrize("name", ["l1", "dssim"])
@pytest.mark.parametrize("masked", [False, True])
def test_gradients(name: str, masked: bool) -> None:
    image, target = images(14, 13)
    mask = half_mask(14, 13) if masked else None
    value = photometric(image, target, mask)[name]
    (gradient,) = torch.autograd.grad(value, image)
    assert value.item() > 1e-2 and gradient.abs().max() > 1e-4
    assert gradcheck(lambda x: photometric(x, target, mask)[name], (image,), eps=1e-6, atol=1e-8, rtol=1e-6)


@pytest.mark.parametrize("junk", [float("nan"), float("inf"), -1000.0, 0.5])
def test_what_is_masked_out_has_no_part(junk: float) -> None:
    image, target = images(14, 13)
    mask = half_mask(14, 13)
    outside = (mask == 0).expand(3, -1, -1)
    spoilt_image = torch.where(outside, junk, image.detach()).requires_grad_()
    clean = photometric(image, target, mask)
    spoilt = photometric(spoilt_image, torch.where(outside, junk, target), mask)
    for name in clean:
        (gradient,) = torch.autograd.grad(spoilt[name], spoilt_image, retain_graph=True)
        assert spoilt[name].item() == clean[name].item() and clean[name].item() > 0
        assert gradient[outside].abs().max() == 0 and gradient[~outside].abs().max() > 0


def test_a_full_mask_is_no_mask() -> None:
    image, target = images(14, 13)
    whole = torch.ones(1, 14, 13, dtype=torch.float64)
    for name, value in photometric(image, target).items():
        assert photometric(image, target, whole)[name].item() == pytest.approx(value.item(), rel=1e-12)


def test_an_empty_mask_is_zero_with_zero_gradient() -> None:
    image, target = images(14, 13)
    loss = weighted_sum(
        photometric(image, target, torch.zeros(1, 14, 13, dtype=torch.float64)), {"l1": 0.8, "dssim": 0.2}
    )
    (gradient,) = torch.autograd.grad(loss, image)
    assert loss.item() == 0 and gradient.abs().max() == 0


def test_weigh() -> None:
    terms = {"a": torch.tensor(2.0), "b": torch.tensor(3.0)}
    assert weighted_sum(terms, {"a": 0.5, "b": 2.0}).item() == 7.0
    with pytest.raises(KeyError):
        weighted_sum(terms, {"a": 1.0})


def test_a_better_image_has_a_lower_loss() -> None:
    image, target = images(30, 30)
    closer = 0.5 * (image.detach() + target)
    worse, better = photometric(image, target), photometric(closer, target)
    assert better["l1"] < worse["l1"] and better["dssim"] < worse["dssim"]


def test_backward_of_the_weighted_sum_gives_the_same_bits() -> None:
    generator = torch.Generator().manual_seed(0)
    weights = {"a": 0.8, "b": 0.1 / 3, "of a constant": 2.0}
    gradients = []
    for by_sum in (True, False):
        leaf = torch.rand(1000, generator=generator.manual_seed(1)).requires_grad_()
        squares = leaf.square()
        terms = {"a": squares.mean(), "b": (squares * leaf).sum(), "of a constant": torch.ones(())}
        if by_sum:
            weighted_sum(terms, weights).backward()
        else:
            backward_weighted_sum([(terms, weights)])
        gradients.append(leaf.grad)
    assert gradients[0] is not None and gradients[0].any() and torch.equal(*gradients)
