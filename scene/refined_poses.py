"""poses_refined.json: the poses of the training photos as the dataset has them, and as training has refined them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from scene.readers.base import rigid
from scene.types import View
from utils.files import write_json
from utils.metrics_log import read_object

FILE = "poses_refined.json"


def write_refined(
    folder: Path, names: Sequence[str], before: np.ndarray, after: np.ndarray, distance: np.ndarray, angle: np.ndarray
) -> None:
    """Write photo -> before and after, (V,4,4) camera_from_world, and how far that is in scene units and degrees."""
    entries = {
        name: {
            "before": before[row].tolist(),
            "after": after[row].tolist(),
            "distance": float(distance[row]),
            "degrees": float(angle[row]),
        }
        for row, name in enumerate(names)
    }
    write_json(folder / FILE, entries)


def with_refined_poses(folder: Path, views: Sequence[View]) -> tuple[View, ...]:
    """The views at the poses that the run in the model folder has refined; as they are where it has not.

    UserError for a pose that is none.
    """
    entries = read_object(folder / FILE)
    return tuple(_at(view, entries.get(view.camera.name), folder / FILE) for view in views)


def _at(view: View, entry: Any, path: Path) -> View:
    if entry is None:
        return view
    pose = rigid(entry.get("after", ()) if isinstance(entry, dict) else (), f"{path}, {view.camera.name}")
    return replace(view, camera=replace(view.camera, camera_from_world=pose))
