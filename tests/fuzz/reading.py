"""What the fuzzer reads of a damaged folder, and what is wrong with that: "" for nothing.

Each function raises UserError for what it refuses; whatever else escapes is a fault.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from arguments import from_json, parse_train_options, to_json
from gaussian_renderer.exposures import Exposures
from scene import load_scene
from scene.camera_list import read_cameras
from scene.depth.maps import load_depth
from scene.depth.sparse_check import sample_at_points
from scene.images import load_image
from scene.io import read_gaussians
from scene.io.points import read_points
from scene.paths.nerfstudio import read_path_file
from scene.photo_checks import check_photos
from scene.readers import read_dataset
from scene.readers.base import ReadOptions
from scene.refined_poses import with_refined_poses
from scene.sfm import PosesUnknown
from scene.types import NO_POINTS, Camera, PointCloud, Scene, View
from training.checkpoint import load_checkpoint
from training.distributed.checkpoint import load_sharded
from training.startup import first_state
from training.state import ENTRIES, TrainingState
from utils.errors import UserError
from utils.metrics.renders import evaluate_model
from utils.reporting.html_report import write_summary

Part = Callable[[Path], str]  # of the damaged file

LARGEST = 16  # times its photo's size that a camera may have
CPU = torch.device("cpu")


def scene_fault(folder: Path, source: str = ".", photo: int = 16) -> str:
    """Of the dataset at `source` in the folder, whose photos are at most `photo` pixels wide: all of it is decoded."""
    with tempfile.TemporaryDirectory() as workspace:
        scene = load_scene(folder / source, eval_split=True, workspace=Path(workspace))
        return _of_scene(scene, LARGEST * photo)


def reader_alone(folder: Path) -> Part:
    """What the dataset's reader makes of it, before a scene is built: a fraction of the time."""

    def fault(damaged: Path) -> str:
        dataset = read_dataset(folder, ReadOptions())
        if not all(np.isfinite(frame.camera_from_world).all() for frame in dataset.frames):
            return "camera not finite"
        return _of_points(dataset.points)

    return fault


def files_alone(folder: Path) -> Part:
    """One photo, mask, depth or confidence map, of an undamaged dataset whose other files are not read again."""
    views, frames = _files_of(load_scene(folder).train), read_dataset(folder, ReadOptions()).frames
    photos = {frame.name: frame for frame in frames}

    def fault(damaged: Path) -> str:
        view = views[damaged]
        if damaged in (view.image_path, view.mask_path):
            check_photos([replace(photos[view.camera.name], mask_path=view.mask_path)])
            load_image(view)
        elif view.depth is not None:
            sample_at_points(view, view.depth, NO_POINTS, None)  # which finds problems, and raises nothing
            load_depth(view)
        return ""

    return fault


def _files_of(views: Iterable[View]) -> dict[Path, View]:
    """The view of each file."""
    found: dict[Path | None, View] = {}
    for view in views:
        maps = (None, None) if view.depth is None else (view.depth.path, view.depth.confidence)
        sure = None if maps[1] is None else maps[1].path
        found |= dict.fromkeys((view.image_path, view.mask_path, maps[0], sure), view)
    return {path: view for path, view in found.items() if path is not None}


def placed_fault(folder: Path) -> str:
    """Of photos whose poses were found before; they may have to be found again."""
    try:
        scene = load_scene(folder / "data", workspace=folder / "workspace", find_poses=False)
    except PosesUnknown:
        return ""
    return _of_scene(scene, LARGEST * 16)


def _of_scene(scene: Scene, widest: int) -> str:
    lengths = np.array([scene.extent, scene.near])
    if not np.isfinite(lengths).all() or lengths.min() <= 0 or lengths.max() > 1e12:
        return f"extent {scene.extent}, near {scene.near}"
    fault = _of_points(scene.points)
    if fault:
        return fault
    views = (*scene.train, *scene.test, *scene.far)
    fault = _of_cameras([view.camera for view in views], widest)
    for view in () if fault else views:
        load_image(view)
        load_depth(view)
    return fault


