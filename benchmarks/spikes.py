"""What the distortion's gradient and the pruning do to spikes: one scene, one seed, six ways to train.

    python benchmarks/spikes.py SCENE [SCENE ...] [--iterations 3000] [--folder out/spikes] [-- more flags of train.py]

The variants: no distortion; the approximation that trainers have used, which gives 0.1 × the gradient of the mean
distortion to the inverse depth and drops the rest (made here, around the rasterizer); the exact gradient of the same;
that of the mean under --dist_scale; that with the ray direction's term; that with pruning, which is the default.
Against the true surface where the scene has truth/points.ply, as the synthetic one has, else against its fused depth
maps. Writes table.md and, for each scene, a figure into the folder.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from figure_table import markdown_table
from spike_metrics import MIN_ASPECT, MIN_DISTANCE, opacities_of, spike_metrics

from diff_gaussian_rasterization import RasterOutput
from scene import load_scene
from scene.depth.fusion import back_project
from scene.io import read_gaussians
from scene.io.points import read_points
from scene.types import GaussianArrays, Scene
from utils.image_io import read_png

ROOT = Path(__file__).resolve().parents[1]
UNPRUNED = ("--prune_min_weight", "0", "--floater_views", "0", "--spike_ratio", "0")
VARIANTS: dict[str, tuple[str, ...]] = {
    "no distortion": (*UNPRUNED, "--lambda_dist", "0"),
    "approximation": (*UNPRUNED, "--dist_scale", "0"),
    "exact, plain mean": (*UNPRUNED, "--dist_scale", "0"),
    "exact": UNPRUNED,
    "exact + ray direction": (*UNPRUNED, "--lambda_ray", "0.1"),
    "exact + pruning": (),
}
APPROXIMATED = "approximation"
PART_OF_INVERSE_DEPTH = 0.1
COLUMNS = (
    "variant", "spikes", "spikes, % of opacity", "thickness, median", "thickness, p90", "N", "PSNR", "SSIM",
    "train PSNR", "depth MAE", "depth RMSE", "distortion at start", "at 10 %", "at the end",
)  # fmt: skip


# ---- training


def approximate(output: RasterOutput) -> RasterOutput:
    """The same images, but of the distortion's gradient 0.1 × goes to the inverse depth and nothing anywhere else."""
    carrier = PART_OF_INVERSE_DEPTH * (output.inv_depth - output.inv_depth.detach())
    return output._replace(distortion=output.distortion.detach() + carrier)


def train_approximated(flags: Sequence[str]) -> None:
    """train.py with that fault put in; the alarm for terms without effect has nothing to say of it."""
    import train
    from training import corrections

    honest = corrections.render
    corrections.render = lambda *arguments, **named: approximate(honest(*arguments, **named))
    train.main(flags)


def train_variant(scene: Path, name: str, folder: Path, iterations: int, flags: Sequence[str]) -> None:
    command = [sys.executable, str(ROOT / "train.py")]
    if name == APPROXIMATED:
        command = [sys.executable, str(Path(__file__).resolve()), "--train-approximated"]
    common = ["-s", str(scene), "-m", str(folder), "--eval", "--quiet", "--overwrite", "--iterations", str(iterations)]
    subprocess.run([*command, *common, *flags, *VARIANTS[name]], check=True)
    subprocess.run([sys.executable, str(ROOT / "render.py"), "-m", str(folder), "--quiet"], check=True)


# ---- measuring


def surface_of(path: Path, scene: Scene) -> np.ndarray:
    """(P,3) points on the true surface, or on the fused depth maps, much denser than what is to be told apart."""
    truth = path / "truth" / "points.ply"
    if truth.exists():
        return read_points(truth).positions
    views = [view for view in (*scene.train, *scene.test) if view.depth is not None]
    return np.concatenate([back_project(view, 3)[0] for view in views])


