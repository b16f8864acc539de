"""The pictures of docs/troubleshooting.md: what each fault looks like, beside the same view without it.

    python benchmarks/make_trouble_pictures.py [--folder out/trouble] [--pictures docs/images] [--only NAME ...]

Makes two small synthetic scenes, trains them with the fault and without (a few minutes on 2 cores), and draws a view of
each. Runs that are in the folder already are not made again.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
import torch

from gaussian_renderer import RenderSettings, background_color, render
from gaussian_renderer.render_views import maps
from scene import load_scene
from scene.gaussians.model import Gaussians
from scene.io import read_gaussians
from scene.paths.lens import PathLens
from scene.paths.poses import look_along
from scene.types import Camera, Scene
from utils.files import atomic_write
from utils.image_io import ColorScale, depth_scale, to_bytes

matplotlib.use("Agg")
from matplotlib import pyplot as plt

ROOT = Path(__file__).resolve().parents[1]
SCENES = {
    "room": "--views 32 --width 200 --height 150",
    "object": "--scene object --views 40 --width 160",
}
UNPRUNED = "--prune_min_weight 0 --floater_views 0 --spike_ratio 0 --lambda_dist 0"
FEW = [f"{k:05d}.png" for k in range(32) if k % 4]  # held out: 8 of 32 photos are left to train on
RUNS = {
    "room": "room",
    "spikes": f"room -d none {UNPRUNED}",
    "floaters": f"room -d none {UNPRUNED} --test_images {' '.join(FEW)}",
    "few": f"room --test_images {' '.join(FEW)}",
    "scale": "room --depth_scale 0.0013",
    "small": "room --strategy budget --max_gaussians 4000",
    "half": "room -r 2",
    "object": "object",
    "fog": f"object --lambda_alpha 0 {UNPRUNED}",
}  # the scene, and flags of train.py
ITERATIONS = 500
ASIDE = np.array([0.5, -0.6, 0.0])  # metres, from a training camera to where needles show; the world's y points down
SIZE = (200, 150)  # pixels, of a panel of the room
QUALITY = 82  # of the JPEGs


class Trained(NamedTuple):
    """A run, ready to be drawn."""

    folder: Path
    scene: Scene
    gaussians: Gaussians

    @classmethod
    def of(cls, folder: Path) -> Trained:
        model = json.loads((folder / "config.json").read_text())["model"]
        scene = load_scene(Path(model["source_path"]), eval_split=True)
        path = folder / "point_cloud" / f"iteration_{ITERATIONS}" / "point_cloud.ply"
        return cls(folder, scene, Gaussians.from_arrays(read_gaussians(path), torch.device("cpu")))

    @torch.no_grad()
    def draw(self, camera: Camera, white: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Color, (H,W,3) uint8; depth, (H,W) world units; and where there is any."""
        settings = RenderSettings(self.scene.near, self.gaussians.sh_degree)
        output = render(self.gaussians, camera, background_color(white, self.gaussians.device), settings)
        depth, _, hit = maps(output)
        return to_bytes(output.color), depth, hit

    def facts(self) -> str:
        """For a title."""
        run = json.loads((self.folder / "run.json").read_text())
        size = (self.folder / "point_cloud" / f"iteration_{ITERATIONS}" / "point_cloud.ply").stat().st_size
        return f"{run['gaussians']:,} Gaussians, {size / 1e6:.1f} MB, {run['seconds']:.0f} s"


