"""How the cost grows with the Gaussians and with the pixels, 1, 2, 4 and 8 times as many; draws a figure.

    python benchmarks/bench_scaling.py [--figure docs/measurements/scaling.png] [--repeats 9]

JSON lines: forward and forward + backward seconds, medians over the repeats. More pixels are the same Gaussians seen at
a higher resolution, so pairs grow as pixels do.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib
import torch
from bench_raster import SEED, median_seconds, render, workload

GAUSSIANS, WIDTH, HEIGHT = 50_000, 400, 300  # the smallest case; both grow from here
FACTORS = (1, 2, 4, 8)


def measure(gaussians: dict[str, torch.Tensor], width: int, height: int, repeats: int) -> dict[str, float]:
    cotangent = torch.randn((3, height, width), generator=torch.Generator().manual_seed(SEED))
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in gaussians.items()}

    def forward() -> None:
        with torch.no_grad():
            render(gaussians, width, height, 3)

    def forward_backward() -> None:
        for tensor in leaves.values():
            tensor.grad = None
        render(leaves, width, height, 3).color.backward(cotangent)

    return {
        "forward_s": round(median_seconds(forward, repeats), 5),
        "forward_backward_s": round(median_seconds(forward_backward, repeats), 5),
    }


def draw(path: Path, lines: list[dict[str, Any]]) -> None:
    """Seconds over the factor, both axes logarithmic, beside what growth in proportion would be."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    for axis, kind, of in zip(
        axes, ("Gaussians", "pixels"), (f"{GAUSSIANS:,} Gaussians", f"{WIDTH}×{HEIGHT} pixels"), strict=True
    ):
        rows = [line for line in lines if line["grows"] == kind]
        for name, label in (("forward_backward_s", "forward + backward"), ("forward_s", "forward")):
            axis.loglog(FACTORS, [1e3 * row[name] for row in rows], "o-", label=label)
        first = 1e3 * rows[0]["forward_backward_s"]
        axis.loglog(FACTORS, [first * factor for factor in FACTORS], ":", color="gray", label="in proportion")
        axis.set_xticks(FACTORS, [str(factor) for factor in FACTORS])
        axis.minorticks_off()
        axis.set_xlabel(f"times {of}")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("milliseconds")
    axes[0].legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--figure", type=Path, default=Path("out/scaling.png"), help="where the figure goes")
    parser.add_argument("--repeats", type=int, default=9, help="runs whose median is taken")
    arguments = parser.parse_args()
    lines: list[dict[str, Any]] = []
    for factor in FACTORS:
        case: dict[str, Any] = {"grows": "Gaussians", "factor": factor}
        lines.append(case | measure(workload(GAUSSIANS * factor, WIDTH, HEIGHT, 3), WIDTH, HEIGHT, arguments.repeats))
        print(json.dumps(lines[-1]), flush=True)
    gaussians = workload(GAUSSIANS, WIDTH, HEIGHT, 3)
    for factor in FACTORS:
        side = factor**0.5
        case = {"grows": "pixels", "factor": factor}
        lines.append(case | measure(gaussians, round(WIDTH * side), round(HEIGHT * side), arguments.repeats))
        print(json.dumps(lines[-1]), flush=True)
    draw(arguments.figure, lines)


if __name__ == "__main__":
    main()
