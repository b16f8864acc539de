"""Who computes on a CPU: the rasterizer's threads, and none of torch's beside them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from diff_gaussian_rasterization import get_num_threads, set_num_threads


@contextmanager
def threads_for_rasterizer() -> Iterator[None]:
    """All of torch's threads work for the rasterizer's operators, and torch's own operators use the caller's.

    Torch's threads spin for milliseconds after each operator. Beside other programs they take the core from a thread
    that has something to do, and on an idle machine from the rasterizer's. What torch computes in a training step is
    small. Bits do not depend on either number.
    """
    count, before = get_num_threads(), torch.get_num_threads()
    set_num_threads(count)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        set_num_threads(None)
