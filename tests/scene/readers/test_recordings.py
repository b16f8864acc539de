"""RGB-D recordings of public datasets: cameras, depth in metres and points equal the truth; damage is said."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from scene import build, load_scene
from scene.readers import tum
from scene.types import Camera, Scene
from tests.helpers import recordings, rgbd
from tests.helpers.rgbd import depth_of
from utils.errors import UserError

BESIDE = np.eye(4)
BESIDE[:3, 3] = -0.2, 0.05, 0.1
Writer = Callable[[Path], list[Camera]]


def bare(folder: Path) -> list[Camera]:
    return recordings.write_seven_scenes(folder, sequence="")


def scannet_beside(folder: Path) -> list[Camera]:
    return recordings.write_scannet(folder, beside=BESIDE)


def tum_freiburg1(folder: Path) -> list[Camera]:
    return recordings.write_tum(folder, lens=tum.FREIBURG["1"])


def tum_freiburg3(folder: Path) -> list[Camera]:
    return recordings.write_tum(folder, lens=tum.FREIBURG["3"])


def replica_usual(folder: Path) -> list[Camera]:
    return recordings.write_replica(folder, with_camera=False)


def polycam_tracked(folder: Path) -> list[Camera]:
    return recordings.write_polycam(folder, corrected=False)


def record3d_itself(folder: Path) -> list[Camera]:
    return recordings.write_record3d(folder, inside="")


def redwood_usual(folder: Path) -> list[Camera]:
    return recordings.write_redwood(folder, with_camera=False, first=0)


SURE = "depth of the highest confidence alone is used"

# writer, folder's name, kind, unit, part of the note
FORMATS = [
    (recordings.write_seven_scenes, "chess", "7-Scenes", "mm", "Kinect's usual calibration assumed"),
    (bare, "frames", "7-Scenes", "mm", "Kinect's usual calibration assumed"),
    (recordings.write_scannet, "scene0000_00", "ScanNet", "mm", ""),
    (scannet_beside, "scene0000_01", "ScanNet", "mm", ""),
    (recordings.write_tum, "desk", "TUM RGB-D", "TUM's 1/5000 m", "default camera assumed"),
    (tum_freiburg1, "rgbd_dataset_freiburg1_xyz", "TUM RGB-D", "TUM's 1/5000 m", "the camera of freiburg1"),
    (tum_freiburg3, "fr3_office", "TUM RGB-D", "TUM's 1/5000 m", "the camera of freiburg3"),
    (recordings.write_replica, "office0", "Replica", "Replica's 1/6553.5 m", ""),
    (replica_usual, "room1", "Replica", "Replica's 1/6553.5 m", "its usual camera assumed"),
    (recordings.write_scanner_app, "chair", "3D Scanner App", "mm", SURE),
    (recordings.write_polycam, "poly", "Polycam", "mm", f"4 frames with optimized poses and corrected photos; {SURE}"),
    (polycam_tracked, "poly_tracked", "Polycam", "mm", f"; 4 frames with the poses of tracking alone; {SURE}"),
    (recordings.write_record3d, "door", "Record3D", "scene units", "lengths in metres"),
    (record3d_itself, "EXR_RGBD", "Record3D", "scene units", ""),
    (recordings.write_redwood, "redwood", "Open3D RGB-D", "mm", ""),
    (redwood_usual, "redwood_usual", "Open3D RGB-D", "mm", "PrimeSense's camera assumed"),
    (recordings.write_kitti, "drive", "KITTI", "KITTI's 1/256 m", ""),
]
by_format = pytest.mark.parametrize(("write", "name", "kind", "unit", "note"), FORMATS, ids=[f[1] for f in FORMATS])


@by_format
def test_what_is_loaded_is_the_truth(write: Writer, name: str, kind: str, unit: str, note: str, tmp_path: Path) -> None:
    cameras = {camera.name: camera for camera in write(tmp_path / name)}
    scene = load_scene(tmp_path / name)
    assert scene.kind == kind and scene.warnings == () and note in scene.summary
    assert f"depth: 4 maps, {unit}, " in scene.summary
    assert f" {unit if unit == 'scene units' else 'm'} at p1–p50–p99" in scene.summary
    assert {view.camera.name for view in scene.train} == set(cameras) and scene.meters_per_unit == 1
    for view in scene.train:
        truth = cameras[view.camera.name]
        np.testing.assert_allclose(view.camera.camera_from_world, truth.camera_from_world, atol=1e-6)
        if view.camera_model is None:
            found, true = ([c.fx, c.fy, c.cx, c.cy, c.width, c.height] for c in (view.camera, truth))
            np.testing.assert_allclose(found, true, rtol=1e-6)
        depth, valid = depth_of(view)
        off = np.abs(depth / rgbd.sphere_depth(view.camera) - 1)[valid]
        # a map of other pixels is read at the nearest one, half a pixel away at the most
        assert valid.mean() > 0.8 and np.median(off) < 0.003 and off.max() < 0.03


@by_format
def test_fused_points_are_on_the_known_surface(
    write: Writer, name: str, kind: str, unit: str, note: str, tmp_path: Path
) -> None:
    write(tmp_path / name)
    scene = load_scene(tmp_path / name)
    off = np.linalg.norm(scene.measured.positions, axis=1) / rgbd.RADIUS - 1
    assert len(scene.measured) > 500 and "of the points are fused from depth" in scene.summary
    assert np.abs(off).max() < 0.02 and abs(np.median(off)) < 0.004


def test_freiburg1_is_bent() -> None:
    """So that the test above would see a lens that is not undone, or undone the wrong way."""
    lens = tum.FREIBURG["1"]
    (camera,) = recordings.cameras_of(lens, ["a"])
    apart = np.abs(recordings.distorted_depth(lens, camera) / rgbd.sphere_depth(camera) - 1)
    assert apart.max() > 0.03


# ---- what is used of long recordings


def test_a_long_recording_is_thinned_evenly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "MAX_FRAMES", 5)
    recordings.write_scannet(tmp_path, 9)
    scene = load_scene(tmp_path)
    numbers = sorted(int(view.image_path.stem) for view in scene.train)
    assert numbers == [0, 10, 20, 30, 40] and "5 of its 9 frames are used, evenly spread" in scene.summary
    held_out = load_scene(tmp_path, eval_split=True)
    assert len(held_out.train) == 4 and len(held_out.test) == 1
    asked = load_scene(tmp_path, test_images=("5", "15"))
    assert sorted(view.image_path.stem for view in asked.test) == ["15", "5"] and len(asked.train) == 5


def test_splits_of_7_scenes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for sequence, count in (("seq-01", 3), ("seq-02", 2), ("seq-03", 4)):
        recordings.write_seven_scenes(tmp_path, count, sequence)
    (tmp_path / "TrainSplit.txt").write_text("sequence1\nsequence4\n")
    (tmp_path / "TestSplit.txt").write_text("sequence3\n")

    def folders(scene: Scene) -> tuple[list[str], list[str]]:
        return [view.image_path.parent.name for view in scene.train], [v.image_path.parent.name for v in scene.test]

    scene = load_scene(tmp_path)
    assert folders(scene) == (["seq-01"] * 3, ["seq-03"] * 4)
    assert "1 listed sequences are not there (seq-04)" in scene.summary
    monkeypatch.setattr(build, "MAX_TEST_FRAMES", 2)
    assert folders(load_scene(tmp_path)) == (["seq-01"] * 3, ["seq-03"] * 2)
    (tmp_path / "TestSplit.txt").unlink()
    assert folders(load_scene(tmp_path)) == (["seq-01"] * 3, [])
    (tmp_path / "TrainSplit.txt").write_text("chess\n")
    with pytest.raises(UserError, match=r"TrainSplit\.txt: 'chess' names no sequence"):
        load_scene(tmp_path)
    (tmp_path / "TrainSplit.txt").write_text("sequence8\n")
    with pytest.raises(UserError, match=r"TrainSplit\.txt lists sequences of which none is there, such as seq-08"):
        load_scene(tmp_path)


def test_photos_made_smaller_than_their_intrinsics(tmp_path: Path) -> None:
    """As many exports of ScanNet have them: 640 × 480 beside the camera of 1296 × 968."""
    (camera, *_) = recordings.write_scannet(tmp_path)
    path = tmp_path / "intrinsic" / "intrinsic_color.txt"
    matrix = np.loadtxt(path)
    matrix[:2] *= 8
    np.savetxt(path, matrix)
    scene = load_scene(tmp_path)
    assert "intrinsic_color.txt taken to hold for 1296×968 pixels, not 162×121" in scene.summary
    assert scene.train[0].camera.fx == pytest.approx(camera.fx) and scene.train[0].camera.fy == pytest.approx(camera.fy)


def test_a_matrix_that_fits_its_photos_is_taken_as_it_is(tmp_path: Path) -> None:
    """Of 972 × 726 pixels, where it would fit 1296 × 968 too."""
    (camera, *_) = recordings.write_scannet(tmp_path)
    for photo in (tmp_path / "color").iterdir():
        pixels = cv2.imread(str(photo))
        assert pixels is not None
        assert cv2.imwrite(str(photo), cv2.resize(pixels, None, fx=6, fy=6))
    path = tmp_path / "intrinsic" / "intrinsic_color.txt"
    matrix = np.loadtxt(path)
    matrix[:2] *= 6
    np.savetxt(path, matrix)
    scene = load_scene(tmp_path)
    assert "taken to hold" not in scene.summary and scene.train[0].camera.width == 6 * camera.width
    assert scene.train[0].camera.fx == pytest.approx(6 * camera.fx)


@pytest.mark.parametrize(
    "make, photos, named",
    [
        (recordings.write_scanner_app, "*.jpg", r"frame_00000\.json: intrinsics"),
        (recordings.write_kitti, "image_2/*", r"calib\.txt: P2"),
        (recordings.write_scannet, "color/*", r"intrinsic_color\.txt"),
        (recordings.write_scannet, "depth/*", r"intrinsic_depth\.txt"),
    ],
)
def test_a_matrix_of_pictures_of_another_size_is_refused(
    tmp_path: Path, make: Callable[[Path], list[Camera]], photos: str, named: str
) -> None:
    """Pictures were made smaller, and the matrix, which does not say for which size it holds, was forgotten."""
    make(tmp_path)
    for path in tmp_path.glob(photos):
        pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert pixels is not None
        assert cv2.imwrite(str(path), pixels[::2, ::2])
    with pytest.raises(UserError, match=rf"{named} has the principal point .* of pictures of another size"):
        load_scene(tmp_path)


# ---- damage


def frame_files(folder: Path) -> dict[str, list[Path]]:
    """Of each format: the depth maps, and the files with poses."""
    recordings.write_seven_scenes(folder / "seven")
    recordings.write_scannet(folder / "scannet")
    recordings.write_tum(folder / "tum")
    recordings.write_replica(folder / "replica")
    patterns = {"seven": "seq-01/*.depth.png", "scannet": "depth/*.png", "tum": "depth/*", "replica": "results/d*"}
    return {name: sorted((folder / name).glob(pattern)) for name, pattern in patterns.items()}


def test_missing_depth_is_said_and_the_photo_kept(tmp_path: Path) -> None:
    for name, maps in frame_files(tmp_path).items():
        maps[1].unlink()
        scene = load_scene(tmp_path / name)
        (warning,) = scene.warnings
        assert len(scene.train) == 4 and "1 listed depth maps are missing" in warning and maps[1].name in warning
        assert sum(view.depth is not None for view in scene.train) == 3


def test_maps_of_another_shape_are_left_out_and_said(tmp_path: Path) -> None:
    for name, maps in frame_files(tmp_path).items():
        rgbd.write_map(maps[2], np.full((40, 80), 2000.0))
        (warning,) = load_scene(tmp_path / name).warnings
        assert str(maps[2]) in warning and "is 80×40 pixels, which is not the shape of its" in warning


def test_a_damaged_photo_is_named_and_left_out(tmp_path: Path) -> None:
    recordings.write_replica(tmp_path)
    (tmp_path / "results" / "frame000001.jpg").write_bytes(b"no picture")
    scene = load_scene(tmp_path)
    assert len(scene.train) == 3 and "frame000001.jpg cannot be decoded" in scene.warnings[0]


# writer, file of poses, line of it, what a line reads where tracking was lost, name of the first frame without a pose
POSES = [
    (recordings.write_seven_scenes, "seq-01/frame-000001.pose.txt", 0, "nan nan nan nan", "frame-000001.pose.txt"),
    (recordings.write_scannet, "pose/5.txt", 2, "-inf -inf -inf -inf", "pose/5.txt"),
    (recordings.write_tum, "groundtruth.txt", 5, "1305031102.2088 nan nan nan nan nan nan nan", "02.208304.png"),
    (recordings.write_replica, "traj.txt", 1, " ".join(["inf"] * 16), "frame000001.jpg"),
]
by_pose = pytest.mark.parametrize(("write", "path", "line", "lost", "frame"), POSES, ids=[p[1] for p in POSES])


def change_line(path: Path, line: int, text: str) -> None:
    lines = path.read_text().splitlines()
    lines[line] = text
    path.write_text("\n".join(lines) + "\n")


@by_pose
def test_poses_that_are_not_finite_are_skipped_and_counted(
    write: Writer, path: str, line: int, lost: str, frame: str, tmp_path: Path
) -> None:
    write(tmp_path)
    change_line(tmp_path / path, line, lost)
    scene = load_scene(tmp_path)
    (warning,) = scene.warnings
    assert len(scene.train) == 3 and "1 frames are skipped, such as" in warning and frame in warning


@by_pose
@pytest.mark.parametrize("broken", ["1.0 0.0 oops 0.0", "1 2 3"])
def test_broken_poses_stop_with_the_file(
    write: Writer, path: str, line: int, lost: str, frame: str, broken: str, tmp_path: Path
) -> None:
    write(tmp_path)
    change_line(tmp_path / path, line, broken)
    with pytest.raises(UserError, match=rf"{Path(path).name}.* (must hold 4 lines|must be)"):
        load_scene(tmp_path)


@pytest.mark.parametrize(
    ("rotation", "found"),
    [(np.diag([1.0, 1, -1]), "is no camera pose"), (np.diag([1.0, 2, 1]), "its axes are 2 times")],
)
def test_matrices_that_are_no_poses(rotation: np.ndarray, found: str, tmp_path: Path) -> None:
    recordings.write_scannet(tmp_path)
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    np.savetxt(tmp_path / "pose" / "5.txt", matrix)
    with pytest.raises(UserError, match=rf"pose/5\.txt is no camera pose.*{found.removeprefix('is no camera pose')}"):
        load_scene(tmp_path)


def test_a_trajectory_that_is_too_short(tmp_path: Path) -> None:
    recordings.write_replica(tmp_path)
    lines = (tmp_path / "traj.txt").read_text().splitlines()
    (tmp_path / "traj.txt").write_text("\n".join(lines[:3]))
    with pytest.raises(UserError, match=r"traj\.txt has 3 poses, a line each, and none for .*frame000003\.jpg"):
        load_scene(tmp_path)


def test_frames_of_another_time(tmp_path: Path) -> None:
    recordings.write_tum(tmp_path)
    path = tmp_path / "groundtruth.txt"
    rows = [line.split() for line in path.read_text().splitlines()[1:]]
    path.write_text("\n".join(" ".join([f"{float(time) + 60:.6f}", *pose]) for time, *pose in rows))
    with pytest.raises(UserError, match=r"groundtruth\.txt has a pose within 0\.02 s of no photo"):
        load_scene(tmp_path)
    path.write_text("\n".join(" ".join(row) for row in rows[:6]))
    (tmp_path / "depth.txt").write_text("")
    scene = load_scene(tmp_path)
    assert (
        len(scene.train) == 2 and "2 frames are skipped" in scene.warnings[0] and "no pose within" in scene.warnings[0]
    )
    assert "2 photos have no depth map within 0.02 s" in scene.summary


def test_cameras_that_are_not_there_or_none(tmp_path: Path) -> None:
    frame_files(tmp_path)
    (tmp_path / "scannet/intrinsic/intrinsic_color.txt").unlink()
    with pytest.raises(UserError, match=r"intrinsic_color\.txt is not there: it must hold the camera's matrix"):
        load_scene(tmp_path / "scannet")
    (tmp_path / "replica/cam_params.json").write_text('{"camera": {"w": 80}}')
    with pytest.raises(UserError, match=r"cam_params\.json: camera is .*it lacks"):
        load_scene(tmp_path / "replica")


def test_listed_photos_that_are_gone(tmp_path: Path) -> None:
    frame_files(tmp_path)
    (tmp_path / "seven/seq-01/frame-000002.color.png").unlink()
    assert "1 listed photos are missing and skipped (seq-01/frame-000002" in load_scene(tmp_path / "seven").summary
    for path in (tmp_path / "tum/rgb").iterdir():
        path.unlink()
    with pytest.raises(UserError, match=r"none of the 4 photos of TUM RGB-D is there, such as rgb/1305031102"):
        load_scene(tmp_path / "tum")


def test_depth_can_be_ignored_or_taken_from_elsewhere(tmp_path: Path) -> None:
    cameras = recordings.write_replica(tmp_path)
    assert "depth:" not in load_scene(tmp_path, depths="none").summary
    for camera in cameras:
        truth = replace(camera, name=f"{Path(camera.name).stem}.png")
        rgbd.write_depth(tmp_path, [truth], 1000, "kinect")
    given = load_scene(tmp_path, depths="kinect")
    assert all(view.depth is not None and view.depth.path.parent.name == "kinect" for view in given.train)
    assert "depth: 4 maps, mm" in given.summary


@pytest.mark.parametrize("key", ["w", "h", "fx", "fy", "cx", "cy", "scale"])
@pytest.mark.parametrize("value", [True, "80", float("nan")])
def test_a_bad_value_of_replicas_camera_is_named(tmp_path: Path, key: str, value: object) -> None:
    recordings.write_replica(tmp_path)
    path = tmp_path / "cam_params.json"
    content = json.loads(path.read_text())
    content["camera"][key] = value
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=rf"cam_params\.json: camera\.{key} is .*(it must be a number|it is too large)"):
        load_scene(tmp_path)


@pytest.mark.parametrize(
    "name", ["scannet/pose/0.txt", "scannet/intrinsic/intrinsic_color.txt", "replica/traj.txt", "tum/rgb.txt",
             "tum/depth.txt", "tum/groundtruth.txt", "seven/seq-01/frame-000000.pose.txt", "seven/TrainSplit.txt"]
)  # fmt: skip
@pytest.mark.parametrize("data", [b"sequence\xb2\n", "sequence²\n".encode()])
def test_texts_that_are_none_are_named(tmp_path: Path, name: str, data: bytes) -> None:
    frame_files(tmp_path)
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=re.escape(Path(name).name)):
        load_scene(tmp_path / name.split("/")[0])


@pytest.mark.parametrize("pose", ["0 0 0 0 0 0 0", "1e200 0 0 0 0 0 1", "0 0 0 1e-300 0 0 0"])
def test_tum_poses_that_are_none(tmp_path: Path, pose: str) -> None:
    """A quaternion of 0 is a lost frame; a place that no float32 can square is refused."""
    recordings.write_tum(tmp_path)
    path = tmp_path / "groundtruth.txt"
    first = path.read_text().splitlines()[2]
    x, y, z, *quat = pose.split()
    path.write_text(path.read_text().replace(first, " ".join([first.split()[0], x, y, z, *quat])))
    try:
        scene = load_scene(tmp_path)
    except UserError as error:
        assert "groundtruth.txt" in str(error)
    else:
        assert len(scene.train) == 3 and np.isfinite(scene.extent)


def test_a_depth_map_between_two_photos_is_of_the_nearer(tmp_path: Path) -> None:
    """Sensors drop frames: two photos can be within reach of one map, which only one of them may have."""
    recordings.write_tum(tmp_path)
    path = tmp_path / "depth.txt"
    lines = path.read_text().splitlines()
    time, name = lines[1].split()
    lines[1:3] = [f"{float(time) + 0.012:.6f} {name}"]  # of the first photo, 16 ms after it and 17 ms before the second
    path.write_text("\n".join(lines) + "\n")
    scene = load_scene(tmp_path)
    assert [view.depth is not None for view in scene.train] == [True, False, True, True]
    assert "1 photos have no depth map within 0.02 s" in scene.summary
