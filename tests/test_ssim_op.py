"""The fused structural similarity against scipy, its gradients, its determinism, and torch's rules for operators."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve1d
from torch import Tensor, library
from torch.autograd import gradcheck

from diff_gaussian_rasterization import instruction_set, ssim_map

# Smaller than the window, one pixel, ragged in every vector width, several tiles in both directions, whole tiles.
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


def value_and_gradients(image: Tensor, target: Tensor, cotangent: Tensor) -> list[Tensor]:
    leaves = [image.clone().requires_grad_(), target.clone().requires_grad_()]
    value = ssim_map(*leaves)
    return [value.detach(), *torch.autograd.grad(value, leaves, cotangent)]


@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_the_formula(shape: tuple[int, ...]) -> None:
    image, target = images(shape)
    expected = slow_ssim(image, target)
    assert np.abs(ssim_map(image, target).numpy() - expected).max() < 1e-12
    assert np.abs(ssim_map(image.float(), target.float()).numpy() - expected).max() < 1e-5
    assert expected.min() < 0.9999


@pytest.mark.parametrize("shape", [(2, 13, 17), (1, 1, 1), (1, 4, 3), (1, 35, 3), (1, 2, 133)])
def test_gradients(shape: tuple[int, ...]) -> None:
    image, target = images(shape)
    value, *gradients = value_and_gradients(image, target, torch.ones(shape, dtype=torch.float64))
    assert value.min() < 0.9999 and all(gradient.abs().max() > 1e-3 for gradient in gradients)
    assert gradcheck(ssim_map, (image.requires_grad_(), target.requires_grad_()), eps=1e-6, atol=1e-8, rtol=1e-6)


def test_float32_gradients_agree_with_float64() -> None:
    shape = (3, 70, 140)
    image, target = images(shape)
    cotangent = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = value_and_gradients(image, target, cotangent)[1:]
    found = value_and_gradients(image.float(), target.float(), cotangent.float())[1:]
    for exact, single in zip(expected, found, strict=True):
        assert (exact - single).abs().max() < 1e-4 * exact.abs().max()


def test_one_gradient_is_as_good_as_both() -> None:
    """What is kept for the backward pass depends on who needs a gradient; the gradients do not."""
    image, target = images((2, 40, 30))
    cotangent = torch.ones_like(image)
    value, v_image, v_target = value_and_gradients(image, target, cotangent)
    assert torch.equal(value, ssim_map(image, target))
    alone = image.clone().requires_grad_()
    assert torch.equal(torch.autograd.grad(ssim_map(alone, target), alone, cotangent)[0], v_image)
    alone = target.clone().requires_grad_()
    assert torch.equal(torch.autograd.grad(ssim_map(image, alone), alone, cotangent)[0], v_target)


def test_images_in_any_memory_layout() -> None:
    image, target = images((3, 20, 24))
    cotangent = torch.ones((), dtype=torch.float64).expand(3, 20, 24)
    plain = value_and_gradients(image, target, cotangent.contiguous())
    strided = value_and_gradients(image.permute(1, 2, 0).contiguous().permute(2, 0, 1), target, cotangent)
    assert all(torch.equal(a, b) for a, b in zip(plain, strided, strict=True))


def test_equal_images_are_1_and_at_the_maximum() -> None:
    image, _ = images((3, 40, 30))
    value, v_image, v_target = value_and_gradients(image, image, torch.ones_like(image))
    assert (value - 1).abs().max() < 1e-12
    assert v_image.abs().max() < 1e-9 and v_target.abs().max() < 1e-9


def test_bright_flat_images_stay_finite_in_float32() -> None:
    """Far outside [0,1] the variance is all rounding; it must not make a denominator 0 or turn it around."""
    flat = torch.full((1, 40, 40), 300.0)
    for found in value_and_gradients(flat, 1.001 * flat, torch.ones_like(flat)):
        assert torch.isfinite(found).all()


def test_no_pixels() -> None:
    assert ssim_map(torch.zeros(3, 0, 5), torch.zeros(3, 0, 5)).shape == (3, 0, 5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_same_bits_for_any_number_of_threads(dtype: torch.dtype) -> None:
    image, target = images((3, 100, 300), dtype)
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            found.append(value_and_gradients(image, target, torch.ones_like(image)))
    finally:
        torch.set_num_threads(before)
    assert found[0][1].abs().max() > 1e-3
    assert all(torch.equal(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True))


@pytest.mark.parametrize("name", ["v1", "v3"])
def test_every_instruction_set_gives_the_formula(name: str) -> None:
    """The one that this process runs with is what all other tests see."""
    if not instruction_set().startswith("v") or instruction_set() < name:
        pytest.skip(f"this processor cannot run {name}")
    tests = Path(__file__)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        str(tests),
        "-k",
        "formula and not every",
    ]
    environment = {**os.environ, "DGR_ISA": name}
    result = subprocess.run(command, cwd=tests.parents[1], env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0 and f"{len(SHAPES)} passed" in result.stdout, result.stdout


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("operator", ["ssim", "ssim_backward"])
def test_opcheck(operator: str, dtype: torch.dtype) -> None:
    ops = torch.ops.diff_gaussian_rasterization
    image, target = images((2, 13, 17), dtype)
    if operator == "ssim":
        for partial_count, (by_image, by_target) in {3: (True, False), 4: (True, True)}.items():
            leaves = (image.clone().requires_grad_(by_image), target.clone().requires_grad_(by_target))
            library.opcheck(ops.ssim.default, (*leaves, partial_count))
        return
    _, partials = ops.ssim(image, target, 4)
    for is_target in (False, True):
        arguments = (image, target, torch.ones_like(image), partials, is_target)
        library.opcheck(ops.ssim_backward.default, arguments)


GOOD = torch.zeros(3, 4, 5)
WRONG = [
    ("a photo", GOOD, TypeError, r"image is a str; it must be a tensor of shape \(C, H, W\)"),
    (GOOD.int(), GOOD, TypeError, r"image has dtype torch.int32; it must be torch.float32 or torch.float64"),
    (GOOD[0], GOOD, ValueError, r"image has shape \(4, 5\); it must be \(C, H, W\)"),
    (GOOD.to("meta"), GOOD, ValueError, r"image is on device meta; it must be on cpu"),
    (GOOD, None, TypeError, r"target is a NoneType; it must be a tensor of shape \(3, 4, 5\)"),
    (GOOD, GOOD.double(), TypeError, r"target has dtype torch.float64; it must be torch.float32, as image has"),
    (GOOD, GOOD[:, :3], ValueError, r"target has shape \(3, 3, 5\); it must be \(3, 4, 5\)"),
    (GOOD, GOOD.to("meta"), ValueError, r"target is on device meta; it must be on cpu, as image is"),
]


@pytest.mark.parametrize("image, target, kind, message", WRONG)
def test_bad_input(image: Tensor, target: Tensor, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        ssim_map(image, target)
