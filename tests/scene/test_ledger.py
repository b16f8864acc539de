"""Every file of a dataset's folder is used, or it is said why not."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from scene import load_scene
from scene.io.points import write_points
from scene.ledger import Ledger, account, files_below
from scene.readers import colmap
from scene.types import Camera
from tests.helpers import recordings, rgbd, scenes
from tests.helpers.whole import assert_complete


def colmap_with_leftovers(folder: Path) -> None:
    cameras = rgbd.write_scene(folder, 6)
    rgbd.write_depth(folder, cameras[:5])
    colmap.write_model(folder / "sparse" / "1", cameras[:2], scenes.points())
    write_points(folder / "sparse" / "0" / "points3D.ply", scenes.points())
    for name in ("images/extra.png", "masks/000.png", "masks/other.png", "images_2/000.png", "depth/other.png"):
        scenes.write_photo(folder / name, 80, 60, channels=1)
    (folder / "images" / "005.png").write_bytes(b"damaged")
    (folder / "database.db").touch()


def test_what_is_left_of_a_colmap_folder_is_said_with_its_reason(tmp_path: Path) -> None:
    colmap_with_leftovers(tmp_path)
    ledger = load_scene(tmp_path).ledger
    assert_complete(tmp_path, ledger)
    assert {name: what for name, what in ledger.used.items() if what != "photo"} == {
        **{f"depth/{number:03}.png": "depth map" for number in range(5)},
        **{f"sparse/0/{stem}.txt": "COLMAP file" for stem in ("cameras", "images", "points3D")},
        "masks/000.png": "mask",
    }
    assert ledger.unused == {
        "database.db": "no part of this format",
        "depth/other.png": "the depth map of no photo that is used",
        "images/005.png": "damaged",
        "images/extra.png": "the model has no camera for it",
        "images_2/000.png": "-i names another folder of photos",
        "masks/other.png": "the mask of no photo that is used",
        "sparse/0/points3D.ply": "not needed of a model",
        **{f"sparse/1/{stem}.txt": "another model, with fewer photos" for stem in ("cameras", "images", "points3D")},
    }
    assert ledger.line.startswith("Files used: 5 depth maps, 5 photos, 1 mask, 3 COLMAP files. Not used: ")
    assert "images/extra.png (the model has no camera for it)" in ledger.line and "\n" not in ledger.line
    ignored = load_scene(tmp_path, depths="none").ledger
    assert ignored.unused["depth/000.png"] == "-d none"


def test_what_is_left_of_a_transforms_folder_is_said_with_its_reason(tmp_path: Path) -> None:
    cameras = rgbd.write_scene(tmp_path, 4, points=scenes.points())
    colmap_files = tmp_path / "sparse"
    colmap_files.rename(tmp_path / "elsewhere")
    rgbd.write_transforms(tmp_path, cameras, train_filenames=["images/000.png"], test_filenames=["images/001.png"])
    content = json.loads((tmp_path / "transforms.json").read_text())
    content["frames"][3]["transform_matrix"] = [[float("nan")] * 4] * 4
    (tmp_path / "transforms.json").write_text(json.dumps(content))
    scenes.write_photo(tmp_path / "images" / "extra.png", 80, 60)
    (tmp_path / "transforms_val.json").touch()
    ledger = load_scene(tmp_path).ledger
    assert_complete(tmp_path, ledger)
    assert ledger.unused["images/002.png"] == "neither a training nor a test view"
    assert ledger.unused["images/003.png"] == "its pose is not finite"
    assert ledger.unused["images/extra.png"] == "transforms.json does not list it"
    assert ledger.unused["transforms_val.json"] == "not read beside it"
    assert ledger.used["transforms.json"] == "nerfstudio file"


@pytest.mark.parametrize(
    "write",
    [recordings.write_seven_scenes, recordings.write_scannet, recordings.write_tum, recordings.write_replica,
     recordings.write_record3d, recordings.write_redwood, recordings.write_kitti, recordings.write_opensfm],
)  # fmt: skip
def test_recordings_leave_nothing(tmp_path: Path, write: Callable[[Path], list[Camera]]) -> None:
    write(tmp_path)
    ledger = load_scene(tmp_path).ledger
    assert_complete(tmp_path, ledger)
    assert ledger.unused == {} and ledger.line.endswith(": all that there are")


def test_what_is_left_of_the_files_of_phones_is_said_with_its_reason(tmp_path: Path) -> None:
    recordings.write_scanner_app(tmp_path / "app")
    recordings.write_polycam(tmp_path / "polycam")
    (tmp_path / "polycam" / "mesh_info.json").touch()
    app, polycam = (load_scene(tmp_path / name).ledger for name in ("app", "polycam"))
    assert_complete(tmp_path / "app", app)
    assert_complete(tmp_path / "polycam", polycam)
    left = ("frame_00004.json", "depth_00004.png", "conf_00004.png")
    assert app.unused == dict.fromkeys(left, "there is no photo of this frame")
    assert list(app.used.values()).count("confidence map") == list(polycam.used.values()).count("confidence map") == 4
    folders = {f"keyframes/{name}" for name in ("images", "cameras")}
    assert {name for name, why in polycam.unused.items() if why == "no part of this format"} == {"mesh_info.json"}
    assert {Path(name).parent.as_posix() for name in polycam.unused} == {".", *folders} and len(polycam.unused) == 9


def test_a_file_of_others_about_the_depth_maps_is_said_to_be_made_anew(tmp_path: Path) -> None:
    rgbd.write_scene(tmp_path)
    (tmp_path / "sparse" / "0" / "depth_params.json").write_text("{}")
    why = {"sparse/0/depth_params.json": "each depth map is fitted to the points anew"}
    assert load_scene(tmp_path).ledger.unused == why


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("README.md", "no part of this format"),
        ("notes/a.bin", "no part of this format"),
        ("sub/images/1.JPG", "an image that nothing in this format names"),
        ("colmap_sparse/0/images.bin", "of a COLMAP model that is not read"),
        ("Masks/1.png", "masks are read from a folder masks or mask beside that of the photos"),
        ("cloud.ply", "points or a mesh that nothing in this format names"),
    ],
)
def test_no_file_is_missed(tmp_path: Path, name: str, why: str) -> None:
    recordings.write_tum(tmp_path)
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).touch()
    assert load_scene(tmp_path).ledger.unused == {name: why}


def test_names_that_are_no_text_are_shown_and_not_obeyed(tmp_path: Path) -> None:
    (tmp_path / "a\x1b[31m\n").touch()
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xff")).touch()
    line = account(tmp_path, {}, {}, lambda path: "else").line
    assert r"a\x1b[31m\n" in line and r"b\udcff" in line and line.isprintable() and line.encode()


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    """A pipe gives nothing to whoever opens it, for ever."""
    recordings.write_tum(tmp_path)
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "gone.png").symlink_to("nowhere")
    assert load_scene(tmp_path).ledger.unused == {"gone.png": "a link to what is not there"}


def test_links_are_followed_once(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1").touch()
    (tmp_path / "a" / "back").symlink_to(tmp_path)
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "x").touch()
    assert files_below(tmp_path) == [tmp_path / "a" / "1"]
    assert account(tmp_path / "a", {}, {tmp_path: "why"}, lambda path: "else").unused == {"1": "why"}
    assert Ledger().line == ""
