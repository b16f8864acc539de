"""What the public functions accept, checked once, before any work. Messages name the argument and what it must be."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd import forward_ad

from . import ops

DTYPES = (torch.float32, torch.float64)


def check_tensor(
    name: str, value: object, shape: Sequence[int | str], like: Tensor | None = None, *, like_name: str = "means"
) -> Tensor:
    """`value` as a contiguous tensor of `shape` (a str names a free dimension), of `like`'s dtype and device.

    `like_name` is what messages call `like`.

    Raises: TypeError for what is no floating-point tensor of the right dtype; ValueError for a wrong shape or device;
    RuntimeError for a tangent of forward-mode differentiation.
    """
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} is a {type(value).__name__}; it must be a tensor of shape {_words(shape)}")
    dtype, found = value.dtype, value.shape
    if dtype not in DTYPES:
        raise TypeError(f"{name} has dtype {dtype}; it must be torch.float32 or torch.float64")
    if found != shape and not _fits(found, shape):
        raise ValueError(f"{name} has shape {tuple(found)}; it must be {_words(shape)}")
    if like is not None and dtype != like.dtype:
        raise TypeError(f"{name} has dtype {dtype}; it must be {like.dtype}, as {like_name} has")
    if like is not None and value.device != like.device:
        raise ValueError(f"{name} is on device {value.device}; it must be on {like.device}, as {like_name} is")
    if forward_ad._current_level >= 0 and forward_ad.unpack_dual(value).tangent is not None:  # operators would drop it
        raise RuntimeError(f"{name} has a forward-mode tangent; only reverse mode (backward) is implemented")
    return value.contiguous()


def check_flags(name: str, flags: object, shape: Sequence[int], like: Tensor, *, like_name: str) -> Tensor:
    """`flags` as a contiguous tensor of bool, of `shape` and on `like`'s device; raises ValueError for any other."""
    if not isinstance(flags, Tensor) or flags.dtype != torch.bool or flags.shape != shape:
        found = f"{flags.dtype} {tuple(flags.shape)}" if isinstance(flags, Tensor) else f"a {type(flags).__name__}"
        raise ValueError(f"{name} is {found}; it must be torch.bool {tuple(shape)}")
    if flags.device != like.device:
        raise ValueError(f"{name} is on device {flags.device}; it must be on {like.device}, as {like_name} is")
    return flags.contiguous()


def _fits(found: torch.Size, shape: Sequence[int | str]) -> bool:
    return len(found) == len(shape) and all(
        isinstance(expected, str) or expected == size for size, expected in zip(found, shape, strict=True)
    )


def check_device(name: str, value: Tensor) -> None:
    """Raises ValueError where no kernels exist for the tensor's device."""
    kind = value.device.type
    if kind == "cuda" and not ops.cuda_build():
        raise ValueError(
            f"{name} is on device {value.device}; it must be on cpu, since the library was built without CUDA: "
            "`python -m diff_gaussian_rasterization.doctor` says what to do"
        )
    if kind not in ("cpu", "cuda"):
        raise ValueError(f"{name} is on device {value.device}; it must be on cpu or cuda")


def check_integer(name: str, value: object, low: int, high: int | None = None) -> int:
    """`value` if it is an integer in [low, high]; raises TypeError or ValueError."""
    accepted = f"an integer of at least {low}" if high is None else f"an integer from {low} to {high}"
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is {value!r}; it must be {accepted}")
    if value < low or (high is not None and value > high):
        raise ValueError(f"{name} is {value}; it must be {accepted}")
    return value


def check_number(
    name: str, value: object, low: float = -math.inf, high: float = math.inf, *, open_low: bool = False
) -> float:
    """`value` as a finite float in [low, high], or (low, high] if `open_low`; raises TypeError or ValueError."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise TypeError(f"{name} is {value!r}; it must be a number") from None
    if not math.isfinite(number) or number < low or number > high or (open_low and number == low):
        bounds = f" {'above' if open_low else 'of at least'} {low:g}" if low > -math.inf else ""
        bounds += f" and at most {high:g}" if high < math.inf else ""
        raise ValueError(f"{name} is {number:g}; it must be a finite number{bounds}")
    return number


def _words(shape: Sequence[int | str]) -> str:
    inner = ", ".join(str(size) for size in shape)
    return f"({inner},)" if len(shape) == 1 else f"({inner})"
