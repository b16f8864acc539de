"""What each distortion and the terms beside it do to spikes, depth and the views off the path.

    python benchmarks/spikes.py SCENE [SCENE ...] [--iterations 3000] [--only NAME ...] [--seeds 0 1 2] \\
      [--folder out/spikes] [-- more flags of train.py]

The variants: no distortion, with pruning and without; the approximation that trainers have used, which gives 0.1 × the
gradient of the mean distortion to the inverse depth and drops the rest (made here, around the rasterizer); the exact
gradient of the same, of its logarithm, and of each surface apart (--distortion plain, log, gap); the logarithm with the
depth of centers. These are without the sensor's term and the effective rank; with both the logarithm is the default, to
which come splits along the longest axis, or the normals' term. Prune as by default all but the first; for the
clouds as they grow give -- --prune_min_weight 0 --floater_views 0 --spike_ratio 0.

Against the true surface where the scene has truth/points.ply, as the synthetic one has, else against its fused depth
maps; without either there is no distance to tell a spike by, and needles are counted whatever they lie on. "far" is off
the path of the photos, where the scene has such views (test_far/). Writes table.md and, for each scene, a figure into
the folder; a variant that has its results there already is not trained again.
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
from spike_metrics import MIN_ASPECT, MIN_DISTANCE, ends_of, needles_of, opacities_of, spike_metrics

from diff_gaussian_rasterization import RasterOutput
from gaussian_renderer.sharded import Batch, Request
from scene import load_scene
from scene.depth.fusion import back_project
from scene.gaussians.model import Gaussians
from scene.io import read_gaussians
from scene.io.points import read_points
from scene.types import GaussianArrays, Scene
from training import batch
from utils.image_io import read_png

ROOT = Path(__file__).resolve().parents[1]
NO_DISTORTION = ("--lambda_dist", "0")
UNPRUNED = ("--prune_min_weight", "0", "--floater_views", "0", "--spike_ratio", "0")
NO_SENSOR = ("--lambda_sensor", "0")
NO_RANK = ("--lambda_erank", "0")
NORMAL = ("--lambda_normal", "15000:0 15001:0.05")
LONG_AXIS = ("--split", "long_axis")
VARIANTS: dict[str, tuple[str, ...]] = {
    "unpruned, no distortion": (*NO_RANK, *NO_SENSOR, *NO_DISTORTION, *UNPRUNED),
    "no distortion": (*NO_RANK, *NO_SENSOR, *NO_DISTORTION),
    "approximation": (*NO_RANK, *NO_SENSOR, "--distortion", "plain"),
    "plain": (*NO_RANK, *NO_SENSOR, "--distortion", "plain"),
    "log": (*NO_RANK, *NO_SENSOR, "--distortion", "log"),
    "log, centers": (*NO_RANK, *NO_SENSOR, "--distortion", "log", "--depth_model", "center"),
    "gap": (*NO_RANK, *NO_SENSOR, "--distortion", "gap"),
    "log + sensor": NO_RANK,
    "log + sensor + rank": (),
    "log + sensor + rank + long axis": LONG_AXIS,
    "log + sensor + rank + normals": NORMAL,
}
APPROXIMATED = "approximation"
PART_OF_INVERSE_DEPTH = 0.1
COLUMNS = (
    "variant", "spikes", "spikes, % of opacity", "needles, % of opacity", "thickness, median", "thickness, p90", "N",
    "PSNR", "SSIM", "train PSNR", "depth MAE", "depth median", "depth RMSE", "far PSNR", "far SSIM", "far depth median",
    "far, % before the surface", "distortion at start", "at 10 %", "at the end",
)  # fmt: skip


# ---- training


def approximate(output: RasterOutput) -> RasterOutput:
    """The same images, but of the distortion's gradient 0.1 × goes to the inverse depth and nothing anywhere else."""
    carrier = PART_OF_INVERSE_DEPTH * (output.inv_depth - output.inv_depth.detach())
    return output._replace(distortion=output.distortion.detach() + carrier)


