"""Which depth losses there are: each function enters itself under its name, and `--depth_loss` sums them by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import Tensor

from utils.errors import UserError

Function = TypeVar("Function", bound=Callable[..., Tensor])
EXAMPLE = "ssi+0.5*silog+0.4*grad"


@dataclass(frozen=True)
class DepthLoss:
    """A loss of `Pixels`, or of `DepthImages`; one with `options` takes an instance of them as well.

    One with `frustums` takes the intrinsics and the variance of the target instead, which its options have made.
    """

    function: Callable[..., Tensor]
    formula: str  # in ASCII, since the help goes to any terminal
    of_images: bool  # whether it reads the images themselves
    frustums: bool
    options: type | None = None  # a frozen dataclass of `utils.options.option`; its names are flags of train.py


LOSSES: dict[str, DepthLoss] = {}


def register(
    name: str, formula: str, *, options: type | None = None, of_images: bool = False, frustums: bool = False
) -> Any:
    """The decorator that makes a function the depth loss `name`; the help shows its `formula` and its `options`."""

    def enter(function: Function) -> Function:
        LOSSES[name] = DepthLoss(function, formula, of_images, frustums, options)
        return function

    return enter


def parse_losses(text: str, where: str) -> dict[str, float]:
    """Name -> weight of a sum such as ssi+0.5*silog; a name without a number has weight 1.

    UserError, which begins with `where`, for an unknown name, a name that comes twice, and a weight that is no finite
    number above 0.
    """
    losses: dict[str, float] = {}
    for part in text.split("+"):
        factor, star, name = (each.strip() for each in part.rpartition("*"))
        if name not in LOSSES or name in losses:
            problem = f"{name!r} comes twice" if name in losses else f"{name!r} is not a depth loss"
            raise _unreadable(where, text, problem)
        losses[name] = _weight(factor) if star else 1.0
        if not 0 < losses[name] < math.inf:
            raise _unreadable(where, text, f"the weight {factor!r} of {name} is not a finite number above 0")
    return losses


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _unreadable(where: str, text: str, problem: str) -> UserError:
    known = ", ".join(sorted(LOSSES))
    return UserError(f"{where} is {text!r}: {problem}; accepted is one of {known}, or a sum as in {EXAMPLE}")