class Runs:
    """The runs, each made when first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._done: dict[str, Trained] = {}

    def __getitem__(self, name: str) -> Trained:
        if name not in self._done:
            self._done[name] = Trained.of(self._trained(name))
        return self._done[name]

    def _trained(self, name: str) -> Path:
        scene, *flags = RUNS[name].split()
        source, model = self.folder / f"scene_{scene}", self.folder / name
        if not source.exists():
            _python("-m", "scene.synthetic", str(source), *SCENES[scene].split())
        if not (model / "point_cloud" / f"iteration_{ITERATIONS}").exists():
            steps = ("--iterations", str(ITERATIONS), "--eval", "--overwrite", "--quiet")
            _python("train.py", "-s", str(source), "-m", str(model), *steps, *flags)
        return model

    @cached_property
    def held_out(self) -> Camera:
        return self["room"].scene.test[1].camera

    @cached_property
    def aside(self) -> Camera:
        """A place where no photo was taken from, with the same things before it."""
        train = [view.camera for view in self["room"].scene.train]
        camera = train[len(train) // 2]
        eye, focus = camera.center + ASIDE, camera.center + 2.4 * camera.camera_from_world[2, :3]
        return PathLens.like(train, SIZE).camera("aside", look_along(eye, focus - eye, np.array([0.0, -1.0, 0.0])))


Panel = tuple[str, np.ndarray]


def spikes(runs: Runs) -> list[Panel]:
    return [
        ("no depth, no pruning", runs["spikes"].draw(runs.aside)[0]),
        ("default", runs["room"].draw(runs.aside)[0]),
    ]


def fog(runs: Runs) -> list[Panel]:
    camera = runs["object"].scene.test[0].camera
    return [
        ("--lambda_alpha 0, over white", runs["fog"].draw(camera, white=True)[0]),
        ("default, over white", runs["object"].draw(camera, white=True)[0]),
    ]


def floaters(runs: Runs) -> list[Panel]:
    colors = _colors(runs["few"].draw(runs.held_out))
    panels = []
    for title, name in (("8 photos, no depth, no pruning", "floaters"), ("8 photos, default", "few")):
        color, depth, hit = runs[name].draw(runs.held_out)
        panels += [(title, color), ("its depth", colors.paint(depth, hit))]
    return panels


def wrong_scale(runs: Runs) -> list[Panel]:
    colors = _colors(runs["room"].draw(runs.held_out))
    panels = []
    for title, name in (("--depth_scale 30 % too large", "scale"), ("default: detected", "room")):
        color, depth, hit = runs[name].draw(runs.held_out)
        panels += [(title, color), ("its depth", colors.paint(depth, hit))]
    return panels


def too_big(runs: Runs) -> list[Panel]:
    return [
        (f"{title}\n{runs[name].facts()}", runs[name].draw(runs.held_out)[0])
        for title, name in (("default", "room"), ("--strategy budget --max_gaussians 4000", "small"), ("-r 2", "half"))
    ]


PICTURES: dict[str, Callable[[Runs], list[Panel]]] = {
    "spikes": spikes,
    "fog": fog,
    "floaters": floaters,
    "wrong_scale": wrong_scale,
    "too_big": too_big,
}


def _colors(drawn: tuple[np.ndarray, np.ndarray, np.ndarray]) -> ColorScale:
    _, depth, hit = drawn
    return depth_scale([depth[hit]])


def write_picture(path: Path, panels: list[Panel]) -> None:
    """The panels side by side."""
    height = max(len(picture) / picture.shape[1] for _, picture in panels)
    figure, axes = plt.subplots(1, len(panels), figsize=(2.7 * len(panels), 2.7 * height + 0.45), layout="constrained")
    for axis, (title, picture) in zip(np.atleast_1d(axes), panels, strict=True):
        axis.imshow(picture)
        axis.set_title(title, fontsize=8)
        axis.set_axis_off()
    data = io.BytesIO()
    figure.savefig(data, format="jpg", dpi=110, pil_kwargs={"quality": QUALITY, "optimize": True})
    plt.close(figure)
    with atomic_write(path) as file:
        file.write(data.getvalue())


def _python(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], check=True, cwd=ROOT)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=ROOT / "out" / "trouble", help="for scenes and runs")
    parser.add_argument("--pictures", type=Path, default=ROOT / "docs" / "images", help="where the pictures go")
    parser.add_argument("--only", nargs="+", choices=PICTURES, default=tuple(PICTURES), help="some of the pictures")
    options = parser.parse_args()
    runs = Runs(options.folder.resolve())
    for name in options.only:
        write_picture(options.pictures / f"trouble_{name}.jpg", PICTURES[name](runs))


if __name__ == "__main__":
    main()
