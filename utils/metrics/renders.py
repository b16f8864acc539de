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

FAR = "far"  # the set of views far from the training views
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

    Writes results.json, {"ours_<N>": {metric: mean, "set": "test", "views": count, "depth": {score: mean}, "far": the
    same of the far views, ...}}, and per_view.json, {"ours_<N>": {metric: {file name: value}}, "far/ours_<N>": ...};
    returns the first. Metrics that begin with "cc_" are of renders with the photo's colors
    (utils.metrics.color_correction); "refined_poses" has those of test views at poses fitted to their photos, where
    poses were refined. Depth, where it was measured, is in scene units. "views_hidden" counts views of which masks
    leave no pixel; their metrics are null. UserError when nothing has been rendered.
    """
    results: dict[str, dict[str, Any]] = {}
    per_view: dict[str, dict[str, Any]] = {}
    for folder in rendered_folders(model):
        results[folder.name], per_view[folder.name] = _evaluate(folder, lpips)
        far = model / FAR / folder.name
        if far != folder and any(far.glob("renders/*.png")):
            results[folder.name][FAR], per_view[f"{FAR}/{folder.name}"] = _evaluate(far, lpips)
    write_json(model / "results.json", results)
    write_json(model / "per_view.json", per_view)
    return results


def _evaluate(folder: Path, lpips: Lpips | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """What results.json and per_view.json say of one rendered folder."""
    scores, depths = measure_folder(folder, lpips), _depth_scores(folder)
    results: dict[str, Any] = {**average(scores.values()), "set": folder.parent.name, "views": len(scores)}
    per_view = {name: {view: each[name] for view, each in scores.items()} for name in (*NAMES, *CORRECTED)}
    hidden = sum(each["PSNR"] is None for each in scores.values())
    if hidden:
        results["views_hidden"] = hidden
    if lpips is not None:
        results["LPIPS_variant"] = LPIPS_VARIANT
    if depths:
        limit = read_object(folder / "depth_scores.json").get("in_front_limit")
        results["depth"] = {**average_depth(depths.values()), "in_front_limit": limit}
        per_view["depth_MAE"] = {view: each["MAE"] for view, each in depths.items()}
    refined = read_object(folder / "refined_poses.json").get("mean")
    if isinstance(refined, dict):
        results["refined_poses"] = refined
    return results, per_view


def _depth_scores(folder: Path) -> dict[str, Scores]:
    """What the renderer has measured of depth, by file; without what is not as it wrote it. Renders of before it
    measured "in_front" have none."""
    stored = read_object(folder / "depth_scores.json").items()
    given = {file: {"in_front": None, **each} for file, each in stored if isinstance(each, dict)}
    whole = {file: each for file, each in given.items() if each.keys() == set(DEPTH_NAMES)}
    return {file: each for file, each in whole.items() if all(v is None or is_number(v) for v in each.values())}


def rendered_folders(model: Path) -> list[Path]:
    """The folders test/ours_<N> of a model, by N; those in train/ where there are none, or else in far/. UserError
    without any."""
    if not model.is_dir():
        raise UserError(f"the model folder {model} is not there")
    for part in ("test", "train", FAR):
        folders = {int(match[1]): path for match, path in _numbered(model / part)}
        if folders:
            return [folders[iteration] for iteration in sorted(folders)]
    raise UserError(f"{model} holds no renders; run render.py -m {model} first")


def _numbered(folder: Path) -> list[tuple[re.Match[str], Path]]:
    matches = [(re.fullmatch(r"ours_(\d+)", path.name), path) for path in folder.glob("ours_*")]
    return [(match, path) for match, path in matches if match and any(path.glob("renders/*.png"))]
