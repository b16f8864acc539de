"""An image in its photo's exposure against plain torch, and its gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, library
from torch.autograd import gradcheck

from diff_gaussian_rasterization import expose
from tests.helpers.operators import check_threads

SIZES = [(1, 1), (3, 5), (13, 17), (90, 181)]  # ragged in every vector width; the last has several chunks


def inputs(size: tuple[int, int], dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """A color, an exposure that mixes channels, and a cotangent."""
    rng = torch.Generator().manual_seed(0)
    color, v = (torch.randn((3, *size), generator=rng, dtype=torch.float64) for _ in range(2))
    exposure = torch.eye(3, 4, dtype=torch.float64) + 0.3 * torch.randn((3, 4), generator=rng, dtype=torch.float64)
    return color.to(dtype), exposure.to(dtype), v.to(dtype)


def plain(color: Tensor, exposure: Tensor) -> Tensor:
    return torch.einsum("ij,ihw->jhw", exposure[:, :3], color) + exposure[:, 3, None, None]


def shown_and_gradients(color: Tensor, exposure: Tensor, v: Tensor, by_torch: bool = False) -> list[Tensor]:
    leaves = [color.clone().requires_grad_(), exposure.clone().requires_grad_()]
    shown = (plain if by_torch else expose)(*leaves)
    return [shown.detach(), *torch.autograd.grad(shown, leaves, v)]


@pytest.mark.parametrize("size", SIZES)
def test_it_is_the_formula(size: tuple[int, int]) -> None:
    expected = shown_and_gradients(*inputs(size), by_torch=True)
    assert all(each.abs().min() > 0 for each in expected)
    for dtype, tolerance in ((torch.float64, 1e-13), (torch.float32, 2e-6)):
        for found, exact in zip(shown_and_gradients(*inputs(size, dtype)), expected, strict=True):
            assert found.dtype == dtype and (found.double() - exact).abs().max() <= tolerance * exact.abs().max()


def test_gradients() -> None:
    color, exposure, _ = inputs((3, 5))
    assert gradcheck(expose, (color.requires_grad_(), exposure.requires_grad_()), eps=1e-6, atol=1e-8, rtol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_identity_changes_no_bit(dtype: torch.dtype) -> None:
    color, _, _ = inputs((13, 17), dtype)
    assert torch.equal(expose(color, torch.eye(3, 4, dtype=dtype)), color)


def test_same_bits_for_any_number_of_threads() -> None:
    check_threads(lambda: shown_and_gradients(*inputs((300, 400), torch.float32)))


@pytest.mark.slow
def test_opcheck() -> None:
    color, exposure, v = inputs((3, 5))
    ops = torch.ops.diff_gaussian_rasterization
    library.opcheck(ops.expose_backward.default, (color, exposure, v))
    library.opcheck(ops.expose.default, (color.requires_grad_(), exposure.requires_grad_()))


GOOD, EXPOSURE = torch.zeros(3, 4, 5), torch.eye(3, 4)
WRONG = [
    (GOOD[:2], EXPOSURE, ValueError, r"color has shape \(2, 4, 5\); it must be \(3, H, W\)"),
    (GOOD, EXPOSURE[:, :3], ValueError, r"exposure has shape \(3, 3\); it must be \(3, 4\)"),
    (GOOD, EXPOSURE.double(), TypeError, "exposure has dtype torch.float64; it must be torch.float32, as color has"),
    (GOOD, EXPOSURE.to("meta"), ValueError, "exposure is on device meta; it must be on cpu, as color is"),
]


@pytest.mark.parametrize("color, exposure, kind, message", WRONG)
def test_bad_input(color: Tensor, exposure: Tensor, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        expose(color, exposure)
