"""The work that a picture and its gradients are for the GPU kernels, counted on the CPU, and its least time.

    python benchmarks/count_gpu_work.py [--n 1000000] [--size 1920x1080] [--sh 3] [--sample 200000]

The scene is that of bench_raster.py. Nothing is measured on a card: the CPU's operators make the same lists and the
same pixels; a warp's way over them is followed for a sample of intersections. A first JSON line has the counts, then
one for each stage: bytes and instructions of a warp in millions, and a floor for each card in milliseconds, which is
the larger of what its memory and its schedulers need. Instructions are those of the loops over splats, by the budgets
of tests/rasterizer/cuda/test_cuda_sass.py, and by hand for the rest (docs/measurements/gpu.md).
"""

from __future__ import annotations

import argparse
import json
import math
from typing import NamedTuple

import torch
from bench_raster import SEED, workload
from torch import Tensor

from diff_gaussian_rasterization import Thresholds, ops
from diff_gaussian_rasterization.rasterize import depth_reach

TILE, WARP, FORWARD_BATCH = 16, 32, 256
WARP_COLUMNS, WARP_ROWS = 8, 4  # pixels of a warp; a tile has two of them side by side, four one below the other
EMPTY = torch.empty(0)


class Card(NamedTuple):
    bytes_per_s: float
    warp_instructions_per_s: float  # 4 a clock and multiprocessor


CARDS = {"H100": Card(3.35e12, 132 * 4 * 1.98e9), "RTX 4090": Card(1.008e12, 128 * 4 * 2.52e9)}


class Picture(NamedTuple):
    """What the operators made of the scene."""

    means2d: Tensor  # (N, 2)
    factor: Tensor  # (N, 3) inv_cov_factor
    opacities: Tensor  # (N,)
    cutoff: Tensor  # (N,) cutoff_sigmas
    visible: int
    ids: Tensor  # (M,) flatten_ids
    ranges: Tensor  # (tiles + 1,) tile_ranges
    ends: Tensor  # (tiles, 16, 16) how many ids of its tile each pixel saw; 0 beyond the image
    tiles_x: int


class Way(NamedTuple):
    """What becomes of an intersection, on average over all of them."""

    seen: float  # part that some pixel of the tile had not ended before
    gathered: float  # part that a block loads
    touched: float  # warps of 8 that the ellipse reaches
    visited: float  # of these, warps that come to it going forward
    visited_back: float  # and going backward
    hit: float  # of these, warps with a pixel that counts it
    lanes: float  # pixels that count it, for each such warp


