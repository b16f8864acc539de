"""The mean of a cloud over the steps of its training: closer to where training is going than its last step is.

The last step of a run has followed one photo more than the others. The mean over many steps has not: Polyak & Juditsky
1992 for stochastic approximation, Izmailov et al. 2018 for the end of a training.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from scene.gaussians.model import PARAMETERS


class Average:
    """Of each parameter of N Gaussians, (N, ...), the mean over `count` steps.

    The parameters are averaged as the optimizer moves them: logarithms of scales, logits of opacities, quaternions of
    any length.
    """

    def __init__(self, values: Mapping[str, Tensor], count: int = 1) -> None:
        """Of a first step, whose values are copied; or of `count`, whose mean they are."""
        self.values = {name: values[name].detach().clone() for name in PARAMETERS}
        self.count = count

    @torch.no_grad()
    def add(self, values: Mapping[str, Tensor]) -> None:
        """Take one more step into the mean: a ← a + (p − a) / count."""
        self.count += 1
        means = [self.values[name] for name in PARAMETERS]
        torch._foreach_lerp_(means, [values[name] for name in PARAMETERS], 1 / self.count)

    @torch.no_grad()
    def begin_again(self, name: str, values: Tensor, rows: Tensor | None = None) -> None:
        """Forget the steps of a parameter, or of some of its rows, (M,) indices, that was changed by other means than
        its gradient: the mean is the value that it has now."""
        if rows is None:
            self.values[name].copy_(values)
        else:
            self.values[name][rows] = values[rows]

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps; `Average(**state)` goes on from it."""
        return {"values": dict(self.values), "count": self.count}
