"""Where the time goes, kernel by kernel, on one core; and how near the blend kernels come to a bare loop.

    python benchmarks/bench_kernels.py [--n 100000] [--size 640x480] [--repeats 15]

JSON lines: milliseconds of processor time, the median over the repeats, and for the blend kernels pairs per second (one
Gaussian at one pixel of a tile it can reach, 256 an intersection) beside those of benchmarks/dense_loop.cpp, which is
compiled with g++ and timed in the same run.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from bench_raster import TILE_PIXELS, workload

from diff_gaussian_rasterization import adam_, instruction_set, ops
from diff_gaussian_rasterization.rasterize import DEPTH_MODELS, depth_reach

FLAGS = ("-std=c++17", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-DDGR_ISA=bench")


def dense_pairs_per_second() -> float:
    """What a bare loop reaches on one core."""
    source = Path(__file__).with_name("dense_loop.cpp")
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "dense_loop"
        subprocess.run(["g++", *FLAGS, str(source), "-o", str(program)], check=True)
        return float(subprocess.run([program], capture_output=True, text=True, check=True).stdout)


def milliseconds(run: Callable[[], Any], repeats: int) -> float:
    """The median of this thread's processor time: what other programs take does not count."""
    run()
    times = []
    for _ in range(repeats):
        start = time.thread_time()
        run()
        times.append(time.thread_time() - start)
    return 1e3 * statistics.median(times)


@torch.no_grad()
def kernels(
    n: int,
    width: int,
    height: int,
    device: str | torch.device = "cpu",
    depth_model: str = "center",
    gap: float = math.inf,
) -> tuple[dict[str, Callable[[], Any]], int]:
    """Each kernel with its arguments, and the number of pairs."""
    focal, gaussians = 0.9 * width, workload(n, width, height, 3)
    tensors = [each.to(device) for each in (*gaussians.values(), torch.eye(4))]
    settings = (
        width,
        height,
        focal,
        focal,
        width / 2,
        height / 2,
        0.2,
        1.0,
        1 / 255,
        3,
        False,
        depth_reach(depth_model, 1 / 255),
        None,
    )
    *splats, cutoff_sigmas, radii, _ = ops.project(*tensors, *settings)
    means2d, inv_cov_factor, depths = splats[0], splats[1], splats[4]
    lists = ops.isect_tiles(means2d, inv_cov_factor, depths, cutoff_sigmas, radii, width, height)
    rules = (cutoff_sigmas, *lists, width, height, 1 / 255, 0.99, 1e-4, False, gap, None, math.inf)
    blended = (*splats, torch.zeros(3, device=device), *rules)
    state = ops.blend(*blended, None)[5:]
    generator = torch.Generator().manual_seed(0)
    image, target = (torch.rand((3, height, width), generator=generator).to(device) for _ in range(2))
    color, none = image - 0.5, torch.empty(0, device=device)
    every = [torch.rand((1, height, width), device=device) for _ in range(4)]
    v_splats = [torch.rand_like(values) for values in splats]
    moments = [[torch.zeros_like(values) for values in tensors[:5]] for _ in range(2)]
    photometric = (image, target, None)
    share, partials = ops.photometric(*photometric, 3)[2:]
    one = torch.ones((), device=device)
    backward = torch.ops.diff_gaussian_rasterization
    return {
        "project": lambda: ops.project(*tensors, *settings),
        "isect_tiles": lambda: ops.isect_tiles(means2d, inv_cov_factor, depths, cutoff_sigmas, radii, width, height),
        "blend": lambda: ops.blend(*blended, None),
        "blend_backward, color": lambda: backward.blend_backward(
            *blended, False, *state, color, none, none, none, none
        ),
        "blend_backward, all images": lambda: backward.blend_backward(*blended, False, *state, color, *every),
        "project_backward": lambda: backward.project_backward(*tensors, *settings, radii, *v_splats),
        "photometric": lambda: ops.photometric(*photometric, 3),
        "photometric_backward": lambda: backward.photometric_backward(*photometric, share, partials, False, one, one),
        "adam": lambda: adam_(tensors[:5], tensors[:5], moments[0], moments[1], [0.0] * 5, step=1),
    }, len(lists[0]) * TILE_PIXELS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=100_000, help="Gaussians")
    parser.add_argument("--size", default="640x480", help="of the image, WIDTHxHEIGHT")
    parser.add_argument("--depth_model", choices=DEPTH_MODELS, default="center", help="which depth splats have")
    parser.add_argument("--gap", type=float, default=math.inf, help="distortion_gap of `rasterize`")
    parser.add_argument("--repeats", type=int, default=15, help="runs whose median is taken")
    arguments = parser.parse_args()
    width, height = (int(side) for side in arguments.size.split("x"))
    torch.set_num_threads(1)
    dense = dense_pairs_per_second()
    print(json.dumps({"kernel": "dense loop", "instruction_set": instruction_set(), "pairs_per_s": round(dense)}))
    runs, pairs = kernels(arguments.n, width, height, depth_model=arguments.depth_model, gap=arguments.gap)
    for name, run in runs.items():
        line: dict[str, Any] = {"kernel": name, "ms": round(milliseconds(run, arguments.repeats), 2)}
        if name.startswith("blend"):
            rate = pairs / (line["ms"] / 1e3)
            line |= {"pairs_per_s": round(rate), "of_dense_loop": round(rate / dense, 2)}
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