def picture_of(n: int, width: int, height: int, sh_degree: int) -> Picture:
    gaussians, focal = workload(n, width, height, sh_degree), 0.9 * width
    limits = Thresholds()
    settings = (width, height, focal, focal, width / 2, height / 2, 0.2, 1.0, limits.alpha_min, sh_degree, False)
    projected = ops.project(*gaussians.values(), torch.eye(4), *settings, depth_reach("ray", limits.alpha_min), None)
    means2d, factor, opacities, colors, depths, slopes, cutoff, radii, _ = projected
    lists = ops.isect_tiles(means2d, factor, depths, cutoff, radii, width, height)
    splats = means2d, factor, opacities, colors, depths, slopes, torch.zeros(3)
    rules = (*limits, False, math.inf, None, math.inf, None)
    end = ops.blend(*splats, cutoff, *lists, width, height, *rules)[8][0]
    across, down = -(-width // TILE), -(-height // TILE)
    padded = torch.zeros(down * TILE, across * TILE, dtype=torch.int32)
    padded[:height, :width] = end
    ends = padded.view(down, TILE, across, TILE).transpose(1, 2).reshape(-1, TILE, TILE)
    visible = int((radii > 0).sum())
    return Picture(means2d, factor, opacities, cutoff, visible, lists[0], lists[3].long(), ends, across)


def by_warp(pixels: Tensor) -> Tensor:
    """(S, 8, 32) of (S, 16, 16)."""
    parts = pixels.view(len(pixels), TILE // WARP_ROWS, WARP_ROWS, TILE // WARP_COLUMNS, WARP_COLUMNS)
    return parts.transpose(2, 3).reshape(len(pixels), -1, WARP)


def touched_warps(u: Tensor, v: Tensor, factor: Tensor, cutoff: Tensor) -> Tensor:
    """(S, 8) bool: as csrc/cuda/tile.cuh has it; u and v (S,) from the tile's first pixel."""
    xx, xy, yy = factor.unbind(1)
    half_height = cutoff / yy
    summit = -xy * half_height / (xy.square() + yy.square()).sqrt()
    sets = []
    for down in range(TILE // WARP_ROWS):
        top = down * WARP_ROWS - v
        low, high = torch.maximum(top, -half_height), torch.minimum(top + WARP_ROWS - 1, half_height)

        def reach(row: Tensor) -> Tensor:
            return (cutoff.square() - (yy * row).square()).clamp(min=0).sqrt()

        right_row, left_row = (torch.minimum(torch.maximum(each, low), high) for each in (summit, -summit))
        right = (reach(right_row) - xy * right_row) / xx + 1e-3
        left = (-reach(left_row) - xy * left_row) / xx - 1e-3
        for across in range(TILE // WARP_COLUMNS):
            first = across * WARP_COLUMNS - u
            sets.append((low <= high) & (left <= first + WARP_COLUMNS - 1) & (right >= first))
    return torch.stack(sets, dim=1)


def counted_pixels(u: Tensor, v: Tensor, factor: Tensor, opacities: Tensor) -> Tensor:
    """(S, 16, 16) bool: where alpha is enough to count."""
    steps = torch.arange(float(TILE))
    dx, dy = u[:, None, None] - steps, v[:, None, None] - steps[:, None]
    xx, xy, yy = (each[:, None, None] for each in factor.unbind(1))
    square = (xx * dx + xy * dy).square() + (yy * dy).square()
    return opacities[:, None, None] * torch.exp(-square / 2) >= Thresholds().alpha_min


def way_of(p: Picture, sample: int) -> Way:
    """Followed for `sample` intersections, drawn at random."""
    lengths = p.ranges.diff()
    longest = p.ends.amax(dim=(1, 2)).long()
    batches = ((longest + FORWARD_BATCH) // FORWARD_BATCH * FORWARD_BATCH).minimum(lengths)
    chosen = torch.randint(len(p.ids), (sample,), generator=torch.Generator().manual_seed(SEED))
    tile = torch.searchsorted(p.ranges, chosen, right=True) - 1
    place, ids = chosen - p.ranges[tile], p.ids[chosen].long()
    u = p.means2d[ids, 0] - tile % p.tiles_x * TILE - 0.5
    v = p.means2d[ids, 1] - tile // p.tiles_x * TILE - 0.5
    touched = touched_warps(u, v, p.factor[ids], p.cutoff[ids])
    ends = by_warp(p.ends[tile])
    last = ends.amax(dim=2)
    forward = touched & (place[:, None] // WARP * WARP <= last) & (place < batches[tile])[:, None]
    backward = touched & (place[:, None] < last)
    counted = by_warp(counted_pixels(u, v, p.factor[ids], p.opacities[ids])) & (place[:, None, None] < ends)
    hit = backward & counted.any(dim=2)
    return Way(
        seen=float(longest.sum() / len(p.ids)),
        gathered=float(batches.sum() / len(p.ids)),
        touched=mean_sum(touched),
        visited=mean_sum(forward),
        visited_back=mean_sum(backward),
        hit=mean_sum(hit),
        lanes=float(counted.sum() / hit.sum()),
    )


def mean_sum(warps: Tensor) -> float:
    return float(warps.sum(dim=1).float().mean())


class Stage(NamedTuple):
    name: str
    bytes: float
    instructions: float  # of a warp


def loop(way: Way, m: int, visits: float, miss: int, hit: int) -> float:
    """Instructions of all warps in a loop over splats; see docs/measurements/gpu.md."""
    return m * ((visits - way.hit) * miss + way.hit * hit + 5 * way.gathered)


def stages(p: Picture, way: Way, n: int, pixels: int, sh_degree: int) -> list[Stage]:
    """A step with the default terms of the loss, depths along rays, color and distortion with a gradient."""
    m, numbers = len(p.ids), 11 + 3 * (sh_degree + 1) ** 2
    sh, seen = 12 * (sh_degree + 1) ** 2, m * way.seen
    return [
        Stage("project", n * (44 + sh + 56), 14 * n),
        Stage("isect_tiles", 304 * n + 92 * m, 25 * n + 5 * m),
        Stage("blend", 100 * n + 76 * m * way.gathered + 44 * pixels, loop(way, m, way.visited, 27, 67)),
        Stage(
            "blend_backward, color",
            172 * n + 76 * seen + 104 * m + 28 * pixels,
            loop(way, m, way.visited_back, 32, 130),
        ),
        Stage(
            "blend_backward, color and distortion",
            188 * n + 76 * seen + 120 * m + 32 * pixels,
            loop(way, m, way.visited_back, 31, 165),
        ),
        Stage("project_backward", n * (88 + 2 * sh + 44), 34 * n),
        Stage("photometric", 20 * 3 * pixels, 49e6 * pixels / 2.07e6),
        Stage("photometric_backward", 24 * 3 * pixels, 29e6 * pixels / 2.07e6),
        Stage("mean_distortion and its backward", (8 + 12) * pixels, 60 * pixels / WARP),
        Stage("inv_depth_l1 and its backward", (13 + 21) * pixels, 80 * pixels / WARP),
        Stage("adam", 28 * numbers * n, 65 / 59 * numbers * n),
        Stage("harmonics made one tensor, and parted again: no longer done", 4 * sh * n, 0.0),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=1_000_000, help="Gaussians")
    parser.add_argument("--size", default="1920x1080", help="of the image, WIDTHxHEIGHT")
    parser.add_argument("--sh", type=int, default=3, help="degree of spherical harmonics")
    parser.add_argument("--sample", type=int, default=200_000, help="intersections that are followed")
    arguments = parser.parse_args()
    width, height = (int(side) for side in arguments.size.split("x"))
    with torch.no_grad():
        picture = picture_of(arguments.n, width, height, arguments.sh)
        way = way_of(picture, arguments.sample)
    counts = {"gaussians": arguments.n, "visible": picture.visible, "intersections": len(picture.ids)}
    parts = {name: round(part, 3) for name, part in way._asdict().items()}
    print(json.dumps({**counts, "tiles": len(picture.ranges) - 1, **parts}))
    for stage in stages(picture, way, arguments.n, width * height, arguments.sh):
        line = {"stage": stage.name, "mb": round(stage.bytes / 1e6), "m_instructions": round(stage.instructions / 1e6)}
        for name, card in CARDS.items():
            seconds = max(stage.bytes / card.bytes_per_s, stage.instructions / card.warp_instructions_per_s)
            line[f"{name}_ms"] = round(1e3 * seconds, 3)
        print(json.dumps(line))


if __name__ == "__main__":
    main()
