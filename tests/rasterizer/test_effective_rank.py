"""What needles cost against plain torch, and its gradient."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, library
from torch.autograd import gradcheck

from diff_gaussian_rasterization import effective_rank_cost
from tests.helpers.operators import check_threads

SIZES = [1, 3, 37, 9_001]  # ragged in every vector width; the last has several chunks


def cloud(size: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Balls, discs and needles of all lengths, in no order of their axes; a third of them not seen."""
    rng = torch.Generator().manual_seed(size)
    logs = 2 * torch.randn(size, 3, generator=rng, dtype=torch.float64) - 4
    return logs.to(dtype), torch.rand(size, generator=rng) < 0.67 if size > 1 else torch.ones(1, dtype=torch.bool)


def plain(log_scales: Tensor, visible: Tensor, min_rank: float) -> Tensor:
    """By torch's own operators, the shares as the paper has them, on what is visible alone."""
    variances = log_scales[visible].exp() ** 2
    shares = variances / variances.sum(dim=1, keepdim=True)
    rank = torch.exp(-(shares * shares.log()).sum(dim=1))
    return torch.relu(math.log(min_rank - 1 + 1e-5) - torch.log(rank - 1 + 1e-5)).sum() / max(int(visible.sum()), 1)


def cost_and_gradient(
    log_scales: Tensor, visible: Tensor, min_rank: float = 2.0, *, by_torch: bool = False
) -> list[Tensor]:
    leaf = log_scales.clone().requires_grad_()
    value = (plain if by_torch else effective_rank_cost)(leaf, visible, min_rank)
    return [value.detach(), *torch.autograd.grad(value, leaf)]


@pytest.mark.parametrize("min_rank", [1.18, 2.0])
@pytest.mark.parametrize("size", SIZES)
def test_it_is_the_formula(size: int, min_rank: float) -> None:
    expected = cost_and_gradient(*cloud(size), min_rank, by_torch=True)
    assert size < 37 or (expected[0] > 0.1 and (expected[1] != 0).sum() > size / 4)
    for one, other in zip(cost_and_gradient(*cloud(size), min_rank), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-13)
    for one, other in zip(cost_and_gradient(*cloud(size, torch.float32), min_rank), expected, strict=True):
        assert (one.double() - other).abs().max() <= 1e-5 * other.abs().max()


