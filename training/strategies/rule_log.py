"""What a rule compared with its threshold, for the log: so that no change of the Gaussians happens in silence."""

from __future__ import annotations

import torch
from torch import Tensor

RuleLog = dict[str, dict[str, float]]  # rule -> threshold, and the median and the largest of what was compared with it


@torch.no_grad()
def note(log: RuleLog | None, rule: str, values: Tensor, threshold: float) -> None:
    """Keep what `rule` compares: `values` (N,), in the unit of the threshold."""
    if log is not None and len(values):
        values = values.float()
        log[rule] = {"threshold": threshold, "median": float(values.median()), "largest": float(values.max())}
