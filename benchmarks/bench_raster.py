"""How fast the rasterizer is: forward, and forward + backward, on random Gaussians that anyone can make again.

    python benchmarks/bench_raster.py [--n 10000 100000 1000000] [--size 640x480 1280x720] [--sh 0 3] [--repeats 9]

One JSON line a case, medians over the repeats. Each case has a process of its own, and so a peak memory of its own.
A pair is one Gaussian evaluated at one pixel of a tile that it can reach: 256 for each intersection.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import product

import torch

from diff_gaussian_rasterization import RasterOutput, instruction_set, ops, rasterize

SEED = 20
TILE_PIXELS = 256


def log_uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator) -> torch.Tensor:
    return torch.exp(torch.empty(shape).uniform_(math.log(low), math.log(high), generator=generator))


def workload(n: int, width: int, height: int, sh_degree: int) -> dict[str, torch.Tensor]:
    """Gaussians spread evenly over the image: depth log-uniform in 2..10, per-axis σ log-uniform in 0.5..4 pixels."""
    generator = torch.Generator().manual_seed(SEED)
    focal = 0.9 * width
    depth = log_uniform((n, 1), 2, 10, generator)
    pixels = torch.rand((n, 2), generator=generator) * torch.tensor([width, height])
    centered = pixels - torch.tensor([width / 2, height / 2])
    return {
        "means": torch.cat([centered * depth / focal, depth], dim=1),
        "scales": log_uniform((n, 3), 0.5, 4, generator) * depth / focal,
        "quats": torch.randn((n, 4), generator=generator),
        "opacities": torch.sigmoid(2 * torch.randn((n, 1), generator=generator)),
        "shs": 0.3 * torch.randn((n, (sh_degree + 1) ** 2, 3), generator=generator),
    }


def render(gaussians: dict[str, torch.Tensor], width: int, height: int, sh_degree: int) -> RasterOutput:
    return rasterize(
        gaussians["means"],
        gaussians["scales"],
        gaussians["quats"],
        gaussians["opacities"],
        gaussians["shs"],
        viewmat=torch.eye(4, device=gaussians["means"].device),
        fx=0.9 * width,
        fy=0.9 * width,
        cx=width / 2,
        cy=height / 2,
        width=width,
        height=height,
        background=torch.zeros(3, device=gaussians["means"].device),
        sh_degree=sh_degree,
    )


def count_intersections(gaussians: dict[str, torch.Tensor], width: int, height: int) -> int:
    settings = (width, height, 0.9 * width, 0.9 * width, width / 2, height / 2, 0.2, 1.0, 1 / 255, 0, False, 0.0, None)
    tensors = [gaussians[name] for name in ("means", "scales", "quats", "opacities", "shs")]
    *splats, cutoff_sigmas, radii, _ = ops.project(*tensors, torch.eye(4), *settings)
    means2d, inv_cov_factor, depths = splats[0], splats[1], splats[4]
    return len(ops.isect_tiles(means2d, inv_cov_factor, depths, cutoff_sigmas, radii, width, height)[0])


def median_seconds(run: Callable[[], None], repeats: int) -> float:
    run()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def measure(n: int, width: int, height: int, sh_degree: int, repeats: int) -> dict[str, object]:
    gaussians = workload(n, width, height, sh_degree)
    pairs = count_intersections(gaussians, width, height) * TILE_PIXELS

    def forward() -> None:
        with torch.no_grad():
            render(gaussians, width, height, sh_degree)

    leaves = {name: tensor.requires_grad_() for name, tensor in gaussians.items()}
    cotangent = torch.randn((3, height, width), generator=torch.Generator().manual_seed(SEED))

    def forward_backward() -> None:
        for tensor in leaves.values():
            tensor.grad = None
        render(leaves, width, height, sh_degree).color.backward(cotangent)

    forward_seconds = median_seconds(forward, repeats)
    both_seconds = median_seconds(forward_backward, repeats)
    return {
        "n": n,
        "width": width,
        "height": height,
        "sh_degree": sh_degree,
        "threads": torch.get_num_threads(),
        "instruction_set": instruction_set(),
        "forward_s": round(forward_seconds, 5),
        "forward_backward_s": round(both_seconds, 5),
        "pairs": pairs,
        "forward_pairs_per_s": round(pairs / forward_seconds),
        "forward_backward_pairs_per_s": round(pairs / both_seconds),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], help="Gaussians")
    parser.add_argument("--size", nargs="+", default=["640x480", "1280x720"], help="image sizes, WIDTHxHEIGHT")
    parser.add_argument("--sh", type=int, nargs="+", default=[0, 3], help="degrees of spherical harmonics")
    parser.add_argument("--repeats", type=int, default=9, help="runs whose median is taken")
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    cases = list(product(arguments.n, arguments.size, arguments.sh))
    for n, size, sh_degree in cases:
        if len(cases) > 1:
            case = ["--n", str(n), "--size", size, "--sh", str(sh_degree), "--repeats", str(arguments.repeats)]
            subprocess.run([sys.executable, __file__, *case], check=True)
        else:
            width, height = (int(side) for side in size.split("x"))
            print(json.dumps(measure(n, width, height, sh_degree, arguments.repeats)), flush=True)


if __name__ == "__main__":
    main()
