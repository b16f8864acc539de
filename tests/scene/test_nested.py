"""A folder that is no dataset, and has one somewhere below: it is read, and nothing is guessed where there are two."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scene import load_scene
from scene.inputs.workspace import MADE_OF
from scene.readers.base import ReadOptions
from scene.source import opened
from tests.helpers import recordings, scenes
from tests.helpers.videos import write_video
from tests.scene.test_load_scene import write_colmap
from utils.errors import UserError


def write_benchmark(root: Path, *names: str) -> None:
    """KITTI's odometry: photos and poses in folders of their own, which `root` is above."""
    (root / "poses").mkdir(parents=True)
    for name in names:
        recordings.write_kitti(root / "sequences" / name)
        (root / "sequences" / name / "poses.txt").rename(root / "poses" / f"{name}.txt")


def test_the_only_dataset_is_found(tmp_path: Path) -> None:
    write_benchmark(tmp_path, "00")
    scene = load_scene(tmp_path)
    expected = load_scene(tmp_path / "sequences" / "00")
    assert scene.kind == "KITTI" and "found in sequences/00/" in scene.summary
    assert [view.camera.name for view in scene.train] == [view.camera.name for view in expected.train]
    assert len(scene.train) == 4 and scene.train[0].depth is not None


def test_of_several_none_is_chosen(tmp_path: Path) -> None:
    write_benchmark(tmp_path, "00", "01")
    with pytest.raises(UserError, match=r"has 2 datasets, of which one must be named: sequences/00, sequences/01$"):
        load_scene(tmp_path)


def test_photos_at_hand_come_before_what_is_below(tmp_path: Path) -> None:
    """Another model of some of them may lie about there."""
    write_colmap(tmp_path / "tried" / "before", 2)
    scenes.write_photo(tmp_path / "images" / "a.jpg", 40, 30)
    assert opened(tmp_path, ReadOptions()) == (tmp_path, ReadOptions(), ())
    (tmp_path / "images" / "a.jpg").unlink()
    assert opened(tmp_path, ReadOptions())[0] == tmp_path / "tried" / "before"


def test_what_a_run_has_made_is_no_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The poses that a run has found are kept in its model folder, which may lie beside the video."""
    monkeypatch.setattr("scene.source.load_pycolmap", lambda _: None)
    write_video(tmp_path / "a.mp4", [np.full((48, 64, 3), 40 * number, np.uint8) for number in range(6)])
    write_colmap(tmp_path / "out" / "sfm", 2)
    (tmp_path / "out" / "sfm" / MADE_OF).write_text("{}")
    options = ReadOptions(workspace=tmp_path / "model", frames=3, quiet=True)
    folder, _, said = opened(tmp_path, options)
    assert folder.is_relative_to(tmp_path / "model") and said == ("3 frames of a.mp4, the sharpest of their neighbors",)
