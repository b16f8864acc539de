"""What learned exposures and refined poses are worth: trains variants of one scene, and prints a table.

python benchmarks/exposure_poses.py SCENE OUT [--seeds 0 1] [--disturb 0.01 0.5] -- -r 4 --iterations 1000

`--disturb` moves each camera by so many scene units and turns it by so many degrees, in random directions.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

import train
from scene import load_scene
from scene.types import Scene, View

VARIANTS = {
    "off": "--exposure off",
    "exposure": "--exposure on",
    "poses": "--exposure off --refine_poses",
    "both": "--exposure on --refine_poses",
}
PLACES = (("PSNR",), ("SSIM",), ("cc_PSNR",), ("refined_poses", "PSNR"), ("refined_poses", "cc_PSNR"))
DEPTHS = (("depth", "MAE"), ("depth", "median"), ("refined_poses", "depth", "median"))


def disturbed(scene: Scene, distance: float, degrees: float, seed: int, keep_test: bool) -> Scene:
    """The scene with cameras moved and turned about themselves, each in a direction of its own."""
    rng = np.random.default_rng(seed)

    def off(view: View) -> View:
        direction, axis = (vector / np.linalg.norm(vector) for vector in rng.normal(size=(2, 3)))
        twist = np.eye(4)
        twist[:3, :3], twist[:3, 3] = Rotation.from_rotvec(np.radians(degrees) * axis).as_matrix(), distance * direction
        return replace(view, camera=replace(view.camera, camera_from_world=twist @ view.camera.camera_from_world))

    moved = tuple(off(view) for view in scene.train)
    return replace(scene, train=moved, test=scene.test if keep_test else tuple(off(view) for view in scene.test))


def run(scene: Path, folder: Path, flags: list[str], move: tuple[float, float], keep_test: bool) -> dict[str, Any]:
    """Train, unless the folder has the result already; the entry of results.json."""
    if not (folder / "results.json").exists():
        train.load_scene = lambda *given, **named: disturbed(load_scene(*given, **named), *move, 0, keep_test)
        train.main(["-s", str(scene), "-m", str(folder), "--eval", "--quiet", "--overwrite", *flags])
    entry: dict[str, Any] = next(iter(json.loads((folder / "results.json").read_text()).values()))
    return entry


def value(entry: Any, place: tuple[str, ...]) -> float:
    """What stands at a place of an entry of results.json; NaN where there is nothing."""
    for name in place:
        entry = entry.get(name) if isinstance(entry, dict) else None
    return float("nan") if entry is None else float(entry)


def main() -> None:
    mine, flags = (sys.argv[1:], []) if "--" not in sys.argv else _split(sys.argv[1:])
    parser = argparse.ArgumentParser(description="Measure learned exposures and refined poses.")
    parser.add_argument("scene", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--disturb", type=float, nargs=2, default=(0.0, 0.0), metavar=("DISTANCE", "DEGREES"))
    parser.add_argument("--keep_test", action="store_true", help="leaves the poses of test photos as they are")
    given = parser.parse_args(mine)
    head = ["variant", *(" ".join(place) for place in (*PLACES, *DEPTHS))]
    print("| " + " | ".join(head) + " |\n|" + " --- |" * len(head), flush=True)
    for name in given.only:
        for seed in given.seeds:
            variant = [*VARIANTS[name].split(), "--seed", str(seed), *flags]
            folder = given.out / f"{name}_{seed}"
            entry = run(given.scene, folder, variant, tuple(given.disturb), given.keep_test)
            scores = [f"{value(entry, place):.3f}" for place in PLACES] + [f"{value(entry, p):.5f}" for p in DEPTHS]
            print(f"| {name}, seed {seed} | " + " | ".join(scores) + " |", flush=True)


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    at = words.index("--")
    return words[:at], words[at + 1 :]


if __name__ == "__main__":
    main()
