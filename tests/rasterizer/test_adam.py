"""`adam_` against torch's Adam in float64, rows that are left alone, and what it does not accept."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, library

from diff_gaussian_rasterization import adam_, ops

SHAPES = ((3,), (4,), (1,), (15, 3))  # of a row; 45 numbers leave a rest for any vector width
RATES = [1e-2, 3e-3, 2e-2, 5e-4]


class State:
    """Parameters with their moments, and gradients that differ from step to step."""

    def __init__(self, rows: int, dtype: torch.dtype) -> None:
        self.generator = torch.Generator().manual_seed(3)
        self.values = [self.random(rows, shape, dtype) for shape in SHAPES]
        self.firsts = [torch.zeros_like(value) for value in self.values]
        self.seconds = [torch.zeros_like(value) for value in self.values]
        self.steps = 0

    def random(self, rows: int, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return torch.randn(rows, *shape, generator=self.generator, dtype=torch.float64).to(dtype)

    def step(self, visible: Tensor | None = None) -> list[Tensor]:
        gradients = [self.random(len(value), value.shape[1:], value.dtype) for value in self.values]
        self.steps += 1
        adam_(self.values, gradients, self.firsts, self.seconds, RATES, step=self.steps, visible=visible, epsilon=1e-15)
        return gradients


@pytest.mark.parametrize("rows", [0, 1, 37, 5000])
def test_float64_is_the_formula(rows: int) -> None:
    state = State(rows, torch.float64)
    expected = [value.clone().requires_grad_() for value in state.values]
    groups = [{"params": [value], "lr": rate} for value, rate in zip(expected, RATES, strict=True)]
    reference = torch.optim.Adam(groups, eps=1e-15, foreach=False)
    for _ in range(4):
        for value, gradient in zip(expected, state.step(), strict=True):
            value.grad = gradient
        reference.step()
    for value, other in zip(state.values, expected, strict=True):
        torch.testing.assert_close(value, other.detach(), rtol=1e-12, atol=1e-13)


def test_float32_is_close_to_the_formula() -> None:
    states = [State(300, dtype) for dtype in (torch.float32, torch.float64)]
    for state in states:
        for _ in range(5):
            state.step()
    for single, double in zip(states[0].values, states[1].values, strict=True):
        torch.testing.assert_close(single.double(), double, rtol=1e-5, atol=1e-5)


def test_rows_out_of_sight_are_left_alone() -> None:
    state, everywhere = State(5000, torch.float64), State(5000, torch.float64)
    start = [value.clone() for value in state.values]
    visible = torch.rand(5000, generator=torch.Generator().manual_seed(1)) < 0.4
    for _ in range(3):
        state.step(visible)
        everywhere.step()
    for i in range(len(SHAPES)):
        assert torch.equal(state.values[i][~visible], start[i][~visible])
        assert not state.firsts[i][~visible].any() and not state.seconds[i][~visible].any()
        torch.testing.assert_close(state.values[i][visible], everywhere.values[i][visible], rtol=1e-12, atol=1e-13)
        assert (state.values[i][visible] != start[i][visible]).any()


@pytest.mark.parametrize("finite", [False, True])
def test_nothing_moves_where_not_all_is_finite(finite: bool) -> None:
    one, other = (State(300, torch.float32) for _ in range(2))
    gradients = one.step()
    inputs = (other.values, gradients, other.firsts, other.seconds, RATES)
    before = [value.clone() for value in other.values]
    adam_(*inputs, step=1, finite=torch.tensor(finite), epsilon=1e-15)
    for value, start, moved, first in zip(other.values, before, one.values, other.firsts, strict=True):
        assert torch.equal(value, moved if finite else start) and not torch.equal(moved, start)
        assert bool(first.any()) == finite


def test_the_same_bits_for_any_number_of_threads() -> None:
    results = []
    for threads in (1, 2, 4):
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        state = State(9000, torch.float32)
        for _ in range(2):
            state.step()
        torch.set_num_threads(before)
        results.append(state.values)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.slow
def test_opcheck() -> None:
    values, gradients, firsts, seconds = ([torch.rand(6, 3), torch.rand(6, 1)] for _ in range(4))
    settings = ([0.1, 0.2], torch.arange(6) > 2, torch.tensor(True), 2, 0.9, 0.999, 1e-8)
    library.opcheck(ops.adam, (values, gradients, firsts, seconds, *settings))


def arguments() -> dict[str, object]:
    tensors = {name: [torch.ones(4, 3)] for name in ("values", "gradients", "firsts", "seconds")}
    return {**tensors, "rates": [0.1], "step": 1}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rates": [0.1, 0.2]}, "rates has 2 entries; it must have 1"),
        ({"gradients": [torch.ones(4, 2)]}, r"gradients\[0\] has shape \(4, 2\); it must be \(4, 3\)"),
        ({"firsts": [torch.ones(4, 3, dtype=torch.float64)]}, r"firsts\[0\] has dtype torch.float64"),
        ({"seconds": [torch.ones(3, 4).T]}, r"seconds\[0\] is not contiguous"),
        ({"values": [torch.ones(4, 3).int()]}, r"values\[0\] has dtype torch.int32"),
        ({"visible": torch.ones(3, dtype=torch.bool)}, r"visible is torch.bool \(3,\); it must be torch.bool \(4,\)"),
        ({"finite": torch.ones(1, dtype=torch.bool)}, r"finite is torch.bool \(1,\); it must be torch.bool \(\)"),
        ({"step": 0}, "step is 0; it must be an integer of at least 1"),
        ({"beta2": 1.0}, "beta2 is 1; it must be"),
    ],
)
def test_bad_input(changes: dict[str, object], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        adam_(**{**arguments(), **changes})
