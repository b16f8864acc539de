"""Whole training runs: quality over time, and the time to 95 % of the last PSNR; draws a figure.

    python benchmarks/bench_training.py SCENE [SCENE ...] [--iterations 7000] [--figure out/training.png] [-- flags]

Each scene is trained by train.py with --eval (unless the flags say what to hold out) and measured 20 times on the way.
JSON lines: seconds to the end with all measuring, and to the first measurement within 95 % of the last.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import matplotlib

ROOT = Path(__file__).resolve().parents[1]
MEASUREMENTS = 20
SHARE = 0.95


def train(scene: Path, folder: Path, iterations: int, flags: list[str]) -> list[dict[str, Any]]:
    """Run train.py; the lines of its log that measure the held-out views."""
    every = max(1, iterations // MEASUREMENTS)
    held_out = [] if "--test_images" in flags else ["--eval"]
    steps = [str(step) for step in range(every, iterations + 1, every)]
    command = [sys.executable, str(ROOT / "train.py"), "-s", str(scene), "-m", str(folder), "--quiet", *held_out]
    subprocess.run([*command, "--iterations", str(iterations), *flags, "--test_iterations", *steps], check=True)
    log = (folder / "metrics.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, log) if "test" in line]


def summarize(scene: Path, folder: Path, measured: list[dict[str, Any]]) -> dict[str, Any]:
    last, run = measured[-1], json.loads((folder / "run.json").read_text())
    enough = next(line for line in measured if line["test"]["PSNR"] >= SHARE * last["test"]["PSNR"])
    return {
        "scene": scene.name,
        "iterations": last["iteration"],
        "seconds": last["seconds"],
        "psnr": round(last["test"]["PSNR"], 2),
        "ssim": round(last["test"]["SSIM"], 4),
        "gaussians": run["gaussians"],
        "seconds_to_95_percent": enough["seconds"],
        "iterations_to_95_percent": enough["iteration"],
        "peak_memory_mib": run["peak_memory_mib"],
        "peak_gpu_memory_mib": run["peak_gpu_memory_mib"],
    }


def draw(path: Path, curves: dict[str, list[dict[str, Any]]]) -> None:
    """PSNR of the held-out views over seconds of training."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(7, 3.8), layout="constrained")
    for name, lines in curves.items():
        axis.plot([line["seconds"] for line in lines], [line["test"]["PSNR"] for line in lines], "o-", label=name)
    axis.set_xlabel("seconds, measuring included")
    axis.set_ylabel("PSNR of held-out views, dB")
    axis.grid(alpha=0.3)
    axis.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", type=Path, nargs="+", metavar="SCENE", help="dataset folders")
    parser.add_argument("--iterations", type=int, default=7000, help="training steps")
    parser.add_argument("--figure", type=Path, default=Path("out/training.png"), help="where the figure goes")
    known = sys.argv[1:]
    flags = known[known.index("--") + 1 :] if "--" in known else []
    arguments = parser.parse_args(known[: known.index("--")] if "--" in known else known)
    curves = {}
    for scene in arguments.scenes:
        with tempfile.TemporaryDirectory() as folder:
            curves[scene.name] = train(scene, Path(folder) / "model", arguments.iterations, flags)
            print(json.dumps(summarize(scene, Path(folder) / "model", curves[scene.name])), flush=True)
    draw(arguments.figure, curves)


if __name__ == "__main__":
    main()
