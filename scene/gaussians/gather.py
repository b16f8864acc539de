"""A cloud that is spread over ranks, part by part on the host of rank 0: what files are written from."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from scene.gaussians.model import PARAMETERS, Gaussians
from scene.types import GaussianArrays


def parts(gaussians: Gaussians) -> Iterator[GaussianArrays]:
    """The rows of each rank in turn, on rank 0, which holds one part at a time; nothing on the others.

    A call of all ranks, who must all take all parts.
    """
    ranks = gaussians.ranks
    for source in range(ranks.size):
        rows = {name: ranks.to_lead(gaussians.parameters[name].detach(), source) for name in PARAMETERS}
        if ranks.leads:
            yield Gaussians(rows).to_arrays()


def joined(several: list[GaussianArrays]) -> GaussianArrays:
    """All rows in one."""
    names = vars(several[0])
    return GaussianArrays(**{name: np.concatenate([getattr(each, name) for each in several]) for name in names})