@pytest.mark.parametrize("min_rank", [1.18, 2.0])
def test_gradient(min_rank: float) -> None:
    logs, visible = cloud(37)
    value, gradient = cost_and_gradient(logs, visible, min_rank)
    assert value > 0.1 and (gradient != 0).sum() >= 12
    leaf = logs.requires_grad_()
    assert gradcheck(lambda each: effective_rank_cost(each, visible, min_rank), (leaf,), eps=1e-7, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_needle_has_all_digits_of_the_formula(dtype: torch.dtype) -> None:
    """As ln of a share that is nearly 1, or as a rank less 1, it would have none left."""
    for thin in torch.linspace(-14, -0.5, 109, dtype=torch.float64).tolist():
        logs = torch.tensor([[thin, 0.0, thin - 0.25]], dtype=dtype)
        value, gradient = cost_and_gradient(logs, torch.ones(1, dtype=torch.bool))
        below = [2 * -each for each in logs[0].double().tolist()]
        others = math.exp(-below[0]) + math.exp(-below[2])
        mean = (math.exp(-below[0]) * below[0] + math.exp(-below[2]) * below[2]) / (1 + others)
        rank_minus_1 = others + (1 + others) * math.expm1(mean)
        digits = 1e-12 if dtype == torch.float64 else 3e-6
        assert value.item() == pytest.approx(
            max(-math.log((rank_minus_1 + 1e-5) / (1 + 1e-5)), 0), rel=digits, abs=digits
        )
        if value > 0:
            by_longest = -(1 + rank_minus_1) / (rank_minus_1 + 1e-5) * 2 / (1 + others) * -mean
            assert gradient[0, 1].item() == pytest.approx(by_longest, rel=digits) and by_longest > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_discs_and_balls_cost_nothing(dtype: torch.dtype) -> None:
    logs = torch.tensor([[0.0, 0.0, 0.0], [-3.0, -3.0, -3.0], [1.0, 1.0, -9.0], [-6.0, 2.0, 2.0]], dtype=dtype)
    value, gradient = cost_and_gradient(logs, torch.ones(4, dtype=torch.bool))
    assert value < 1e-4 and gradient.abs().max() < 1e-3  # a disc's rank falls short of 2 by rounding
    needle = torch.tensor([[0.0, -7.0, -7.0]], dtype=dtype)
    assert cost_and_gradient(needle, torch.ones(1, dtype=torch.bool))[0] > 8


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_has_the_least_rank_costs_nothing(dtype: torch.dtype) -> None:
    """1.18 is that of a flat Gaussian five times as long as wide."""
    for ratio, costs in ((4.9, False), (5.1, True), (50.0, True)):
        logs = torch.tensor([[0.0, -math.log(ratio), -20.0]], dtype=dtype)
        value, gradient = cost_and_gradient(logs, torch.ones(1, dtype=torch.bool), 1.18)
        assert bool(value > 0) is costs and bool(gradient.any()) is costs, ratio


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("junk", [math.nan, math.inf, -math.inf])
def test_what_is_not_visible_has_no_part(dtype: torch.dtype, junk: float) -> None:
    logs, visible = cloud(37, dtype)
    clean = cost_and_gradient(logs, visible)
    found = cost_and_gradient(torch.where(visible[:, None], logs, junk), visible)
    for one, other in zip(found, clean, strict=True):
        assert torch.equal(one, other) and other.any()
    assert not found[1][~visible].any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_what_is_not_a_number_is_not_hidden(dtype: torch.dtype, axis: int) -> None:
    logs, visible = cloud(37, dtype)
    logs[visible.nonzero()[3, 0], axis] = math.nan
    assert cost_and_gradient(logs, visible)[0].isnan()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_axis_of_no_length_has_no_part_in_the_entropy(dtype: torch.dtype) -> None:
    flat = torch.tensor([[0.3, 0.0, -math.inf]], dtype=dtype)
    thin = torch.tensor([[0.3, 0.0, -60.0]], dtype=dtype)
    one, other = (cost_and_gradient(each, torch.ones(1, dtype=torch.bool)) for each in (flat, thin))
    assert one[0] > 0.01 and one[1].isfinite().all() and one[1][0, 2].abs() < 1e-30
    for found, expected in zip(one, other, strict=True):
        torch.testing.assert_close(found, expected)


def test_without_anybody_the_mean_is_zero() -> None:
    logs, visible = cloud(37)
    assert not any(each.any() for each in cost_and_gradient(logs, torch.zeros_like(visible)))
    assert not any(each.any() for each in cost_and_gradient(logs[:0], visible[:0]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_same_bits_for_any_number_of_threads(dtype: torch.dtype) -> None:
    check_threads(lambda: cost_and_gradient(*cloud(40_000, dtype)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.slow
def test_opcheck(dtype: torch.dtype) -> None:
    ops, (logs, visible) = torch.ops.diff_gaussian_rasterization, cloud(37, dtype)
    library.opcheck(ops.effective_rank_cost.default, (logs.clone().requires_grad_(), visible, 1.18))
    value, share = ops.effective_rank_cost(logs, visible, 1.18)
    library.opcheck(ops.effective_rank_cost_backward.default, (logs, visible, 1.18, share, value))


def test_a_second_derivative_is_an_error() -> None:
    logs, visible = cloud(37)
    leaf = logs.requires_grad_()
    (gradient,) = torch.autograd.grad(effective_rank_cost(leaf, visible), leaf, create_graph=True)
    with pytest.raises(RuntimeError, match="effective_rank_cost is differentiable once"):
        gradient.sum().backward()


GOOD, SEEN = torch.zeros(4, 3), torch.ones(4, dtype=torch.bool)
WRONG = [
    ("log_scales", GOOD[:, :2], ValueError, r"log_scales has shape \(4, 2\); it must be \(N, 3\)"),
    ("log_scales", GOOD.int(), TypeError, "log_scales has dtype torch.int32"),
    ("log_scales", None, TypeError, r"log_scales is a NoneType; it must be a tensor of shape \(N, 3\)"),
    ("visible", SEEN[:3], ValueError, r"visible is torch.bool \(3,\); it must be torch.bool \(4,\)"),
    ("visible", SEEN.float(), ValueError, r"visible is torch.float32 \(4,\); it must be torch.bool \(4,\)"),
    ("min_rank", 1.0, ValueError, "min_rank is 1; it must be a finite number above 1"),
    ("min_rank", math.nan, ValueError, "min_rank is nan; it must be a finite number above 1"),
    ("visible", SEEN.to("meta"), ValueError, "visible is on device meta; it must be on cpu, as log_scales is"),
]


@pytest.mark.parametrize("name, value, kind, message", WRONG)
def test_bad_input(name: str, value: object, kind: type[Exception], message: str) -> None:
    arguments = {"log_scales": GOOD, "visible": SEEN} | {name: value}
    with pytest.raises(kind, match=message):
        effective_rank_cost(**arguments)
