"""Draw each depth loss and its gradient over the error: docs/images/depth_losses.png.

    python benchmarks/plot_depth_losses.py [--figure docs/images/depth_losses.png]

A slanted surface with a step in it is rendered right but for a square, whose depth is (1 + e) times the target. Each
panel shows the loss over e, and its derivative by e.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib
import torch
from torch import Tensor

from utils.losses.depth import NAMES, depth_loss

SIZE = 48  # pixels, both ways
INTRINSICS = (40.0, 40.0, 24.0, 24.0)
ERRORS = torch.linspace(-0.5, 0.5, 161, dtype=torch.float64)


def scene() -> tuple[Tensor, Tensor]:
    """Target depth, and the square that is rendered wrong (1, others 0)."""
    rows, columns = torch.meshgrid(*(torch.linspace(0, 1, SIZE, dtype=torch.float64),) * 2, indexing="ij")
    target = 1.5 + 0.4 * rows + 0.2 * columns + 1.5 * (columns > 0.6)
    square = (rows > 0.3) & (rows < 0.7) & (columns > 0.15) & (columns < 0.5)
    return target, square.double()


def curve(name: str) -> tuple[list[float], list[float]]:
    """The loss at ERRORS, and its derivative there."""
    target, square = scene()
    values, slopes = [], []
    for each in ERRORS:
        error = each.clone().requires_grad_()
        depth = target * (1 + error * square)
        loss = depth_loss(name, depth, depth.reciprocal(), target, None, intrinsics=INTRINSICS)
        values.append(loss.item())
        slopes.append(torch.autograd.grad(loss, error)[0].item())
    return values, slopes


def draw(path: Path) -> None:
    """A panel for each loss: its value on the left scale, its derivative on the right one."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 5, figsize=(13, 5), sharex=True, layout="constrained")
    for axis, name in zip(axes.flat, NAMES, strict=True):
        values, slopes = curve(name)
        right = axis.twinx()
        (value,) = axis.plot(ERRORS, values, color="C0", label="loss")
        (slope,) = right.plot(ERRORS, slopes, color="C1", linewidth=1, label="derivative by e")
        axis.set_title(name)
        axis.tick_params(axis="y", colors="C0", labelsize=7)
        right.tick_params(axis="y", colors="C1", labelsize=7)
        axis.grid(alpha=0.3)
    for axis in axes[1]:
        axis.set_xlabel("e, relative error of the square")
    figure.legend(handles=[value, slope], loc="outside upper right", ncols=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--figure", type=Path, default=Path("docs/images/depth_losses.png"), help="where it goes")
    draw(parser.parse_args().figure)


if __name__ == "__main__":
    main()
