"""Runs the kernels in the emulator for a sanitizer to watch: `python -m tests.rasterizer.cuda.drive LIBRARY WHAT …`

WHAT is `kernels`, with the number of blocks at a time and the floating-point types; `mutants`, with the barriers that
are taken out one by one; or `faults`, with those of emulated.cpp. The latter two have two blocks at a time.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ..scenes import IMAGES, random_scene, varied_scene
from .emulated import load
from .pipeline import Backend, run
from .test_cuda_kernels import SPECIAL, cotangents_of

# Depths of centers and along rays, sensors, SH and plain colors, 3 and 8 channels, nobody, and a tile whose splats fill
# more than one batch; with the images that a loss looks at.
SCENES = {
    "color": (varied_scene(3), ("color",)),
    "sensor": (varied_scene(5), IMAGES),
    "one pixel": (SPECIAL["one pixel"], IMAGES),
    "nobody": (SPECIAL["nobody"], IMAGES),
    "ragged": (SPECIAL["ragged"], IMAGES),
    "8 channels": (SPECIAL["8 channels"], ("color",)),
    "8 channels along rays": (SPECIAL["8 channels"].with_settings(depth_model="ray"), IMAGES),
    "batches": (random_scene(43, n=330, width=17, height=16, kinds=["ordinary"], sh_degree=1), ("color", "depth")),
}


def run_kernels(on: Backend, dtype: torch.dtype) -> None:
    """All operators of the backend, so every kernel."""
    image, one = torch.rand(1, 17, 33, dtype=dtype), torch.ones((), dtype=dtype)
    for mask in (None, image.round()):
        _, _, share, partials = on.operators.photometric(image, image * 0.5, mask, 4)
        on.operators.photometric_backward(image, image * 0.5, mask, share, partials, True, one, one)
    depth, numbers = torch.rand(1, 17, 133, dtype=dtype), (1.5, 4.0)  # more pixels than a block takes
    for valid, weight in ((None, None), (depth > 0.3, depth)):
        inverse = (depth, depth * 0.7, depth + 0.1, valid, weight, *numbers)
        _, share = on.operators.inv_depth_l1(*inverse)
        on.operators.inv_depth_l1_backward(*inverse, share, one)
        apart = (depth, depth * 0.7, weight, *numbers)
        _, share = on.operators.mean_distortion(*apart)
        on.operators.mean_distortion_backward(*apart, share, one)
    shapes = torch.randn(600, 3, dtype=dtype), torch.arange(600) % 3 > 0, 1.5  # more Gaussians than a block takes
    _, share = on.operators.effective_rank_cost(*shapes)
    on.operators.effective_rank_cost_backward(*shapes, share, one)
    color, exposure = torch.rand(3, 17, 133, dtype=dtype), torch.rand(3, 4, dtype=dtype)
    on.operators.expose_backward(color, exposure, on.operators.expose(color, exposure))
    lists = [[torch.rand(130, columns, dtype=dtype) for columns in (5, 1)] for _ in range(4)]
    for visible in (None, torch.arange(130) % 3 == 0):
        on.operators.adam(*lists, [0.1, 0.2], visible, None if visible is None else visible.any(), 1, 0.9, 0.999, 1e-8)
    for number, (scene, images) in enumerate(SCENES.values()):
        run(on, scene, cotangents_of(scene, images), dtype, absgrad=number % 2 == 0)


def run_faults(operators: Any, names: Sequence[str]) -> None:
    for name in names:
        print(f"fault {name}", file=sys.stderr, flush=True)
        for seed in range(1, 9):  # in some of which the blocks meet
            operators.schedule(seed, 2)
            operators.fault(name, 2, torch.ones(129, dtype=torch.int32))


def run_mutants(operators: Any, places: Sequence[str]) -> None:
    """A process for each, which the sanitizer may end."""
    for place in places:
        print(f"mutant {place}", file=sys.stderr, flush=True)
        child = os.fork()
        if child == 0:
            operators.delete_barrier(place)
            operators.schedule(1, 2)
            run_kernels(Backend(operators), torch.float32)
            os._exit(0)
        os.waitpid(child, 0)


def main(library: str, what: str, *words: str) -> None:
    torch.set_num_threads(1)
    operators = load(Path(library))
    if what == "faults":
        run_faults(operators, words)
    elif what == "mutants":
        run_mutants(operators, words)
    else:
        residents, *dtypes = words
        operators.schedule(1 if int(residents) > 1 else 0, int(residents))
        for dtype in dtypes:
            run_kernels(Backend(operators), getattr(torch, dtype))
    print("finished")


if __name__ == "__main__":
    main(*sys.argv[1:])
