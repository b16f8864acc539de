"""The metrics of the pictures that render.py leaves in a model folder, in results.json and per_view.json."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from utils.errors import UserError
from utils.files import write_json
from utils.image_io import read_png
from utils.metrics.depth import NAMES as DEPTH_NAMES
from utils.metrics.depth import Scores, average_depth
from utils.metrics.image import CORRECTED, NAMES, Lpips, average, measure
from utils.metrics_log import is_number, read_object

LPIPS_VARIANT = "VGG16, version 0.1, images in [0,1]"  # as the 3DGS paper has it; not [-1,1], which the network expects


def measure_folder(folder: Path, lpips: Lpips | None = None) -> dict[str, Scores]:
    """The metrics of each render in `folder` (test/ours_<N>), by file name. UserError when there is none."""
    paths = sorted((folder / "renders").glob("*.png"))
    if not paths:
        raise UserError(f"there are no renders in {folder / 'renders'}; run render.py first")
    scores = {}
    for path in paths:
        mask = folder / "masks" / path.name
        pixels = read_png(mask)[..., 0] if mask.exists() else None
        scores[path.name] = measure(read_png(path), read_png(folder / "gt" / path.name), pixels, lpips)
    return scores


def evaluate_model(model: Path, lpips: Lpips | None = None) -> dict[str, dict[str, Any]]:
    """Measure all renders of the test views (of the training views where there are no others) in a model folder.

    Writes results.json, {"ours_<N>": {metric: mean, "set": "test", "views": count, "depth": {score: mean}, ...}}, and
    per_view.json, {"ours_<N>": {metric: {file name: value}}}; returns the first. Metrics that begin with "cc_" are of
    renders with the photo's colors (utils.metrics.color_correction); "refined_poses" has those of test views at poses
    fitted to their photos, where poses were refined. Depth, where it was measured, is in scene units. "views_hidden"
    counts views of which masks leave no pixel; their metrics are null. UserError when nothing has been rendered.
    """
    results: dict[str, dict[str, Any]] = {}
    per_view: dict[str, dict[str, Any]] = {}
    for folder in rendered_folders(model):
        scores = measure_folder(folder, lpips)
        results[folder.name] = {**average(scores.values()), "set": folder.parent.name, "views": len(scores)}
        hidden = sum(each["PSNR"] is None for each in scores.values())
        if hidden:
            results[folder.name]["views_hidden"] = hidden
        if lpips is not None:
            results[folder.name]["LPIPS_variant"] = LPIPS_VARIANT
        depths = _depth_scores(folder)
        if depths:
            results[folder.name]["depth"] = average_depth(depths.values())
        refined = read_object(folder / "refined_poses.json").get("mean")
        if isinstance(refined, dict):
            results[folder.name]["refined_poses"] = refined
        per_view[folder.name] = {
            name: {view: each[name] for view, each in scores.items()} for name in (*NAMES, *CORRECTED)
        }
        if depths:
            per_view[folder.name]["depth_MAE"] = {view: each["MAE"] for view, each in depths.items()}
    write_json(model / "results.json", results)
    write_json(model / "per_view.json", per_view)
    return results


def _depth_scores(folder: Path) -> dict[str, Scores]:
    """What the renderer has measured of depth, by file; without what is not as it wrote it."""
    stored = read_object(folder / "depth_scores.json").items()
    whole = {file: each for file, each in stored if isinstance(each, dict) and each.keys() == set(DEPTH_NAMES)}
    return {file: each for file, each in whole.items() if all(v is None or is_number(v) for v in each.values())}


def rendered_folders(model: Path) -> list[Path]:
    """The folders test/ours_<N> of a model, or those in train/ where there are none, by N. UserError without any."""
    if not model.is_dir():
        raise UserError(f"the model folder {model} is not there")
    for part in ("test", "train"):
        folders = {int(match[1]): path for match, path in _numbered(model / part)}
        if folders:
            return [folders[iteration] for iteration in sorted(folders)]
    raise UserError(f"{model} holds no renders; run render.py -m {model} first")


def _numbered(folder: Path) -> list[tuple[re.Match[str], Path]]:
    matches = [(re.fullmatch(r"ours_(\d+)", path.name), path) for path in folder.glob("ours_*")]
    return [(match, path) for match, path in matches if match and any(path.glob("renders/*.png"))]