def measure_variant(folder: Path, gaussians: GaussianArrays, surface: np.ndarray, extent: float) -> dict[str, Any]:
    spikes = spike_metrics(gaussians, surface, extent)
    results = next(iter(json.loads((folder / "results.json").read_text()).values()))
    log = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    distortion = [line["depth_distortion"]["mean"] for line in log if "depth_distortion" in line]
    depth = results.get("depth", {})
    return {
        "spikes": spikes.spikes,
        "spikes, % of opacity": 100 * spikes.spike_share,
        "thickness, median": spikes.thickness_median,
        "thickness, p90": spikes.thickness_p90,
        "N": len(gaussians.means),
        "PSNR": results["PSNR"],
        "SSIM": results["SSIM"],
        "train PSNR": train_psnr(folder),
        "depth MAE": depth.get("MAE", float("nan")),
        "depth RMSE": depth.get("RMSE", float("nan")),
        "distortion at start": distortion[0],
        "at 10 %": distortion[len(distortion) // 10],
        "at the end": distortion[-1],
    }


def train_psnr(folder: Path) -> float:
    """Mean PSNR of the rendered training views."""
    from utils.metrics.renders import measure_folder

    scores = [each["PSNR"] for each in measure_folder(next((folder / "train").iterdir())).values()]
    return float(np.mean([score for score in scores if score is not None]))


def table(rows: dict[str, dict[str, Any]]) -> str:
    """The rows as Markdown."""
    return markdown_table(COLUMNS, ([name, *(row[column] for column in COLUMNS[1:])] for name, row in rows.items()))


# ---- the figure


def draw(path: Path, folders: dict[str, Path], clouds: dict[str, GaussianArrays], surface: np.ndarray) -> None:
    """Cross-sections of the clouds above the same held-out view, and its depth, of each variant."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    low, high = np.percentile(surface, (1, 99), axis=0)
    flat = int(np.argmin(high - low))  # the slab lies across the shortest side
    across, middle = [axis for axis in range(3) if axis != flat], (low[flat] + high[flat]) / 2
    half = 0.05 * (high[flat] - low[flat])
    figure, axes = pyplot.subplots(3, len(folders), figsize=(4 * len(folders), 9.5), layout="constrained")
    for column, (name, folder) in enumerate(folders.items()):
        gaussians, axis = clouds[name], axes[0, column]
        near = np.abs(surface[:, flat] - middle) < half
        axis.scatter(*surface[near][:, across].T, s=0.2, color="lightgray")
        near = np.abs(gaussians.means[:, flat] - middle) < half
        axis.scatter(*gaussians.means[near][:, across].T, s=3 * opacities_of(gaussians)[near], color="crimson")
        axis.set(title=name, aspect="equal", xticks=[], yticks=[])
        axis.set_xlim(low[across[0]], high[across[0]])
        axis.set_ylim(low[across[1]], high[across[1]])
        rendered = next((folder / "test").iterdir())
        first = sorted((rendered / "renders").glob("*.png"))[0].name
        for row, kind in ((1, "renders"), (2, "depth")):
            axes[row, column].imshow(read_png(rendered / kind / first))
            axes[row, column].axis("off")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)
    pyplot.close(figure)


# ---- the command line


def run_scene(path: Path, folder: Path, iterations: int, flags: Sequence[str]) -> str:
    """Train and measure all variants of a scene; returns its part of the document."""
    folders = {name: folder / path.resolve().name / name.replace(" ", "_") for name in VARIANTS}
    rows, clouds = {}, {}
    scene = load_scene(path, eval_split=True)
    surface = surface_of(path, scene)
    for name, place in folders.items():
        train_variant(path, name, place, iterations, flags)
        clouds[name] = read_gaussians(place / "point_cloud" / f"iteration_{iterations}" / "point_cloud.ply")
        rows[name] = measure_variant(place, clouds[name], surface, scene.extent)
        print(json.dumps({"scene": path.name, "variant": name, **rows[name]}), flush=True)
    draw(folder / f"{path.resolve().name}.jpg", folders, clouds, surface)
    return f"## {path.resolve().name}, {iterations:,} iterations, extent {scene.extent:.3g}\n\n{table(rows)}\n"


def main() -> None:
    if sys.argv[1:2] == ["--train-approximated"]:
        sys.path.insert(0, str(ROOT))
        train_approximated(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", type=Path, nargs="+", metavar="SCENE", help="dataset folders with depth")
    parser.add_argument("--iterations", type=int, default=3000, help="training steps")
    parser.add_argument("--folder", type=Path, default=Path("out/spikes"), help="where everything goes")
    known = sys.argv[1:]
    end = known.index("--") if "--" in known else len(known)
    arguments, flags = parser.parse_args(known[:end]), known[end + 1 :]
    note = (
        f"A spike is a Gaussian with longest over middle axis of more than {MIN_ASPECT:g} and an end farther than "
        f"{100 * MIN_DISTANCE:g} % of the extent from the surface, summed by opacity. Lengths in scene units."
    )
    parts = [run_scene(path, arguments.folder, arguments.iterations, flags) for path in arguments.scenes]
    (arguments.folder / "table.md").write_text("\n".join([note, "", *parts]))


if __name__ == "__main__":
    main()
