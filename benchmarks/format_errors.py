"""What each format loses: python benchmarks/format_errors.py FILE [-m MODEL] [--splat_transform COMMAND]

FILE is written in every format, and as viewer.html has it, and read again. The table has the largest error of a
position, root mean square errors of the rest, and with -m the PSNR of renders of FILE against those of what came back,
from the training cameras of a model. --splat_transform is the command of @playcanvas/splat-transform, an independent
reader and writer: each format is then also read and written by it, and compared with the same errors.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch
from scipy.spatial import cKDTree

from gaussian_renderer import RenderSettings, render
from gaussian_renderer.trained import load_trained_scene, read_options
from scene.editing import multiply_quats, rows
from scene.gaussians.model import Gaussians
from scene.io import FORMATS, page_scene, read_gaussians, write_gaussians
from scene.io.packing import colors_of
from scene.types import GaussianArrays, Scene
from utils.text import table

PAGE = ".html"  # is only written: what it holds is measured by itself
CANDIDATES = 8  # places near a Gaussian's among which its like is looked for: formats may change the order
VIEWS = 8
LEAST_SEEN = 1.5 / 255  # opacity: what rounds to 0 or 1 in 8 bits is not drawn, and WebP keeps no color of it
READ_BY_OTHERS = (".ply", ".compressed.ply", ".splat", ".spz", ".sog")
WRITTEN_BY_OTHERS = (".ply", ".compressed.ply", ".spz", ".sog", ".glb")
HEADER = ("format", "bytes/Gaussian", "position", "log scale", "angle (deg)", "opacity", "color", "SH", "SH corr")


def paired(one: GaussianArrays, other: GaussianArrays) -> GaussianArrays:
    """`other` in the order of `one`, by place, size and what is seen of the color.

    Places count in parts of the distance to the last candidate. A color is multiplied by the opacity: WebP keeps none
    where that is 0, and a Gaussian of another place must not be taken for it.
    """

    def key(cloud: GaussianArrays) -> np.ndarray:
        opacity = alphas(cloud)
        return np.concatenate([cloud.scales, colors_of(cloud.shs[:, 0]) * opacity, opacity], axis=1)

    away, near = cKDTree(other.means).query(one.means, k=min(CANDIDATES, len(other.means)))
    away, near = away.reshape(len(one.means), -1), near.reshape(len(one.means), -1)
    squares = np.square(key(other)[near] - key(one)[:, None]).sum(axis=2)
    squares += np.square(away / np.maximum(away[:, -1:], np.finfo(np.float64).tiny))
    return rows(other, near[np.arange(len(near)), squares.argmin(axis=1)])


def alphas(cloud: GaussianArrays) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-cloud.opacities.astype(np.float64))))


def errors(one: GaussianArrays, other: GaussianArrays) -> list[str]:
    """A cell of the table for each kind of number."""
    if len(one.means) != len(other.means):
        return [f"{len(other.means):,} of {len(one.means):,} Gaussians"] + [""] * 6
    other = paired(one, other)
    doubles = [each.quats.astype(np.float64) for each in (one, other)]
    quats = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in doubles]
    between = multiply_quats(quats[0] * (1, -1, -1, -1), quats[1])
    angles = 2 * np.degrees(np.arccos(np.minimum(np.abs(between).max(axis=1), 1)))  # an axis may point backward
    degree = min(one.shs.shape[1], other.shs.shape[1])
    rest = [each.shs[:, 1:degree].ravel() for each in (one, other)]
    known = degree > 1 and min(each.std() for each in rest) > 0
    seen = alphas(one)[:, 0] >= LEAST_SEEN
    return [
        f"{np.abs(one.means - other.means).max():.2g}",
        f"{rms(one.scales - other.scales):.2g}",
        f"{rms(angles):.2g}",
        f"{rms(alphas(one) - alphas(other)):.2g}",
        f"{rms(colors_of(one.shs[seen, 0]) - colors_of(other.shs[seen, 0])):.2g}",
        f"{rms(rest[0] - rest[1]):.2g}" if degree > 1 else "-",
        f"{np.corrcoef(rest[0], rest[1])[0, 1]:.4f}" if known else "-",
    ]


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


@torch.no_grad()
def render_psnr(one: GaussianArrays, other: GaussianArrays, scene: Scene) -> str:
    """Decibels between renders of two clouds from some training cameras."""
    squares = []
    for view in scene.train[:: -(-len(scene.train) // VIEWS)]:
        pictures = []
        for cloud in (one, other):
            gaussians = Gaussians.from_arrays(cloud)
            settings = RenderSettings(scene.near, gaussians.sh_degree)
            pictures.append(render(gaussians, view.camera, torch.zeros(3), settings).color.clamp(0, 1))
        squares.append(float((pictures[0] - pictures[1]).square().mean()))
    return f"{-10 * np.log10(max(float(np.mean(squares)), 1e-12)):.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("-m", "--model_path", type=Path)
    parser.add_argument("--splat_transform", default="", metavar="COMMAND")
    options = parser.parse_args()
    original = read_gaussians(options.file)
    scene = None
    if options.model_path:
        scene = load_trained_scene(options.model_path, read_options(options.model_path).model)
    lines = [[*HEADER, "PSNR of renders"]]
    with tempfile.TemporaryDirectory() as place:
        start = Path(place) / "start.ply"
        write_gaussians(start, original)

        def convert(source: Path, target: Path) -> None:
            command = [*shlex.split(options.splat_transform), "-q", "-w", "-g", "cpu", str(source), str(target)]
            subprocess.run(command, check=True, capture_output=True)

        def add(name: str, size: int, cloud: GaussianArrays) -> None:
            seen = render_psnr(original, cloud, scene) if scene else "-"
            lines.append([name, f"{size / len(original.means):.1f}", *errors(original, cloud), seen])

        for suffix in (each for each in FORMATS if each != PAGE):
            path = Path(place) / f"ours{suffix}"
            write_gaussians(path, original)
            add(suffix, path.stat().st_size, read_gaussians(path))
            if options.splat_transform and suffix in READ_BY_OTHERS:
                convert(path, Path(place) / "read.ply")
                add(f"{suffix}, read by splat-transform", path.stat().st_size, read_gaussians(Path(place) / "read.ply"))
            if options.splat_transform and suffix in WRITTEN_BY_OTHERS:
                theirs = Path(place) / f"theirs{suffix}"
                convert(start, theirs)
                add(f"{suffix}, written by splat-transform", theirs.stat().st_size, read_gaussians(theirs))
        packed = page_scene.pack(original)
        (Path(place) / "page.ply").write_bytes(page_scene.unpack(packed))
        add("in viewer.html", len(packed.packed), read_gaussians(Path(place) / "page.ply"))
    print(table(lines))


if __name__ == "__main__":
    main()
