"""`adam_`: a step of Adam for many parameters at once, in place, for all rows or for those that were seen."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from . import ops
from .checks import check_device, check_integer, check_number, check_tensor


@torch.no_grad()
@ops.memory_errors
def adam_(
    values: Sequence[Tensor],
    gradients: Sequence[Tensor],
    firsts: Sequence[Tensor],
    seconds: Sequence[Tensor],
    rates: Sequence[float],
    *,
    step: int,
    visible: Tensor | None = None,
    finite: Tensor | None = None,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
) -> None:
    """Adam (Kingma & Ba 2015, algorithm 1) in place: with g the gradient, t = `step` and a parameter's own rate,

        m ← m + (1 − β₁)·(g − m),  v ← v + (1 − β₂)·(g² − v),
        p ← p − rate · (m / (1 − β₁^t)) / (√(v / (1 − β₂^t)) + ε).

    Args:
        values: parameters p, each (N, ...), contiguous, all of the same N and float dtype.
        gradients: g, of the same shapes.
        firsts, seconds: the running means m and v, of the same shapes, contiguous.
        rates: a learning rate for each parameter.
        step: t, 1 for the first; the same for all rows, those that came later included.
        visible: (N,) bool; rows where it is False are left alone, their m and v too. None: all rows move.
        finite: () bool, whether to move anything at all, for those who cannot wait to know; None: yes.
        beta1, beta2, epsilon: as in the formula.

    Raises:
        TypeError, ValueError: an argument of the wrong type, dtype, shape, device or range; the message names it.
    """
    lists = {"values": values, "gradients": gradients, "firsts": firsts, "seconds": seconds, "rates": rates}
    for name, items in lists.items():
        if len(items) != len(values):
            raise ValueError(f"{name} has {len(items)} entries; it must have {len(values)}, as values has")
    if not values:
        return
    for i, value in enumerate(values):
        _check_place(f"values[{i}]", value, value, values[0])
        check_device(f"values[{i}]", value)
        _check_place(f"firsts[{i}]", firsts[i], value, values[0])
        _check_place(f"seconds[{i}]", seconds[i], value, values[0])
    if visible is not None:
        _check_mask("visible", visible, values[0].shape[:1], values[0])
    if finite is not None:
        _check_mask("finite", finite, values[0].shape[:0], values[0])
    gradients = [
        check_tensor(f"gradients[{i}]", gradient, value.shape, value, like_name=f"values[{i}]")
        for i, (gradient, value) in enumerate(zip(gradients, values, strict=True))
    ]
    ops.adam(
        list(values), gradients, list(firsts), list(seconds), [float(rate) for rate in rates],
        None if visible is None else visible.contiguous(), finite, check_integer("step", step, 1),
        check_number("beta1", beta1, 0, 0.999999), check_number("beta2", beta2, 0, 0.999999),
        check_number("epsilon", epsilon, 0),
    )  # fmt: skip


def _check_mask(name: str, mask: Tensor, shape: torch.Size, first: Tensor) -> None:
    if mask.dtype != torch.bool or mask.shape != shape:
        raise ValueError(f"{name} is {mask.dtype} {tuple(mask.shape)}; it must be torch.bool {tuple(shape)}")
    if mask.device != first.device:
        raise ValueError(f"{name} is on device {mask.device}; it must be on {first.device}, as values[0] is")


def _check_place(name: str, tensor: Tensor, like: Tensor, first: Tensor) -> None:
    """What is written in place cannot be copied to make it contiguous."""
    if len(tensor) != len(first):
        raise ValueError(f"{name} has {len(tensor)} rows; it must have {len(first)}, as values[0] has")
    check_tensor(name, tensor, like.shape, first, like_name="values[0]")
    if not tensor.is_contiguous():
        raise ValueError(f"{name} is not contiguous; it is changed in place and must be")
