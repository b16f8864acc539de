"""Far views: from test_far/, from test_far.txt, in the ledger, and never trained on."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from scene import load_scene
from scene.types import Camera
from tests.helpers import rgbd, scenes
from utils.errors import UserError


def write_far(folder: Path, cameras: list[Camera], **fields: object) -> None:
    """A far folder with photos, depth in scene units and masks whose left half counts."""
    for camera in cameras:
        scenes.write_photo(folder / "images" / camera.name, camera.width, camera.height)
        (folder / "depth").mkdir(exist_ok=True)
        np.save(folder / "depth" / f"{Path(camera.name).stem}.npy", rgbd.sphere_depth(camera).astype(np.float32))
        mask = np.zeros((camera.height, camera.width), np.uint8)
        mask[:, : camera.width // 2] = 255
        (folder / "masks").mkdir(exist_ok=True)
        cv2.imwrite(str(folder / "masks" / camera.name), mask)
    rgbd.write_transforms(folder, cameras, **fields)
    content = json.loads((folder / "transforms.json").read_text())
    for frame in content["frames"]:
        frame["depth_file_path"] = frame["depth_file_path"].replace(".png", ".npy")
    (folder / "transforms.json").write_text(json.dumps(content))


def test_a_folder_of_far_views_is_a_split_of_its_own(tmp_path: Path) -> None:
    rgbd.write_depth(tmp_path, rgbd.write_scene(tmp_path, 4))
    far = rgbd.make_cameras(7)[4:]
    write_far(tmp_path / "test_far", far)
    for depths in ("", "none"):
        scene = load_scene(tmp_path, eval_split=True, depths=depths)
        assert (len(scene.train), len(scene.test), len(scene.far)) == (3, 1, 3)
        assert [view.camera.name for view in scene.far] == [f"test_far/images/{camera.name}" for camera in far]
        for view, camera in zip(scene.far, far, strict=True):
            np.testing.assert_allclose(view.camera.camera_from_world, camera.camera_from_world, atol=1e-9)
            assert view.mask_path is not None
            depth, valid = rgbd.depth_of(view)
            assert valid.all()
            np.testing.assert_allclose(depth, rgbd.sphere_depth(camera), rtol=1e-6)
    assert "(and 3 far ones)" in scene.summary and not scene.warnings


def test_the_ledger_counts_far_files(tmp_path: Path) -> None:
    rgbd.write_scene(tmp_path, 4)
    write_far(tmp_path / "test_far", rgbd.make_cameras(5)[4:])
    used = load_scene(tmp_path).ledger.used
    assert {name: what for name, what in used.items() if name.startswith("test_far")} == {
        "test_far/transforms.json": "file of far views",
        "test_far/images/004.png": "far photo",
        "test_far/depth/004.npy": "far depth map",
        "test_far/masks/004.png": "far mask",
    }


def test_far_photos_are_listed_by_name_or_stem_and_not_trained_on(tmp_path: Path) -> None:
    rgbd.write_depth(tmp_path, rgbd.write_scene(tmp_path, 6))
    (tmp_path / "test_far.txt").write_text("005\n001.png\n\n")
    scene = load_scene(tmp_path, eval_split=True)
    assert [view.camera.name for view in scene.far] == ["001.png", "005.png"]
    assert [view.camera.name for view in scene.test] == ["000.png"]
    assert [view.camera.name for view in scene.train] == ["002.png", "003.png", "004.png"]
    assert all(view.depth is not None for view in scene.far)
    assert scene.ledger.used["test_far.txt"] == "file of far views"
    (tmp_path / "test_far.txt").write_text("009\n")
    with pytest.raises(UserError, match=r"test_far.txt lists 009, which is no photo of the dataset; such are 000.png"):
        load_scene(tmp_path)
    (tmp_path / "test_far.txt").write_text("\n".join(f"00{number}" for number in range(6)))
    with pytest.raises(UserError, match="all 6 photos are test views, and none is left"):
        load_scene(tmp_path)


def test_a_photo_of_both_is_a_far_one(tmp_path: Path) -> None:
    cameras = rgbd.write_scene(tmp_path, 5)
    write_far(tmp_path / "test_far", cameras[2:3])
    content = json.loads((tmp_path / "test_far" / "transforms.json").read_text())
    content["frames"][0]["file_path"] = "../images/002.png"
    (tmp_path / "test_far" / "transforms.json").write_text(json.dumps(content))
    scene = load_scene(tmp_path)
    assert [view.camera.name for view in scene.train] == ["000.png", "001.png", "003.png", "004.png"]
    assert [view.image_path.name for view in scene.far] == ["002.png"]


def test_a_folder_that_is_no_dataset_is_an_error(tmp_path: Path) -> None:
    rgbd.write_scene(tmp_path, 4)
    (tmp_path / "test_far").mkdir()
    with pytest.raises(UserError, match="test_far is no dataset: it has nothing"):
        load_scene(tmp_path)
    write_far(tmp_path / "test_far", rgbd.make_cameras(5)[4:])
    (tmp_path / "test_far" / "images" / "004.png").unlink()
    with pytest.raises(UserError, match="test_far: none of its 1 photos is there, such as images/004.png"):
        load_scene(tmp_path)


def test_far_views_move_with_large_coordinates(tmp_path: Path) -> None:
    cameras, away = rgbd.make_cameras(5), np.array([3e5, 5e6, 100.0])
    moved = []
    for camera in cameras:
        pose = camera.camera_from_world.copy()
        pose[:3, 3] -= pose[:3, :3] @ away
        moved.append(Camera(camera.name, *(getattr(camera, n) for n in "width height fx fy cx cy".split()), pose))
        scenes.write_photo(tmp_path / "images" / camera.name, camera.width, camera.height)
    rgbd.write_transforms(tmp_path, moved[:4])
    write_far(tmp_path / "test_far", moved[4:])
    scene = load_scene(tmp_path)
    assert any(scene.origin)
    np.testing.assert_allclose(scene.far[0].camera.center + scene.origin, cameras[4].center + away, atol=1e-6)


def test_the_length_of_the_unit_is_read_or_told_by_depth(tmp_path: Path) -> None:
    cameras = rgbd.write_scene(tmp_path, 4)
    assert load_scene(tmp_path).meters_per_unit is None
    rgbd.write_depth(tmp_path, cameras)
    assert load_scene(tmp_path).meters_per_unit == 1.0
    assert load_scene(tmp_path, depths="none").meters_per_unit is None
    write_far(tmp_path / "test_far", rgbd.make_cameras(5)[4:], meters_per_unit=2.5)
    assert load_scene(tmp_path, depths="none").meters_per_unit == 2.5