def train_approximated(flags: Sequence[str]) -> None:
    """train.py with that fault put in; the alarm for terms without effect has nothing to say of it."""
    import train

    honest = batch.render_batch

    def faulty(gaussians: Gaussians, requests: Sequence[Request]) -> Batch:
        made = honest(gaussians, requests)
        outputs = [None if view.output is None else approximate(view.output) for view in made.views]
        return made._replace(
            views=[view._replace(output=output) for view, output in zip(made.views, outputs, strict=True)]
        )

    batch.render_batch = faulty
    train.main(flags)


def train_variant(scene: Path, name: str, folder: Path, iterations: int, flags: Sequence[str]) -> None:
    """Train and render, unless the folder has the result."""
    if (folder / "results.json").exists() and any(folder.glob("train/*/renders/*.png")):
        return
    command = [sys.executable, str(ROOT / "train.py")]
    if name == APPROXIMATED:
        command = [sys.executable, str(Path(__file__).resolve()), "--train-approximated"]
    common = ["-s", str(scene), "-m", str(folder), "--eval", "--quiet", "--overwrite", "--iterations", str(iterations)]
    subprocess.run([*command, *common, *flags, *VARIANTS[name]], check=True)
    subprocess.run([sys.executable, str(ROOT / "render.py"), "-m", str(folder), "--quiet"], check=True)


# ---- measuring


def surface_of(path: Path, scene: Scene) -> np.ndarray:
    """(P,3) points on the true surface, or on the fused depth maps, much denser than what is to be told apart; none
    where the scene has neither."""
    truth = path / "truth" / "points.ply"
    if truth.exists():
        return read_points(truth).positions
    views = [view for view in (*scene.train, *scene.test) if view.depth is not None]
    return np.concatenate([np.zeros((0, 3), np.float32), *(back_project(view, 3)[0] for view in views)])


