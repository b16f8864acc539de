"""Datasets as a whole: what load_scene recognises, splits, skips and says."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scene import build, load_scene
from scene.images import load_image
from scene.readers import colmap, transforms
from scene.readers.base import OPENCV_FROM_OPENGL
from scene.types import Camera, PointCloud, Scene, View
from tests.conftest import real_scene
from tests.helpers import scenes
from utils.errors import UserError


def write_colmap(folder: Path, count: int = 10) -> list[Camera]:
    cameras = scenes.cameras(count)
    colmap.write_model(folder / "sparse" / "0", cameras, scenes.points())
    for camera in cameras:
        scenes.write_photo(folder / "images" / camera.name, camera.width, camera.height)
    return cameras


def write_transforms(folder: Path, cameras: list[Camera], name: str = "transforms.json", **fields: object) -> None:
    frames = []
    for camera in cameras:
        pose = np.linalg.inv(OPENCV_FROM_OPENGL @ camera.camera_from_world)
        frames.append({"file_path": f"./images/{Path(camera.name).stem}", "transform_matrix": pose.tolist()})
    (folder / name).write_text(json.dumps({**fields, "frames": frames}))


def test_colmap(tmp_path: Path) -> None:
    cameras = write_colmap(tmp_path)
    scene = load_scene(tmp_path, eval_split=True)
    assert scene.kind == "COLMAP" and len(scene.measured) == 50
    assert [view.camera.name for view in scene.test] == ["000.png", "008.png"]
    assert len(scene.train) == 8 and scene.train[0].camera.name == "001.png"
    assert scene.train[0].camera.fx == cameras[1].fx and scene.train[0].camera.cx == cameras[1].cx
    centers = np.stack([view.camera.center for view in scene.train])
    assert scene.extent == pytest.approx(1.1 * np.linalg.norm(centers - centers.mean(0), axis=1).max())


def test_test_images_by_name_or_stem(tmp_path: Path) -> None:
    write_colmap(tmp_path)
    scene = load_scene(tmp_path, test_images=("003.png", "005"))
    assert [view.camera.name for view in scene.test] == ["003.png", "005.png"]
    assert len(load_scene(tmp_path).test) == 0
    with pytest.raises(UserError, match=r"no photo '03.png'; there are 003\.png"):
        load_scene(tmp_path, test_images=("03.png",))


def test_missing_photos_are_skipped_and_said(tmp_path: Path) -> None:
    write_colmap(tmp_path)
    (tmp_path / "images" / "004.png").unlink()
    scene = load_scene(tmp_path)
    assert len(scene.train) == 9 and "1 listed photos are missing and skipped (004.png)" in scene.summary


def test_a_dataset_most_of_whose_photos_are_missing_is_warned_of(tmp_path: Path) -> None:
    write_colmap(tmp_path)
    for number in range(1, 7):
        (tmp_path / "images" / f"{number:03}.png").unlink()
    (warning,) = load_scene(tmp_path).warnings
    assert warning == "6 of 10 listed photos are missing, such as 001.png: is the dataset whole?"


def test_photos_of_another_size_have_scaled_cameras(tmp_path: Path) -> None:
    cameras = write_colmap(tmp_path)
    for camera in cameras:
        scenes.write_photo(tmp_path / "images_2" / camera.name, 20, 15)
    view = load_scene(tmp_path, images="images_2").train[0]
    assert (view.camera.width, view.camera.height) == (20, 15)
    assert view.camera.fx == cameras[0].fx / 2 and view.camera.cy == cameras[0].cy / 2
    shrunk = load_scene(tmp_path, resolution=2).train[0]
    assert shrunk.camera.fx == cameras[0].fx / 2 and load_image(shrunk).color.shape == (3, 15, 20)


def test_masks_beside_the_photos(tmp_path: Path) -> None:
    write_colmap(tmp_path, 2)
    scenes.write_photo(tmp_path / "masks" / "000.png", 40, 30)
    scene = load_scene(tmp_path)
    assert load_image(scene.train[0]).mask is not None and load_image(scene.train[1]).mask is None
    assert "1 masks" in scene.summary


def test_transforms_give_the_same_cameras(tmp_path: Path) -> None:
    cameras = write_colmap(tmp_path)
    (tmp_path / "sparse").rename(tmp_path / "elsewhere")
    write_transforms(tmp_path, cameras, fl_x=35.0, fl_y=36.0, cx=19.5, cy=15.5, w=40, h=30)
    scene = load_scene(tmp_path, eval_split=True)
    assert scene.kind == "nerfstudio" and len(scene.test) == 2 and "random ones" in scene.summary
    for view in scene.train:
        expected = cameras[int(view.image_path.stem)]
        np.testing.assert_allclose(view.camera.camera_from_world, expected.camera_from_world, atol=1e-12)
        assert (view.camera.fx, view.camera.fy, view.camera.cx, view.camera.cy) == (35.0, 36.0, 19.5, 15.5)
    assert np.mean(seen_by(scene, scene.points.positions) >= 0.5 * len(scene.train)) > 0.5


def seen_by(scene: Scene, points: np.ndarray) -> np.ndarray:
    """(P,) how many training cameras have a point in their picture."""
    count = np.zeros(len(points), int)
    for camera in (view.camera for view in scene.train):
        x, y, z = camera.camera_from_world[:3, :3] @ points.T + camera.camera_from_world[:3, 3:]
        u, v = camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy
        count += (z > 0) & (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)
    return count


def test_transforms_with_several_lenses_and_missing_photos(tmp_path: Path) -> None:
    cameras = write_colmap(tmp_path, 3)
    (tmp_path / "sparse").rename(tmp_path / "elsewhere")
    write_transforms(tmp_path, cameras, w=40, h=30)
    content = json.loads((tmp_path / "transforms.json").read_text())
    content["frames"][0] |= {"fl_x": 30.0}
    content["frames"][1] |= {"fl_x": 40.0, "k1": 0.1}
    content["frames"][2] |= {"fl_x": 50.0, "file_path": "images/gone.png"}
    (tmp_path / "transforms.json").write_text(json.dumps(content))
    scene = load_scene(tmp_path)
    assert [view.camera_model is None for view in scene.train] == [True, False]
    assert scene.train[0].camera.fx == 30.0 and scene.train[1].camera.fx != 40.0
    assert "gone.png" in scene.summary and "lens distortion undone (FULL_OPENCV)" in scene.summary


def test_files_of_a_second_format_are_said_not_to_be_read(tmp_path: Path) -> None:
    cameras = write_colmap(tmp_path)
    assert "not read" not in load_scene(tmp_path).summary
    write_transforms(tmp_path, cameras, fl_x=35.0)
    scene = load_scene(tmp_path)
    assert scene.kind == "COLMAP" and "there are files of transforms.json or" in scene.summary


def test_blender(tmp_path: Path) -> None:
    cameras = scenes.cameras(4)
    for camera in cameras:
        scenes.write_photo(tmp_path / "images" / camera.name, 40, 30, channels=4)
    write_transforms(tmp_path, cameras[:3], "transforms_train.json", camera_angle_x=2 * np.arctan(20 / 35))
    write_transforms(tmp_path, cameras[3:], "transforms_test.json", camera_angle_x=2 * np.arctan(20 / 35))
    scene = load_scene(tmp_path, white_background=True)
    assert scene.kind == "Blender" and len(scene.train) == 3 and len(scene.test) == 1
    assert scene.train[0].camera.fx == pytest.approx(35) and scene.train[0].camera.cx == 20
    image = load_image(scene.train[0])
    assert image.mask is None and (image.color[:, :, :18] == 1).all()  # transparent there: white shows


def test_what_is_no_dataset_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not there"):
        load_scene(tmp_path / "gone")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UserError, match=r"is no dataset: it has notes\.txt, and it needs .*sparse/0 .*traj\.txt"):
        load_scene(tmp_path)
    (tmp_path / "transforms.json").write_text("{")
    with pytest.raises(UserError, match=r"transforms\.json cannot be read as JSON"):
        load_scene(tmp_path)
    write_colmap(tmp_path / "a", 2)
    with pytest.raises(UserError, match="the image folder .*images_4 is not there"):
        load_scene(tmp_path / "a", images="images_4")
    with pytest.raises(UserError, match="all 2 photos are test views"):
        load_scene(tmp_path / "a", test_images=("000", "001"))


@pytest.mark.parametrize("folder", ["images", ".", "photos/room"])
def test_photos_without_poses_need_a_place_and_pycolmap(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        scenes.write_photo(tmp_path / "data" / folder / f"{name}.JPG", 40, 30)
    with pytest.raises(UserError, match=r"the poses of its 3 photos need a folder to be kept in: .*-m of the scripts"):
        load_scene(tmp_path / "data")
    monkeypatch.setitem(sys.modules, "pycolmap", None)
    with pytest.raises(UserError, match=r"need pycolmap, .*: pip install -e \"\.\[sfm\]\" --no-build-isolation"):
        load_scene(tmp_path / "data", workspace=tmp_path / "model")
    assert not list((tmp_path / "model").iterdir())
    (tmp_path / "data" / folder / "a.JPG").unlink()
    with pytest.raises(UserError, match="has 2 photos; at least 3 are needed"):
        load_scene(tmp_path / "data", workspace=tmp_path / "model")


def test_fox_by_both_of_its_descriptions(tmp_path: Path) -> None:
    source = real_scene("fox")
    by_colmap = load_scene(source, test_images=("0014.jpg",))
    assert len(by_colmap.train) == 49 and "OPENCV" in by_colmap.summary
    for name in ("images", "transforms.json"):
        (tmp_path / name).symlink_to(source / name)
    by_transforms = load_scene(tmp_path)
    assert len(by_transforms.train) == 50 and "17 listed photos are missing" in by_transforms.summary
    assert by_transforms.train[0].camera.fx == pytest.approx(by_colmap.train[0].camera.fx, rel=0.03)


@pytest.mark.parametrize(
    "error", [KeyError("k"), OverflowError(), RecursionError("deep"), np.linalg.LinAlgError("flat")]
)
def test_what_escapes_a_reader_names_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def read(*_: object) -> None:
        raise error

    (tmp_path / "transforms.json").write_text("{}")
    monkeypatch.setattr(transforms, "read", read)
    with pytest.raises(UserError, match=f"{tmp_path.name} has the files of transforms.json .*{type(error).__name__}"):
        load_scene(tmp_path)


def test_photos_that_cannot_be_decoded_are_named(tmp_path: Path) -> None:
    (tmp_path / "IMG_1.DNG").touch()
    with pytest.raises(UserError, match=r"1 photos such as IMG_1\.DNG cannot be decoded here; convert them to JPEG"):
        load_scene(tmp_path, workspace=tmp_path / "model")


def test_guessed_points_measure_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the extent nor the near plane knows of them."""
    write_colmap(tmp_path)
    plain = load_scene(tmp_path)

    def add_before_the_cameras(points: PointCloud, views: Sequence[View]) -> tuple[PointCloud, str]:
        places = [view.camera.center + 1e-3 * view.camera.camera_from_world[2, :3] for view in views for _ in range(50)]
        return points.joined(PointCloud(np.array(places), np.zeros((len(places), 3), np.float32))), "some are guessed"

    monkeypatch.setattr(build, "add_where_none", add_before_the_cameras)
    guessed = load_scene(tmp_path)
    assert len(guessed.points) > len(plain.measured) == len(guessed.measured) and "some are guessed" in guessed.summary
    assert (guessed.extent, guessed.near) == (plain.extent, plain.near)
    assert len(load_scene(tmp_path, guess_points=False).points) == len(plain.measured)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"resolution": 0}, "resolution is 0; it must be -1"),
        ({"resolution": -8}, "resolution is -8"),
        ({"frames": 0}, "frames of a video to take: 0; at least 3"),
        ({"depth_scale": float("nan")}, "scale of the depth maps is nan"),
    ],
)
def test_arguments_that_mean_nothing_are_refused(tmp_path: Path, given: dict[str, Any], said: str) -> None:
    write_colmap(tmp_path)
    with pytest.raises(UserError, match=said):
        load_scene(tmp_path, **given)


