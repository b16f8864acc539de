"""The pictures of docs/troubleshooting.md: what a fault looks like, and the same run with its remedy beside it.

    python benchmarks/troubleshooting_pictures.py [--only NAME ...] [--iterations 500] [--folder out/troubleshooting]

Each run trains on a small synthetic scene; one that has its result in the folder already is not trained again. Of the
views off the path of the photos, or else of the test views, the one is shown in which the remedy brings the render
nearest to the photo; of small faults the part of a view in which it does. Writes docs/images/troubleshooting_NAME.jpg:
fault on the left, remedy on the right.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch

from gaussian_renderer import RenderSettings, render
from scene import load_scene
from scene.gaussians.model import Gaussians
from scene.images import load_image
from scene.io import read_gaussians
from scene.synthetic.write import write_scene
from scene.synthetic.write_open import write_object
from scene.types import Camera, Scene
from utils.console import say
from utils.files import atomic_write
from utils.image_io import to_bytes

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "images"
WIDTH, HEIGHT, GAP = 280, 210, 8  # pixels of a view, and between two
MANY, FEW = 40, 8  # photos
QUALITY = 88
RUNS = {  # name -> scene, flags of train.py
    "room": ("room", ""),
    "room_small": ("room", "--max_gaussians 1500"),
    "room_scale": ("room", "--depth_scale 0.0013"),
    "object_few": ("object_few", "--strategy adc --prune_min_weight 0 --lambda_dist 0"),
    "object": ("object", ""),
    "object_opaque": ("object_opaque", "--keep_background"),
}


@dataclass(frozen=True)
class Symptom:
    """Two runs, and what they are shown before."""

    fault: str
    remedy: str
    background: float = 0.0  # gray
    zoom: int = 1  # 1 shows whole views, 2 a part of half their width
    view: str = ""  # its name without suffix; "": the one in which the remedy brings most


SYMPTOMS = {
    "spikes": Symptom("object_few", "object", background=0.85, zoom=3, view="r_4"),
    "floaters": Symptom("object_few", "object", background=0.85, zoom=2, view="r_3"),
    "fog": Symptom("object_opaque", "object", background=0.4),
    "too_few": Symptom("room_small", "room"),
    "scale": Symptom("room_scale", "room"),
}


def make_object(folder: Path, views: int = MANY) -> None:
    write_object(folder, views, test_views=6, size=HEIGHT)


def make_opaque_object(folder: Path) -> None:
    """The same before a white wall, as photos are that nobody cut out."""
    make_object(folder)
    for path in folder.glob("*/*.png"):
        pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert pixels is not None and pixels.shape[2] == 4
        alpha = pixels[..., 3:] / 255
        assert cv2.imwrite(str(path), np.round(pixels[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8))


SCENES: dict[str, Callable[[Path], None]] = {
    "room": lambda folder: write_scene(folder, MANY, WIDTH, HEIGHT, far_views=True),
    "object": make_object,
    "object_few": partial(make_object, views=FEW),
    "object_opaque": make_opaque_object,
}


def trained(name: str, folder: Path, iterations: int) -> tuple[Scene, Gaussians]:
    """The scene of a run, and what came of it."""
    source, flags = RUNS[name]
    if not (folder / "scenes" / source).exists():
        SCENES[source](folder / "scenes" / source)
    model = folder / name
    ply = model / "point_cloud" / f"iteration_{iterations}" / "point_cloud.ply"
    if not ply.exists():
        say(f"{name}: {flags or 'defaults'}")
        command = [sys.executable, "train.py", "-s", str(folder / "scenes" / source), "-m", str(model), "--eval"]
        command += ["--overwrite", "--quiet", "--iterations", str(iterations), "--viewer_html_mb", "0", *flags.split()]
        subprocess.run(command, cwd=ROOT, check=True)
    return load_scene(folder / "scenes" / source, eval_split=True), Gaussians.from_arrays(read_gaussians(ply))


@torch.no_grad()
def seen(scene: Scene, gaussians: Gaussians, camera: Camera, background: float) -> np.ndarray:
    """(H, W, 3) uint8."""
    output = render(gaussians, camera, torch.full((3,), background), RenderSettings(scene.near, gaussians.sh_degree))
    return to_bytes(output.color)


def best_part(gain: np.ndarray, zoom: int) -> tuple[float, tuple[int, int]]:
    """The largest mean of (H, W) in a part of 1/zoom of its height and width, and the part's first row and column."""
    height, width = (size // zoom for size in gain.shape)
    sums = cv2.integral(gain)
    parts = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    row, column = np.unravel_index(int(parts.argmax()), parts.shape)
    return float(parts[row, column]) / (height * width), (int(row), int(column))


def zoomed(camera: Camera, corner: tuple[int, int], zoom: int) -> Camera:
    """A camera of the same size that shows the part whose left upper pixel is the `corner`, `zoom` times as large."""
    row, column = corner
    cx, cy = zoom * (camera.cx - column), zoom * (camera.cy - row)
    return replace(camera, fx=zoom * camera.fx, fy=zoom * camera.fy, cx=cx, cy=cy)


def picture(symptom: Symptom, folder: Path, iterations: int) -> np.ndarray:
    """(H, 2 W + GAP, 3) uint8: the view, or the part of one, to which the remedy brings most."""
    (_, faulty), (scene, mended) = (trained(name, folder, iterations) for name in (symptom.fault, symptom.remedy))
    found = []
    for view in scene.far or scene.test:
        if symptom.view not in ("", view.image_path.stem):
            continue
        both = [seen(scene, each, view.camera, symptom.background) for each in (faulty, mended)]
        photo = to_bytes(torch.from_numpy(load_image(replace(view, background=symptom.background)).color))
        errors = [np.abs(color.astype(float) - photo).mean(axis=2) for color in both]
        found.append((*best_part(errors[0] - errors[1], symptom.zoom), view.camera))
    _, corner, camera = max(found, key=lambda each: each[0])
    shown = zoomed(camera, corner, symptom.zoom)
    left, right = (seen(scene, each, shown, symptom.background) for each in (faulty, mended))
    return np.concatenate([left, np.full((left.shape[0], GAP, 3), 255, np.uint8), right], axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SYMPTOMS, default=list(SYMPTOMS), metavar="NAME")
    parser.add_argument("--iterations", type=int, default=500)
    parser.add_argument("--folder", type=Path, default=ROOT / "out" / "troubleshooting")
    options = parser.parse_args()
    for name in options.only:
        pixels = cv2.cvtColor(picture(SYMPTOMS[name], options.folder.resolve(), options.iterations), cv2.COLOR_RGB2BGR)
        done, data = cv2.imencode(".jpg", pixels, (cv2.IMWRITE_JPEG_QUALITY, QUALITY))
        assert done
        path = PICTURES / f"troubleshooting_{name}.jpg"
        with atomic_write(path) as file:
            file.write(bytes(data))
        say(f"{path}: {len(data) / 1000:.0f} kB")


if __name__ == "__main__":
    main()