def measure_variant(folder: Path, gaussians: GaussianArrays, surface: np.ndarray, extent: float) -> dict[str, Any]:
    spikes = spike_metrics(gaussians, surface, extent) if len(surface) else None
    results = next(iter(json.loads((folder / "results.json").read_text()).values()))
    log = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    distortion = [line["depth_distortion"]["mean"] for line in log if "depth_distortion" in line]
    depth, far = results.get("depth", {}), results.get("far", {})
    before = far.get("depth", {}).get("in_front")
    opacities = opacities_of(gaussians)
    return {
        "spikes": spikes and spikes.spikes,
        "spikes, % of opacity": spikes and 100 * spikes.spike_share,
        "needles, % of opacity": float(100 * opacities[needles_of(gaussians)].sum() / opacities.sum()),
        "thickness, median": spikes and spikes.thickness_median,
        "thickness, p90": spikes and spikes.thickness_p90,
        "N": len(gaussians.means),
        "PSNR": results["PSNR"],
        "SSIM": results["SSIM"],
        "train PSNR": train_psnr(folder),
        "depth MAE": depth.get("MAE"),
        "depth median": depth.get("median"),
        "depth RMSE": depth.get("RMSE"),
        "far PSNR": far.get("PSNR"),
        "far SSIM": far.get("SSIM"),
        "far depth median": far.get("depth", {}).get("median"),
        "far, % before the surface": before if before is None else 100 * before,
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
    """Of each variant the cloud from above with needles as lines, a held-out view, its depth, a view off the path."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = [("test", "renders"), ("test", "depth"), ("far", "renders")]
    rows = [row for row in rows if all(any(folder.glob(f"{row[0]}/*/{row[1]}/*.png")) for folder in folders.values())]
    size = (4 * len(folders), 3.2 * (1 + len(rows)))
    figure, axes = pyplot.subplots(1 + len(rows), len(folders), figsize=size, layout="constrained", squeeze=False)
    for column, (name, folder) in enumerate(folders.items()):
        draw_cloud(axes[0, column], clouds[name], surface)
        axes[0, column].set_title(name)
        for axis, (part, kind) in zip(axes[1:, column], rows, strict=True):
            axis.imshow(read_png(min(next((folder / part).iterdir()).joinpath(kind).glob("*.png"))))
            axis.axis("off")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)
    pyplot.close(figure)


def draw_cloud(axis: Any, gaussians: GaussianArrays, surface: np.ndarray) -> None:
    """The slab across the shortest side of the surface, or of the cloud; each needle from end to end."""
    from matplotlib.collections import LineCollection

    opacities, needles = opacities_of(gaussians), needles_of(gaussians)
    solid = surface if len(surface) else gaussians.means[opacities > 0.5]
    low, high = np.percentile(solid, (1, 99), axis=0)
    flat = int(np.argmin(high - low))
    across, middle, half = [k for k in range(3) if k != flat], (low[flat] + high[flat]) / 2, (high - low)[flat] / 10
    near = np.abs(surface[:, flat] - middle) < half
    axis.scatter(*surface[near][:, across].T, s=0.2, color="lightgray")
    near = np.abs(gaussians.means[:, flat] - middle) < half
    axis.scatter(*gaussians.means[near & ~needles][:, across].T, s=3 * opacities[near & ~needles], color="steelblue")
    lines, shown = ends_of(gaussians)[near & needles][:, :, across], opacities[near & needles]
    axis.add_collection(
        LineCollection(list(lines), colors=[(0.86, 0.08, 0.24, alpha) for alpha in shown], linewidths=1)
    )
    axis.set(aspect="equal", xticks=[], yticks=[])
    axis.set_xlim(low[across[0]], high[across[0]])
    axis.set_ylim(low[across[1]], high[across[1]])


# ---- the command line


def run_scene(
    path: Path, folder: Path, iterations: int, names: Sequence[str], seeds: Sequence[int], flags: Sequence[str]
) -> str:
    """Train and measure variants of a scene; returns its part of the document."""
    places = {(name if len(seeds) == 1 else f"{name}, seed {seed}"): (name, seed) for name in names for seed in seeds}
    folders = {
        row: folder / path.resolve().name / f"{name.replace(' ', '_')}_{seed}" for row, (name, seed) in places.items()
    }
    rows, clouds = {}, {}
    scene = load_scene(path, eval_split=True)
    surface = surface_of(path, scene)
    for row, (name, seed) in places.items():
        train_variant(path, name, folders[row], iterations, [*flags, "--seed", str(seed)])
        ply = folders[row] / "point_cloud" / f"iteration_{iterations}" / "point_cloud.ply"
        clouds[row] = read_gaussians(ply)
        rows[row] = measure_variant(folders[row], clouds[row], surface, scene.extent)
        print(json.dumps({"scene": path.name, "variant": row, **rows[row]}), flush=True)
    draw(folder / f"{path.resolve().name}.jpg", folders, clouds, surface)
    return f"## {path.resolve().name}, {iterations:,} iterations, extent {scene.extent:.3g}\n\n{table(rows)}\n"


def main() -> None:
    if sys.argv[1:2] == ["--train-approximated"]:
        sys.path.insert(0, str(ROOT))
        train_approximated(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", type=Path, nargs="+", metavar="SCENE", help="dataset folders")
    parser.add_argument("--iterations", type=int, default=3000, help="training steps")
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), default=list(VARIANTS), help="variants to train")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of each variant, a run")
    parser.add_argument("--folder", type=Path, default=Path("out/spikes"), help="where everything goes")
    known = sys.argv[1:]
    end = known.index("--") if "--" in known else len(known)
    arguments, flags = parser.parse_args(known[:end]), known[end + 1 :]
    note = (
        f"A spike is a Gaussian with longest over middle axis of more than {MIN_ASPECT:g} and an end farther than "
        f"{100 * MIN_DISTANCE:g} % of the extent from the surface, summed by opacity. Lengths in scene units, the "
        "distortion in extents², without the logarithm; with gap it is that of each surface apart."
    )
    chosen = arguments.only, arguments.seeds, flags
    parts = [run_scene(path, arguments.folder, arguments.iterations, *chosen) for path in arguments.scenes]
    arguments.folder.mkdir(parents=True, exist_ok=True)
    (arguments.folder / "table.md").write_text("\n".join([note, "", *parts]))


if __name__ == "__main__":
    main()