def test_a_split_that_holds_out_nothing_is_said(tmp_path: Path) -> None:
    write_colmap(tmp_path)
    assert load_scene(tmp_path, eval_split=True).warnings == ()
    for name in ("000.png", "008.png"):
        (tmp_path / "images" / name).write_bytes(b"damaged")
    scene = load_scene(tmp_path, eval_split=True)
    assert len(scene.test) == 0 and "no photo is held out" in scene.warnings[1]


def test_validation_views_are_held_out_where_there_are_no_test_views(tmp_path: Path) -> None:
    cameras = scenes.cameras(5)
    for camera in cameras:
        scenes.write_photo(tmp_path / "images" / camera.name, 40, 30)
    for name, part in (("train", cameras[:3]), ("val", cameras[3:])):
        write_transforms(tmp_path, part, f"transforms_{name}.json", camera_angle_x=1.0)
    scene = load_scene(tmp_path, eval_split=True)
    assert [view.camera.name for view in scene.test] == ["images/003.png", "images/004.png"] and len(scene.train) == 3
    assert scene.ledger.unused == {}
    write_transforms(tmp_path, cameras[4:], "transforms_test.json", camera_angle_x=1.0)
    scene = load_scene(tmp_path)
    assert [view.camera.name for view in scene.test] == ["images/004.png"]
    assert scene.ledger.unused["transforms_val.json"] == "transforms_test.json has the test views"


def test_points_that_no_photo_shows_are_said_and_replaced(tmp_path: Path) -> None:
    """They are of another scene, or in other coordinates: a training that starts from them shows nothing."""
    cameras = write_colmap(tmp_path)
    behind = PointCloud(scenes.points(200).positions + np.float32(500), scenes.points(200).colors)
    colmap.write_model(tmp_path / "sparse" / "0", cameras, behind)
    scene = load_scene(tmp_path)
    assert len(scene.points) > 10_000 and len(scene.measured) == 0
    assert "none of the 200 points is in the picture of any training camera" in scene.warnings[0]
