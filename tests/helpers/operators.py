"""What holds of every operator: the same bits for any number of threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def check_threads(results: Callable[[], Sequence[Tensor]]) -> None:
    """`results` are tensors that are not all 0, and the same bits for 1, 2 and 4 threads."""
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            found.append(results())
    finally:
        torch.set_num_threads(before)
    assert all(each.any() for each in found[0])
    assert all(torch.equal(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True))
