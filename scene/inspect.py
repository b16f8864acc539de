"""What a file of Gaussians holds: python -m scene.inspect FILE

FILE is of any format that scene.io reads, or the folder of a model, whose last point cloud is looked at.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scene.io import oddities, read_gaussians
from scene.spherical_harmonics import SH_DC, degree_of
from scene.types import GaussianArrays
from utils.console import Parser, run_script, say
from utils.output_dir import find_iteration, point_cloud_path
from utils.text import count_text

NEEDLE = 10.0  # longest over middle axis from which a Gaussian is one, as --spike_ratio has it
ROBUST = (0.01, 0.99)  # quantiles between which most positions lie
OPACITIES = (  # of the histogram, from each up to the next
    (0.0, "below 1/255"),
    (1 / 255, "up to 0.05"),
    (0.05, "up to 0.5"),
    (0.5, "up to 0.95"),
    (0.95, "above"),
)


def report(gaussians: GaussianArrays) -> list[str]:
    """What is found, a line each."""
    count = len(gaussians.means)
    degree = degree_of(gaussians.shs.shape[1])
    lines = [f"{count_text(count, 'Gaussian')}, spherical harmonics of degree {degree}"]
    if count == 0:
        return lines
    lengths = np.linalg.norm(gaussians.quats.astype(np.float64), axis=1)
    lines += [*_positions(gaussians.means), *_scales(gaussians.scales)]
    lines += [f"Quaternions: lengths {lengths.min():.3g} to {lengths.max():.3g}"]
    return [*lines, *_opacities(gaussians), *_colors(gaussians)]


def _positions(means: np.ndarray) -> list[str]:
    low, high = np.quantile(means, ROBUST, axis=0)
    ends = [means.min(axis=0), means.max(axis=0)]
    return [
        f"Bounding box, 1st to 99th percentile: {_triple(low)} to {_triple(high)}, size {_triple(high - low)}",
        f"Bounding box, all: {_triple(ends[0])} to {_triple(ends[1])}, size {_triple(ends[1] - ends[0])}",
    ]


def _scales(logarithms: np.ndarray) -> list[str]:
    short, middle, long = np.sort(logarithms.astype(np.float64), axis=1).T
    sizes = np.exp(np.quantile(logarithms, (0, 0.01, 0.5, 0.99, 1)))
    aspects = np.exp(np.quantile(long - short, (0.5, 0.99, 1)))
    needles = long - middle > np.log(NEEDLE)
    return [
        "Standard deviations: least {:.3g}, 1 % {:.3g}, median {:.3g}, 99 % {:.3g}, largest {:.3g}".format(*sizes),
        "Aspect ratios, longest to shortest axis: median {:.3g}, 99 % {:.3g}, largest {:.3g}".format(*aspects),
        f"Needles, longest over {NEEDLE:g} times the middle axis: {needles.sum():,} ({_percent(needles)})",
    ]


def _opacities(gaussians: GaussianArrays) -> list[str]:
    alphas = 1 / (1 + np.exp(-gaussians.opacities[:, 0].astype(np.float64)))
    ends = [*(start for start, _ in OPACITIES[1:]), np.inf]
    parts = [
        f"{_percent((alphas >= start) & (alphas < end))} {words}"
        for (start, words), end in zip(OPACITIES, ends, strict=True)
    ]
    return [f"Opacities: median {np.median(alphas):.3g}; {', '.join(parts)}"]


def _colors(gaussians: GaussianArrays) -> list[str]:
    colors = 0.5 + SH_DC * gaussians.shs[:, 0]
    outside = np.asarray(((colors < 0) | (colors > 1)).any(axis=1))
    low, high = colors.min(), colors.max()
    lines = [
        f"Colors: {low:.3g} to {high:.3g}, mean {_triple(colors.mean(axis=0))}; {_percent(outside)} outside 0 to 1"
    ]
    if gaussians.shs.shape[1] > 1:
        rest = gaussians.shs[:, 1:]
        size, none = np.sqrt(np.square(rest, dtype=np.float64).mean()), np.asarray(~rest.any(axis=(1, 2)))
        span = f"{rest.min():.3g} to {rest.max():.3g}, root mean square {size:.3g}"
        lines.append(f"Spherical harmonics above degree 0: {span}; {_percent(none)} have none")
    return lines


def _triple(values: np.ndarray) -> str:
    return "(" + ", ".join(f"{value:.4g}" for value in values) + ")"


def _percent(chosen: np.ndarray) -> str:
    share = 100 * chosen.mean()
    return f"{share:.1f} %" if share >= 0.05 or share == 0 else "<0.1 %"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = Parser(prog="python -m scene.inspect", description="Print what a file of Gaussians holds.")
    parser.add_argument("file", type=Path, help="file of Gaussians, or folder of a model")
    path: Path = parser.parse_args(arguments).file
    if path.is_dir():
        path = point_cloud_path(path, find_iteration(path, -1))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gaussians = read_gaussians(path)
    say(f"{path}: {path.stat().st_size:,} bytes")
    found = [*oddities(path), *(str(warning.message).removeprefix(f"{path}: ") for warning in caught)]
    for line in (*report(gaussians), *(f"Odd: {each}" for each in found)):
        say(line)
    if not found:
        say("nothing odd")


if __name__ == "__main__":
    run_script(main)