def _of_points(points: PointCloud) -> str:
    if not np.isfinite(points.positions).all():
        return "points not finite"
    in_range = (points.colors >= 0) & (points.colors <= 1)  # which NaN is not
    return "" if in_range.all() else "colors out of range"


def _of_cameras(cameras: Iterable[Camera], widest: int) -> str:
    for camera in cameras:
        lens = np.array([camera.fx, camera.fy, camera.cx, camera.cy])
        if not np.isfinite(lens).all() or lens[:2].min() <= 0 or not np.isfinite(camera.camera_from_world).all():
            return "camera not finite"
        if not 0 < min(camera.width, camera.height) <= max(camera.width, camera.height) <= widest:
            return "a tiny photo became huge"
    return ""


def points_fault(folder: Path) -> str:
    return _of_points(read_points(folder / "a.ply"))


def gaussians_fault(path: Path) -> str:
    arrays = vars(read_gaussians(path)).values()
    return "" if all(np.isfinite(each).all() for each in arrays) else "Gaussians not finite"


# ---- files of a model folder


def config_fault(folder: Path) -> str:
    """Settings that are accepted are written and read the same."""
    options = from_json((folder / "config.json").read_bytes(), str(folder / "config.json"))
    return "" if from_json(to_json(options), "again") == options else "settings change when they are written"


def cameras_fault(folder: Path) -> str:
    return _of_cameras(read_cameras(folder / "cameras.json"), 10**5)


def exposures_fault(folder: Path) -> str:
    exposures = Exposures.read(folder)
    return "" if exposures is None or np.isfinite(exposures.of("0.png")).all() else "exposure not finite"


def poses_fault(folder: Path) -> str:
    """Of poses_refined.json, for the views of a scene beside it."""
    return poses_alone(folder)(folder / "poses_refined.json")


def poses_alone(folder: Path) -> Part:
    """The file, for views that are not read again."""
    views = load_scene(folder / "data").train

    def fault(damaged: Path) -> str:
        return _of_cameras([view.camera for view in with_refined_poses(folder, views)], 10**5)

    return fault


def path_fault(folder: Path) -> str:
    """Of a camera path."""
    cameras, fps = read_path_file(folder / "path.json")
    return _of_cameras(cameras, 10**5) or ("" if fps is None or 0 < fps <= 1e7 else f"{fps} frames per second")


def pages_fault(folder: Path) -> str:
    """Of what the pages are made of: there is always a page."""
    evaluate_model(folder)
    write_summary(folder)
    return "" if (folder / "report.html").stat().st_size > 1000 else "no report"


def page_without_drawings(folder: Path) -> Part:
    """The report alone, without curves and contact sheet: all files are read, and a hundredth of the time is left."""

    def fault(damaged: Path) -> str:
        with (
            patch("utils.reporting.figures.curves", return_value=None),
            patch("utils.reporting.figures.contact_sheet", return_value=np.zeros((1, 1, 3), np.uint8)),
        ):
            return pages_fault(folder)

    return fault


# ---- checkpoints


@cache
def state_of(dataset: str) -> TrainingState:
    """The state before the first step, made once for a dataset: what is restored changes it as a whole."""
    options = parse_train_options(["-s", dataset, "--exposure", "on", "--refine_poses"])
    state = first_state(options, load_scene(dataset), CPU)
    state.optimizer.follow()  # as in the last part of a run
    return state


def checkpoint_fault(folder: Path) -> str:
    return _restored(folder, load_checkpoint(folder / "chkpnt0.pth", ENTRIES))


def sharded_fault(folder: Path) -> str:
    return _restored(folder, load_sharded(folder / "chkpnt0", ENTRIES, CPU))


def _restored(folder: Path, checkpoint: Mapping[str, Any]) -> str:
    state = state_of(str(folder / "data"))
    try:
        state.restore(checkpoint)
    except UserError as error:  # training/startup.py names the file
        raise UserError(f"{folder}: {error}") from None
    return state.fault() or ""
