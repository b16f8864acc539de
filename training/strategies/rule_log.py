"""What a rule compared with its threshold, for the log: so that no change of the Gaussians happens in silence."""

from __future__ import annotations

import torch
from torch import Tensor

from scene.gaussians.model import Gaussians
from utils.selection import median_and_largest

RuleLog = dict[str, dict[str, float]]  # rule -> threshold, and the median and the largest of what was compared with it


@torch.no_grad()
def note(log: RuleLog | None, rule: str, values: Tensor, threshold: float, gaussians: Gaussians) -> None:
    """Keep what `rule` compares: `values` (N,) of these Gaussians, in the unit of the threshold; those of all ranks."""
    if log is None or gaussians.total == 0:
        return
    values, shard = values.float(), gaussians.shard
    if shard is None:
        median, largest = float(values.median()), float(values.max())
    else:
        median, largest = median_and_largest(values, shard.ids, shard.total, shard.ranks)
    log[rule] = {"threshold": threshold, "median": median, "largest": largest}
