"""transforms.json: what each key means, what is refused by name, and which files are found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scene import load_scene
from scene.io.points import write_points
from scene.types import PointCloud, Scene
from tests.helpers import rgbd, scenes
from utils.errors import UserError

NAN = float("nan")


def write(folder: Path, count: int = 4, *, frame: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """A scene of `count` photos 40 × 30; `frame` is added to the first frame, `fields` to the file."""
    cameras = scenes.cameras(count)
    for camera in cameras:
        if not (folder / "images" / camera.name).exists():
            scenes.write_photo(folder / "images" / camera.name, camera.width, camera.height)
    rgbd.write_transforms(folder, cameras, **fields)
    content = json.loads((folder / "transforms.json").read_text())
    for entry in content["frames"]:
        del entry["depth_file_path"]
    content["frames"][0] |= frame or {}
    (folder / "transforms.json").write_text(json.dumps(content))
    return content


def fx_fy(scene: Scene) -> tuple[float, float]:
    return scene.train[0].camera.fx, scene.train[0].camera.fy


@pytest.mark.parametrize(
    "key, value",
    [(key, value) for key in ("fl_x", "w", "k3", "cx") for value in (True, "35", [35], NAN, float("inf"), 10**400)]
    + [("fl_y", 0), ("fl_y", -3), ("w", 0), ("w", 10.5), ("h", 1e9), ("is_fisheye", "yes"), ("camera_model", 3)]
    + [("camera_angle_x", 0), ("camera_angle_x", 3.2), ("depth_unit_scale_factor", -1), ("ply_file_path", 3)]
    + [("integer_depth_scale", 0), ("test_filenames", "a"), ("test_filenames", [3]), ("enable_depth_loading", 1)],
)
def test_a_bad_value_is_named_with_its_file_and_key(tmp_path: Path, key: str, value: Any) -> None:
    write(tmp_path, **{key: value})
    with pytest.raises(UserError, match=rf"transforms\.json: {key}(\[0\])? is .*it (must be|is too large)"):
        load_scene(tmp_path)


@pytest.mark.parametrize("key, value", [("fl_x", "x"), ("file_path", 3), ("file_path", None), ("mask_path", 3)])
@pytest.mark.parametrize("add", [True, False])
def test_a_bad_value_of_a_frame_is_named(tmp_path: Path, key: str, value: Any, add: bool) -> None:
    content = write(tmp_path)
    content["frames"][2][key] = value
    (tmp_path / "transforms.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=rf"transforms\.json: frames\[2\]\.{key} is .*it must be a"):
        load_scene(tmp_path)


@pytest.mark.parametrize("frames", [3, None, [], [None], ["a"], [{}], {"a": 1}])
def test_what_are_no_frames_is_refused(tmp_path: Path, frames: Any) -> None:
    (tmp_path / "transforms.json").write_text(json.dumps({"frames": frames}))
    with pytest.raises(UserError, match=r"transforms\.json: frames.* (it must be|it lacks)"):
        load_scene(tmp_path)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"\xff\xfe\x00", b"[" * 100_000, b'{"frames":' + b"9" * 9999 + b"}", b"3", b"null"]
)
def test_what_is_no_json_object_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "transforms.json").write_bytes(data)
    with pytest.raises(UserError, match=r"transforms\.json(:| cannot be read as JSON)"):
        load_scene(tmp_path)


def test_null_counts_as_absent(tmp_path: Path) -> None:
    write(tmp_path, fl_x=35.0, fl_y=None, k1=0.01, k3=None, w=None, h=None, frame={"mask_path": None, "fl_x": None})
    scene = load_scene(tmp_path)
    lens = scene.train[0].camera_model
    assert lens is not None and lens.params[:2] == (35.0, 35.0) and lens.params[4] == 0.01 and lens.params[8] == 0


def test_a_byte_order_mark_is_stepped_over(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / "transforms.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(load_scene(tmp_path).train) == 4


@pytest.mark.parametrize("bad", [NAN, float("-inf")])
def test_frames_without_a_finite_pose_are_skipped_and_counted(tmp_path: Path, bad: float) -> None:
    write(tmp_path, frame={"transform_matrix": [[bad] * 4] * 4})
    scene = load_scene(tmp_path)
    assert len(scene.train) == 3 and "1 frames are skipped" in scene.warnings[0] and "000.png" in scene.warnings[0]


@pytest.mark.parametrize(
    "pose",
    [
        np.eye(4).T.tolist()[:3],
        [[1, 0, 0, 1e30], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
        [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [3, 2, 1, 1]],  # transposed: the translation is in the last row
        [[1, 0, 0, 0], [0, 1, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
        [[0] * 4] * 4,
        [[1]],
        [],
    ],
)
def test_what_is_no_pose_is_refused_by_its_frame(tmp_path: Path, pose: Any) -> None:
    write(tmp_path, frame={"transform_matrix": pose})
    with pytest.raises(UserError, match=r"frames\[0\] \(images/000.png\): transform_matrix is no camera pose"):
        load_scene(tmp_path)


def test_a_mirrored_pose_is_said_to_mirror(tmp_path: Path) -> None:
    write(tmp_path, frame={"transform_matrix": np.diag([-1.0, 1, 1, 1]).tolist()})
    with pytest.raises(UserError, match=r"images/000.png.*it mirrors .* one of its axes has the wrong sign"):
        load_scene(tmp_path)


@pytest.mark.parametrize(
    "key, value", [("camera_convention", "opencv"), ("coordinate_system", "RDF"), ("convention", 3)]
)
def test_poses_of_another_convention_are_refused(tmp_path: Path, key: str, value: Any) -> None:
    write(tmp_path, **{key: value})
    with pytest.raises(UserError, match=f"{key} is .?{value}.*poses are read as those of OpenGL"):
        load_scene(tmp_path)
    write(tmp_path, **{key: "OpenGL"})
    assert load_scene(tmp_path).warnings == ()


# ---- lenses


def test_the_frame_overrides_the_file_and_pixels_the_field_of_view(tmp_path: Path) -> None:
    angle = {"camera_angle_x": 2 * np.arctan(20 / 50), "camera_angle_y": 2 * np.arctan(15 / 60)}
    write(tmp_path, **angle)
    assert fx_fy(load_scene(tmp_path)) == (35.0, 36.0)
    write(tmp_path, fl_x=None, fl_y=None, **angle)
    assert fx_fy(load_scene(tmp_path)) == pytest.approx((50, 60))
    write(tmp_path, frame=angle)
    assert fx_fy(load_scene(tmp_path)) == pytest.approx((50, 60))
    write(tmp_path, fl_x=None, fl_y=None, camera_angle_y=angle["camera_angle_y"])
    assert fx_fy(load_scene(tmp_path)) == pytest.approx((60, 60))
    write(tmp_path, fl_x=None, fl_y=None)
    with pytest.raises(UserError, match=r"frames\[0\] \(images/000.png\) has neither fl_x nor camera_angle_x"):
        load_scene(tmp_path)


@pytest.mark.parametrize("said", [{"is_fisheye": True}, *({"camera_model": m} for m in ("FISHEYE", "OPENCV_FISHEYE"))])
def test_fisheye_lenses_are_read_as_such(tmp_path: Path, said: dict[str, Any]) -> None:
    write(tmp_path, k1=0.01, k2=0.02, k3=0.03, k4=0.04, **said)
    lens = load_scene(tmp_path).train[0].camera_model
    assert lens is not None and lens.model == "OPENCV_FISHEYE" and lens.params[4:] == (0.01, 0.02, 0.03, 0.04)


@pytest.mark.parametrize("frame", [True, False])
@pytest.mark.parametrize(
    "said", [*({"camera_model": m} for m in ("EQUIRECTANGULAR", "ORTHOPHOTO", "VR180_L", "FISHEYE624", "x")),
             {"latlong": True}, {"equirectangular": True}, {"ftheta_p0": 0.1}]
)  # fmt: skip
def test_lenses_that_are_not_read_are_refused_by_name(tmp_path: Path, said: dict[str, Any], frame: bool) -> None:
    write(tmp_path, **({"frame": said} if frame else said))
    (key, value) = next(iter(said.items()))
    with pytest.raises(UserError, match=f"{key} is .*{value}.*a lens that is not read; these are: SIMPLE_PINHOLE"):
        load_scene(tmp_path)


def test_a_lens_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    for said, message in (
        ({"is_fisheye": True, "camera_model": "OPENCV"}, "is_fisheye is true, but camera_model is 'OPENCV'"),
        ({"is_fisheye": True, "p1": 0.1}, "p1 is 0.1, but a camera of this model has k1, k2, k3, k4 only"),
        ({"k4": 0.1}, "k4 is 0.1, but a camera of this model has k1, k2, p1, p2, k3 only"),
        ({"h": None}, "of w and h one is stated"),
    ):
        write(tmp_path, **said)
        with pytest.raises(UserError, match=message):
            load_scene(tmp_path)
    write(tmp_path, k4=0.1, camera_model="FULL_OPENCV")
    lens = load_scene(tmp_path).train[0].camera_model
    assert lens is not None and lens.params[9] == 0.1


# ---- depth


@pytest.mark.parametrize("key", ["depth_unit_scale_factor", "integer_depth_scale"])
@pytest.mark.parametrize("path_key", ["depth_file_path", "depth_path"])
def test_depth_and_its_unit_by_either_name(tmp_path: Path, key: str, path_key: str) -> None:
    cameras = rgbd.write_scene(tmp_path)
    (tmp_path / "sparse").rename(tmp_path / "elsewhere")
    rgbd.write_depth(tmp_path, cameras, 3000, name="zmaps")
    rgbd.write_transforms(tmp_path, cameras, **{key: 1 / 3000})
    text = (tmp_path / "transforms.json").read_text().replace('"depth/', '"zmaps/')
    (tmp_path / "transforms.json").write_text(text.replace("depth_file_path", path_key))
    scene = load_scene(tmp_path)
    assert set(rgbd.scales(scene).values()) == {1 / 3000} and len(rgbd.scales(scene)) == 4
    content = json.loads((tmp_path / "transforms.json").read_text())
    (tmp_path / "transforms.json").write_text(json.dumps({**content, "enable_depth_loading": False}))
    assert rgbd.scales(load_scene(tmp_path)) == {}


def test_depth_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    write(tmp_path, depth_unit_scale_factor=0.001, integer_depth_scale=0.002)
    with pytest.raises(UserError, match=r"depth_unit_scale_factor is 0\.001 and integer_depth_scale is 0\.002"):
        load_scene(tmp_path)
    write(tmp_path, frame={"depth_file_path": "a.png", "depth_path": "b.png"})
    with pytest.raises(UserError, match=r"two depth maps: depth_file_path a\.png, depth_path b\.png"):
        load_scene(tmp_path)


# ---- test views


def test_views_are_held_out_as_the_file_lists_them(tmp_path: Path) -> None:
    photos = [f"images/{number:03}.png" for number in range(8)]
    write(tmp_path, 8, train_filenames=photos[2:6], val_filenames=photos[6:7], test_filenames=["./" + photos[0]])
    scene = load_scene(tmp_path, eval_split=True)
    assert [view.camera.name for view in scene.test] == photos[:1]
    assert [view.camera.name for view in scene.train] == photos[2:6]
    assert "3 photos are neither in train_filenames nor in test_filenames" in scene.summary
    write(tmp_path, 8, val_filenames=photos[6:7])
    assert [view.camera.name for view in load_scene(tmp_path).test] == photos[6:7]


def test_the_same_photos_may_be_for_validation_and_for_tests(tmp_path: Path) -> None:
    photos = [f"images/{number:03}.png" for number in range(8)]
    write(tmp_path, 8, train_filenames=photos[2:], val_filenames=photos[:2], test_filenames=photos[:2])
    scene = load_scene(tmp_path)
    assert [view.camera.name for view in scene.test] == photos[:2] and len(scene.train) == 6


def test_lists_that_cannot_be_are_refused(tmp_path: Path) -> None:
    write(tmp_path, test_filenames=["images/9.png"])
    with pytest.raises(UserError, match=r"test_filenames names images/9\.png, which is the file_path of no frame"):
        load_scene(tmp_path)
    write(tmp_path, train_filenames=["images/000.png"], test_filenames=["images/000.png"])
    with pytest.raises(UserError, match=r"images/000\.png is in train_filenames, and held out"):
        load_scene(tmp_path)


def test_a_test_file_that_is_a_copy_of_the_training_file_is_refused(tmp_path: Path) -> None:
    write(tmp_path)
    text = (tmp_path / "transforms.json").read_text()
    (tmp_path / "transforms.json").unlink()
    for name in ("transforms_train.json", "transforms_test.json"):
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=r"transforms_train\.json and .*transforms_test\.json list the same 4 photos"):
        load_scene(tmp_path)
    content = json.loads(text)
    (tmp_path / "transforms_test.json").write_text(json.dumps({**content, "frames": content["frames"][:1]}))
    scene = load_scene(tmp_path)
    assert len(scene.test) == 1 and len(scene.train) == 3 and "transforms_test.json lists too" in scene.warnings[0]


# ---- files


def test_the_folder_that_i_names_is_where_the_photos_are(tmp_path: Path) -> None:
    cameras = scenes.cameras(4)
    write(tmp_path)
    for camera in cameras:
        scenes.write_photo(tmp_path / "images_2" / camera.name, 20, 15)
    scene = load_scene(tmp_path, images="images_2")
    assert {view.camera.width for view in scene.train} == {20} and len(scene.train) == 4
    assert scene.train[0].image_path == tmp_path / "images_2" / "000.png" and scene.train[0].camera.fx == 17.5
    (tmp_path / "images_2" / "000.png").unlink()
    assert "1 listed photos are missing" in load_scene(tmp_path, images="images_2").summary
    with pytest.raises(UserError, match=r"image folder .*images_8 is not there"):
        load_scene(tmp_path, images="images_8")


@pytest.mark.parametrize("listed", ["images\\{}", "IMAGES/{}", "/home/someone/scene/images/{}", "C:\\data\\images\\{}"])
def test_photos_are_found_by_names_of_other_machines(tmp_path: Path, listed: str) -> None:
    content = write(tmp_path)
    for entry in content["frames"]:
        entry["file_path"] = listed.format(Path(entry["file_path"]).name)
    (tmp_path / "transforms.json").write_text(json.dumps(content))
    scene = load_scene(tmp_path)
    assert len(scene.train) == 4 and "4 photos are not where they are listed" in scene.summary


def test_one_photo_is_not_given_to_two_cameras(tmp_path: Path) -> None:
    content = write(tmp_path)
    content["frames"][1]["file_path"] = "elsewhere/images/000.png"
    (tmp_path / "transforms.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"000\.png is listed twice, with different cameras"):
        load_scene(tmp_path)
    content["frames"][1] = content["frames"][0]
    (tmp_path / "transforms.json").write_text(json.dumps(content))
    scene = load_scene(tmp_path)
    assert len(scene.train) == 3 and "1 photos are listed twice" in scene.summary


@pytest.mark.parametrize("name", ["{}.png", "{}.jpg", "{}.PNG", "{}.jpg.png", "images/{}.png"])
def test_masks_beside_the_file_are_used(tmp_path: Path, name: str) -> None:
    write(tmp_path)
    for number in range(3):
        scenes.write_photo(tmp_path / "masks" / name.format(f"{number:03}"), 40, 30, channels=1)
    masks = [view.mask_path for view in load_scene(tmp_path).train]
    assert [mask is not None for mask in masks] == [True, True, True, False]


def test_a_mask_that_is_listed_and_not_there_is_refused(tmp_path: Path) -> None:
    write(tmp_path, frame={"mask_path": "masks/gone.png"})
    with pytest.raises(UserError, match=r"frames\[0\] \(images/000.png\): its mask_path .*gone\.png is not there"):
        load_scene(tmp_path)


def test_unknown_keys_are_said_and_harmless_ones_are_not(tmp_path: Path) -> None:
    write(tmp_path, aabb_scale=4, frame={"sharpness": 3.0})
    assert load_scene(tmp_path).warnings == ()
    write(tmp_path, rolling_shutter=[0, 0, 1, 0], frame={"time": 0.5})
    (said,) = load_scene(tmp_path).warnings
    assert "transforms.json: not known, and not used: rolling_shutter, time of frames" in said


def test_points_that_are_nowhere_are_left_out(tmp_path: Path) -> None:
    positions = np.array([[0, 0, 0], [1e20, 0, 0], [0, 1, 0]], np.float32)
    write_points(tmp_path / "a.ply", PointCloud(positions, np.zeros((3, 3), np.float32)))
    write(tmp_path, ply_file_path="a.ply")
    points = load_scene(tmp_path).points.positions
    assert len(points) == 2 and points.max() == 1


@pytest.mark.parametrize("name", ["a" * 5000, "a\0b"])
def test_names_that_no_file_system_takes_are_of_nothing(tmp_path: Path, name: str) -> None:
    write(tmp_path, frame={"file_path": name})
    assert len(load_scene(tmp_path).train) == 3
    write(tmp_path, frame={"depth_file_path": name})
    scene = load_scene(tmp_path)
    assert len(scene.train) == 4 and "1 listed depth maps are missing" in scene.warnings[0]
    write(tmp_path, frame={"mask_path": name})
    with pytest.raises(UserError, match="transforms.json: .* its mask_path .* is not there"):
        load_scene(tmp_path)


def test_a_photo_is_not_taken_for_the_mask_or_map_of_its_name(tmp_path: Path) -> None:
    content = write(tmp_path)
    for entry in content["frames"]:
        name = Path(entry["file_path"]).name
        (tmp_path / entry["file_path"]).rename(tmp_path / name)
        entry |= {"file_path": name, "depth_file_path": f"depth/{name}"}
    (tmp_path / "transforms.json").write_text(json.dumps(content))
    scene = load_scene(tmp_path)
    assert all(view.depth is None for view in scene.train) and "4 listed depth maps are missing" in scene.warnings[0]
    content["frames"][0]["mask_path"] = "masks/000.png"
    (tmp_path / "transforms.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"its mask_path .*masks/000\.png is not there"):
        load_scene(tmp_path)


@pytest.mark.parametrize("listed", ["masks\\000.png", "C:\\data\\masks\\000.png", "/home/me/scene/Masks/000.PNG"])
def test_masks_are_found_by_names_of_other_machines(tmp_path: Path, listed: str) -> None:
    write(tmp_path, frame={"mask_path": listed})
    scenes.write_photo(tmp_path / "masks" / "000.png", 40, 30, channels=1)
    assert load_scene(tmp_path).train[0].mask_path == tmp_path / "masks" / "000.png"


def test_depth_as_nerfcapture_writes_it(tmp_path: Path) -> None:
    """Photos without a suffix in the file, maps beside them, and 10 m in 65535 steps."""
    cameras = rgbd.make_cameras(4)
    rgbd.write_transforms(tmp_path, cameras, integer_depth_scale=10 / 65535)
    content = json.loads((tmp_path / "transforms.json").read_text())
    for number, (camera, frame) in enumerate(zip(cameras, content["frames"], strict=True)):
        scenes.write_photo(tmp_path / "images" / f"{number}.png", camera.width, camera.height)
        rgbd.write_map(tmp_path / "images" / f"{number}.depth.png", 6553.5 * rgbd.sphere_depth(camera))
        del frame["depth_file_path"]
        frame |= {"file_path": f"images/{number}", "depth_path": f"images/{number}.depth.png", "timestamp": 1.5}
    (tmp_path / "transforms.json").write_text(json.dumps(content))
    scene = load_scene(tmp_path)
    assert scene.warnings == () and scene.ledger.unused == {}
    for view in scene.train:
        depth, valid = rgbd.depth_of(view)
        assert valid.mean() > 0.9 and np.abs(depth / rgbd.sphere_depth(view.camera) - 1)[valid].max() < 0.001
