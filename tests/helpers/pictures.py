"""Small pictures, and model folders as a run leaves them, for the tests of what is made of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from utils.files import write_json
from utils.image_io import ColorScale, write_png

SIZE = (24, 32)  # height, width


def noise(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """(H,W,3) uint8."""
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def nearly(picture: np.ndarray, seed: int, spread: int = 12) -> np.ndarray:
    """The picture with up to `spread` levels of noise."""
    change = np.random.default_rng(seed).integers(-spread, spread + 1, picture.shape)
    return np.clip(picture.astype(int) + change, 0, 255).astype(np.uint8)


def write_views(folder: Path, count: int) -> None:
    """What render.py leaves in test/ours_<N>."""
    for index in range(count):
        name = f"{index:05}.png"
        target = noise(index)
        write_png(folder / "gt" / name, target)
        write_png(folder / "renders" / name, nearly(target, 100 + index, 5 + 10 * index))
        write_png(folder / "depth" / name, noise(200 + index))
        write_png(folder / "distortion" / name, noise(300 + index))
    write_json(folder / "names.json", {f"{index:05}.png": f"photo <{index}>.jpg" for index in range(count)})
    scales = {"depth": ColorScale("turbo", 1, 5, "logarithmic"), "distortion": ColorScale("inferno", 0, 1)}
    write_json(folder / "colors.json", {name: scale.describe() for name, scale in scales.items()})


def write_log(folder: Path, last: int = 300) -> None:
    """What a run leaves in metrics.jsonl and config.json."""
    lines: list[dict[str, Any]] = [
        {"iteration": at, "seconds": at / 10, "loss": 20 / at, "l1": 10 / at, "dssim": 30 / at, "gaussians": 10 * at}
        for at in range(100, last + 1, 100)
    ]
    lines.append({"iteration": last, "seconds": last / 9, "test": {"PSNR": 21.5, "SSIM": 0.8, "views": 3}})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_json(folder / "config.json", {"model": {"images": "<b>images</b>", "eval": True}})
