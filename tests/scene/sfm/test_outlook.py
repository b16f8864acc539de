"""What is said of photos before SfM, and that nothing is made of them where it may not run."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from scene import load_scene
from scene.inputs.workspace import borrowed, made_once
from scene.sfm import PosesUnknown
from tests.helpers import scenes
from tests.helpers.videos import write_video
from tests.scene.inputs.test_archive import zipped
from utils.errors import UserError


@pytest.fixture(autouse=True)
def pycolmap_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not asked for anything here."""
    monkeypatch.setitem(sys.modules, "pycolmap", ModuleType("pycolmap"))


def write_photos(folder: Path, count: int = 4) -> None:
    for number in range(count):
        scenes.write_photo(folder / f"{number}.png", 80, 60)


def outlook_of(source: Path, model: Path) -> str:
    """What a look says that may not run SfM; it must leave nothing."""
    before = sorted(source.parent.rglob("*"))
    with borrowed(model) as workspace, pytest.raises(PosesUnknown) as unknown:
        load_scene(source, workspace=workspace, find_poses=False)
    assert not workspace.exists() and sorted(source.parent.rglob("*")) == before
    return str(unknown.value)


def test_photos(tmp_path: Path) -> None:
    write_photos(tmp_path / "room")
    scenes.write_photo(tmp_path / "room" / "9.png", 60, 80)
    (tmp_path / "room" / "5.png").write_bytes(b"damaged")
    said = outlook_of(tmp_path / "room", tmp_path / "model")
    assert said.startswith("room: 6 photos without poses, of 60×80, 80×60 pixels\n") and "15 pairs" in said
    assert "python -m scene.check" in said and said.count("warning: ") == 1 and "5.png cannot be decoded" in said


def test_a_zip_and_a_video(tmp_path: Path) -> None:
    write_photos(tmp_path / "room")
    archive = zipped(tmp_path / "room", tmp_path / "room.zip")
    said = outlook_of(archive, tmp_path / "model")
    assert said.startswith("room.zip: unpacked from room.zip; 4 photos without poses, of 80×60 pixels")
    write_video(tmp_path / "clip.mp4", [scenes.write_photo(tmp_path / "a.png", 64, 48)] * 9)
    said = outlook_of(tmp_path / "clip.mp4", tmp_path / "model")
    assert said.startswith(
        "clip.mp4: 9 frames of clip.mp4, the sharpest of their neighbors; 9 photos without poses, of"
    )


def test_what_would_stop_the_run_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_photos(tmp_path / "room", 2)
    with pytest.raises(UserError, match="2 photos; at least 3"):
        load_scene(tmp_path / "room", workspace=tmp_path / "model", find_poses=False)
    write_photos(tmp_path / "room", 3)
    monkeypatch.setitem(sys.modules, "pycolmap", None)
    with pytest.raises(UserError, match="need pycolmap"):
        load_scene(tmp_path / "room", workspace=tmp_path / "model", find_poses=False)
    for number in range(3):
        (tmp_path / "room" / f"{number}.png").write_bytes(b"damaged")
    monkeypatch.setitem(sys.modules, "pycolmap", ModuleType("pycolmap"))
    with pytest.raises(UserError, match="none of its 3 photos can be decoded"):
        load_scene(tmp_path / "room", workspace=tmp_path / "model", find_poses=False)
    assert not (tmp_path / "model").exists()


def test_a_borrowed_workspace_uses_what_is_there_and_changes_nothing(tmp_path: Path) -> None:
    def write(text: str):
        return lambda folder: (folder / "a").write_text(text)

    made_once(tmp_path / "sfm", {"of": 1}, write("one"))
    (tmp_path / "point_cloud").mkdir()
    with borrowed(tmp_path) as workspace:
        assert [path.name for path in workspace.iterdir()] == ["sfm"]
        assert not made_once(workspace / "sfm", {"of": 1}, write("again"))
        assert (workspace / "sfm" / "a").read_text() == "one"
        assert made_once(workspace / "sfm", {"of": 2}, write("two"))
        assert (workspace / "sfm" / "a").read_text() == "two"
    assert not workspace.exists() and (tmp_path / "sfm" / "a").read_text() == "one"
    with borrowed(None) as workspace:
        assert list(workspace.iterdir()) == []
