"""Cases that were collected from bug reports of other trainers: each is read right, or refused by name."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from scene import load_scene
from scene.types import Scene
from tests.conftest import REAL_SCENES
from utils.errors import UserError

CASES = REAL_SCENES.parent / "cases"


def names(views: tuple) -> list[str]:
    return [Path(view.camera.name).stem for view in views]


def depths(scene: Scene) -> list[float]:
    return [view.depth.scale for view in (*scene.train, *scene.test) if view.depth is not None]


def has(count: int) -> Callable[[Scene], bool]:
    return lambda scene: len(scene.train) + len(scene.test) == count


def all_masked(scene: Scene) -> bool:
    return all(view.mask_path is not None for view in (*scene.train, *scene.test))


# case/name -> what is right of the scene, or part of the error that is.
RIGHT: dict[str, Callable[[Scene], bool] | str] = {
    "depth_partial/depth_partial": lambda scene: len(depths(scene)) == 15,
    "depth_same_stem/depth_same_stem": lambda scene: len(depths(scene)) == 0 and "fits the photos" in scene.warnings[0],
    "depth_scale_in_json/nerfcapture": lambda scene: np.allclose(depths(scene), [10 / 65535] * 8),
    "depth_scale_in_json/instant_ngp": lambda scene: np.allclose(depths(scene), [4 / 65535] * 8),
    "fisheye_190/fisheye_190": lambda scene: abs(scene.train[0].camera.fx - 60.3) < 0.1,
    "images_txt_blank_line/one_blank_line_more": has(8),
    "images_txt_blank_line/two_blank_lines_each": has(8),
    "json_numbers/k3_null": has(8),
    "json_numbers/fl_y_null": lambda scene: scene.train[0].camera.fy == scene.train[0].camera.fx == 80,
    "json_numbers/nan_pose": lambda scene: has(7)(scene) and "1 frames are skipped" in scene.warnings[0],
    "json_numbers/colmap_nan_pose": "im000.png has the translation",
    "json_split/json": lambda scene: names(scene.test) == ["im000", "im001"] and has(8)(scene),
    "json_split/colmap": lambda scene: names(scene.test) == ["im003", "im005"],
    "json_split/copied_test": "list the same 8 photos",
    **{f"masks/{name}": all_masked for name in ("jpg", "PNG", "double", "json", "images_2")},
    "near_plane/outlier": lambda scene: scene.extent < 5 and "im005.png at" in scene.warnings[0],
    "near_plane/good": lambda scene: scene.extent < 5 and scene.warnings == (),
    "principal_point_outside/lens": lambda scene: abs(scene.train[0].camera.fx - 200) < 1,
    "principal_point_outside/no_lens": lambda scene: scene.train[0].camera.fx == 200,
    **{f"ply_colours/{name}": lambda scene: 0.3 < scene.points.colors.mean() < 0.7
       for name in ("uchar", "ushort", "float255")},
    "sparse_ply_only/sparse_ply_only": lambda scene: len(scene.points) > 400,
    **{f"windows_paths/{name}": has(8) for name in ("json", "colmap", "case", "prefix")},
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The datasets of all cases, each below its case's name."""
    if not CASES.exists():
        pytest.skip(f"the cases that were collected are not at {CASES}")
    root = tmp_path_factory.mktemp("cases")
    for case in sorted({name.split("/")[0] for name in RIGHT}):
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, str(CASES / case / "make.py"), str(root / case)]
        subprocess.run(command, check=True, env=environment, capture_output=True, timeout=120)
    return root


@pytest.mark.parametrize("name", RIGHT)
def test_a_case_is_read_right_or_refused_by_name(made: Path, name: str) -> None:
    right, images = RIGHT[name], "images_2" if name == "masks/images_2" else "images"
    if isinstance(right, str):
        with pytest.raises(UserError, match=right):
            load_scene(made / name, images=images, eval_split=True)
    else:
        assert right(load_scene(made / name, images=images, eval_split=True))
