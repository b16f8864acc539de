"""Camera paths: smooth, of even speed, where the cameras were; and files of nerfstudio's viewer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scene.gaussians.random_start import aim_of
from scene.paths import PathRequest, camera_path
from scene.paths.lens import PathLens
from scene.paths.orbit import orbit
from scene.paths.poses import axes_of, centers_of, look_along, separation, up_direction
from scene.paths.spline import in_order, shortest_tour, spline
from scene.types import Camera, PointCloud
from utils.errors import UserError

UP = np.array([0.0, 0.0, 1.0])
MIDDLE = np.array([2.0, -1.0, 0.5])
NO_POINTS = PointCloud(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32))


def camera(eye: Sequence[float], forward: Sequence[float], name: str = "0.png") -> Camera:
    return Camera(name, 60, 40, 50.0, 50.0, 30.0, 20.0, look_along(np.array(eye, float), np.array(forward, float), UP))


def on_ring(
    angle: float, name: str = "0.png", radius: float = 3.0, height: float = 1.0, outward: bool = False
) -> Camera:
    """A camera about MIDDLE that looks at it, or away from it."""
    eye = MIDDLE + np.array([radius * np.cos(angle), radius * np.sin(angle), height])
    level = np.array([np.cos(angle), np.sin(angle), -0.1])
    return camera(eye, level if outward else MIDDLE - eye, name)


def ring(count: int, width: float = 2 * np.pi, **kwargs: Any) -> list[Camera]:
    return [on_ring(width * k / count, f"{k}.png", **kwargs) for k in range(count)]


def front(rows: int = 4, columns: int = 5) -> list[Camera]:
    """A grid of cameras that look along x, nearly parallel."""
    places = [(0.1 * column, 0.1 * row) for row in range(rows) for column in range(columns)]
    return [camera((0, y, z), (1, 0.02 * y, 0), f"{k}.png") for k, (y, z) in enumerate(places)]


def centers(poses: Sequence[np.ndarray]) -> np.ndarray:
    return np.stack([-pose[:3, :3].T @ pose[:3, 3] for pose in poses])


def steps(poses: Sequence[np.ndarray], distance: float) -> np.ndarray:
    places, axes = centers(poses), np.stack([pose[:3, :3] for pose in poses])
    return separation(places[:-1], axes[:-1], places[1:], axes[1:], distance)


def assert_rigid(poses: Sequence[np.ndarray]) -> None:
    for pose in poses:
        assert np.allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-9)
        assert np.linalg.det(pose[:3, :3]) > 0 and np.allclose(pose[3], (0, 0, 0, 1))


def test_a_spline_is_smooth_even_and_goes_through_cameras() -> None:
    cameras = ring(24, width=4.0)
    poses, text = spline(cameras, 200)
    assert len(poses) == 200 and "through 12 of 24 training cameras, in the order of their names" in text
    assert_rigid(poses)
    taken = steps(poses, aim_of(cameras).distance)
    assert taken.min() > 0 and taken.max() < 1.02 * taken.min()
    assert np.abs(np.diff(centers(poses), n=2, axis=0)).max() < 0.05 * taken.mean(), "no corner in 200 frames"
    for end, pose in ((cameras[0], poses[0]), (cameras[-1], poses[-1])):
        assert np.allclose(pose, end.camera_from_world, atol=1e-6)
    between = np.linalg.norm(centers(poses) - MIDDLE - [0, 0, 1.0], axis=1)
    assert np.abs(between - 3.0).max() < 0.02, "a spline through a ring stays on the ring"


def test_cameras_that_jump_about_are_visited_as_neighbors() -> None:
    cameras = ring(30, width=5.0)
    names = np.random.default_rng(0).permutation(30)
    shuffled = [replace(each, name=f"{k}.png") for k, each in zip(names, cameras, strict=True)]
    ordered, by_name = in_order(shuffled)
    assert not by_name
    angles = np.array([shuffled.index(each) for each in ordered])
    assert (np.diff(angles) == 1).all() or (np.diff(angles) == -1).all()
    poses, text = spline(shuffled, 60)
    assert "each to its neighbor" in text
    assert np.linalg.norm(np.diff(centers(poses), axis=0), axis=1).sum() < 3.0 * 5.0


def test_numbers_in_names_are_ordered_by_value() -> None:
    cameras = [replace(each, name=f"frame_{k}.png") for k, each in enumerate(ring(12, width=2.0))]
    by_text = sorted(cameras, key=lambda each: each.name)
    assert by_text != cameras
    assert in_order(by_text) == (cameras, True)


def test_the_tour_has_no_crossing() -> None:
    places = np.random.default_rng(3).uniform(size=(60, 2))
    between = np.linalg.norm(places[:, None] - places[None], axis=2)
    tour = shortest_tour(between)
    assert sorted(tour.tolist()) == list(range(60))
    assert between[tour[:-1], tour[1:]].sum() < 0.7124 * np.sqrt(60) * 1.25  # Beardwood, Halton & Hammersley 1959


@pytest.mark.parametrize("count", [1, 2, 3, 50])
def test_few_cameras_and_few_frames(count: int) -> None:
    poses, _ = spline([on_ring(0.0, "a.png"), on_ring(1.0, "b.png")], count)
    assert len(poses) == count
    assert_rigid(poses)
    poses, _ = orbit([on_ring(0.3)], NO_POINTS, count)
    assert len(poses) == count
    assert_rigid(poses)


def test_a_spline_needs_two_poses() -> None:
    with pytest.raises(UserError, match="two cameras"):
        spline([on_ring(0.0, "a.png"), on_ring(0.0, "b.png")], 10)
    repeated = [on_ring(0.0, "a.png"), on_ring(0.0, "b.png"), on_ring(1.0, "c.png"), on_ring(1.0, "d.png")]
    assert_rigid(spline(repeated, 10)[0])


def test_a_camera_that_turns_on_the_spot_has_a_path() -> None:
    cameras = [camera((0, 0, 0), (np.cos(a), np.sin(a), 0), f"{k}.png") for k, a in enumerate(np.linspace(0, 3, 9))]
    poses, _ = spline(cameras, 40)
    assert np.abs(centers(poses)).max() < 1e-6
    turned = np.stack([pose[2, :3] for pose in poses])
    assert np.degrees(np.arccos(np.clip((turned[1:] * turned[:-1]).sum(1), -1, 1))) == pytest.approx(
        np.degrees(3) / 39, rel=0.02
    )


def test_an_orbit_goes_round_what_a_ring_looks_at() -> None:
    poses, text = orbit(ring(20), NO_POINTS, 90)
    assert text.endswith("all round")
    assert_rigid(poses)
    offsets = centers(poses) - MIDDLE
    assert offsets[:, 2] == pytest.approx(1.0, abs=1e-6), "the height of the cameras"
    assert np.hypot(offsets[:, 0], offsets[:, 1]) == pytest.approx(3.0, abs=1e-6)
    for pose in poses:
        x, y, z = pose[:3, :3] @ MIDDLE + pose[:3, 3]
        assert abs(x) < 1e-6 and abs(y) < 1e-6 and z > 3, "it looks at the middle"
        assert -pose[1, 2] > 0.9, "upright"
    gaps = np.linalg.norm(np.diff([*offsets, offsets[0]], axis=0), axis=1)
    assert gaps == pytest.approx(gaps[0], rel=1e-6), "the last frame is as far from the first as others are apart"


def test_an_orbit_follows_a_long_way_round() -> None:
    """An ellipse of 6 × 3 about a long building: a circle of the median radius would go through its ends."""
    cameras = []
    for angle in np.linspace(0, 2 * np.pi, 40, endpoint=False):
        eye = MIDDLE + np.array([6 * np.cos(angle), 3 * np.sin(angle), 0])
        cameras.append(camera(eye, MIDDLE - eye))
    offsets = centers(orbit(cameras, NO_POINTS, 60)[0]) - MIDDLE
    assert 5.0 < np.abs(offsets[:, 0]).max() < 6.5 and 2.5 < np.abs(offsets[:, 1]).max() < 4.0


def test_an_orbit_turns_back_where_no_camera_was() -> None:
    poses, text = orbit(ring(20, width=2.0), NO_POINTS, 80)
    assert "there and back over the 10" in text
    angles = np.arctan2(*(centers(poses) - MIDDLE).T[1::-1])
    assert angles.min() == pytest.approx(0, abs=0.02) and angles.max() == pytest.approx(1.9, abs=0.02)
    assert np.abs(np.diff([*angles, angles[0]])).max() < 0.1


def test_cameras_that_look_outward_are_a_look_around() -> None:
    poses, text = orbit(ring(20, outward=True), NO_POINTS, 60)
    assert text.startswith("a look around") and text.endswith("all round")
    offsets = centers(poses) - MIDDLE
    assert np.hypot(offsets[:, 0], offsets[:, 1]).max() < 2.0
    forward = np.stack([pose[2, :3] for pose in poses])
    assert ((forward * offsets).sum(axis=1) > 0).all()
    assert forward[:, 2] == pytest.approx(-0.1 / np.hypot(1, 0.1), abs=1e-6)
    azimuths = np.unwrap(np.arctan2(forward[:, 1], forward[:, 0]))
    assert abs(azimuths[-1] - azimuths[0]) == pytest.approx(2 * np.pi * 59 / 60)


def test_a_scene_seen_from_one_side_gets_a_small_ellipse() -> None:
    cameras = front()
    wall = np.random.default_rng(0).uniform((5, -1, -1), (5.5, 1.5, 1.5), (200, 3)).astype(np.float32)
    poses, text = orbit(cameras, PointCloud(wall, np.zeros_like(wall)), 60)
    assert text.startswith("an ellipse")
    offsets = centers(poses) - centers_of(cameras).mean(axis=0)
    assert (
        np.abs(offsets[:, 0]).max() < 1e-3 and np.abs(offsets[:, 1]).max() < 0.2 and np.abs(offsets[:, 2]).max() < 0.2
    )
    assert np.abs(offsets[:, 1]).max() > 0.1
    for pose in poses:
        assert (pose[:3, :3] @ [5.25, 0.2, 0.15] + pose[:3, 3])[:2] == pytest.approx((0, 0), abs=0.1)


def test_up_is_orthogonal_to_level_right_axes_however_far_cameras_look_down() -> None:
    one_sided = [on_ring(angle, height=6.0) for angle in np.linspace(0, 1.5, 10)]
    assert up_direction(one_sided) == pytest.approx(UP, abs=0.04)
    assert -axes_of(one_sided)[:, 1].mean(axis=0)[2] < 0.6, "their own up axes lean"
    assert up_direction(front()) == pytest.approx(UP, abs=0.02)


def test_a_frame_of_another_shape_has_the_same_area_of_view() -> None:
    cameras = ring(4)
    assert PathLens.like(cameras) == PathLens(60, 40, 50.0)
    upright = PathLens.like(cameras, (40, 60))
    assert upright == PathLens(40, 60, 50.0), "as the camera turned by 90°"
    assert PathLens.like(cameras, (120, 80)).focal == pytest.approx(100)


# ---- files of nerfstudio's viewer

STRAIGHT = np.eye(4).ravel().tolist()


def viewer_file(path: Path, **changes: Any) -> Path:
    """Two frames: one at (1, 2, 3) that looks along −z as OpenGL cameras do, and one that looks along +x."""
    along_x = [[0, 0, -1, 5], [-1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]
    straight = [[1, 0, 0, 1], [0, 1, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]]
    frames = [
        {"camera_to_world": np.ravel(matrix).tolist(), "fov": fov, "aspect": 1.5}
        for matrix, fov in ((straight, 90.0), (along_x, 50.0))
    ]
    content = {
        "default_fov": 75.0,
        "keyframes": [{"matrix": np.eye(4).ravel().tolist(), "fov": 75.0, "aspect": 1.5}],
        "camera_type": "perspective",
        "render_height": 40,
        "render_width": 60,
        "fps": 24.0,
        "seconds": 0.08,
        "is_cycle": False,
        "smoothness_value": 0.0,
        "camera_path": frames,
    }
    path.write_text(json.dumps({**content, **changes}))
    return path


def test_a_file_of_the_viewer(tmp_path: Path) -> None:
    path = viewer_file(tmp_path / "a.json")
    found = camera_path(PathRequest(str(path)), ring(4), NO_POINTS, 3.0)
    assert (len(found.cameras), found.fps, found.warning) == (2, 24.0, "")
    first, second = found.cameras
    assert (first.width, first.height, first.cx, first.cy) == (60, 40, 30.0, 20.0)
    assert first.fx == first.fy == pytest.approx(20.0), "90° from top to bottom"
    assert first.center == pytest.approx((1, 2, 3))
    assert first.camera_from_world[:3, :3] == pytest.approx(np.diag([1, -1, -1]))
    assert second.fx == pytest.approx(20 / np.tan(np.radians(25)))
    assert second.camera_from_world[2, :3] == pytest.approx((1, 0, 0)), "forward"
    assert second.camera_from_world[1, :3] == pytest.approx((0, 0, -1)), "down"
    larger = camera_path(PathRequest(str(path), (1200, 800), 60.0), ring(4), NO_POINTS, 3.0)
    assert larger.cameras[0].fx == pytest.approx(400.0) and larger.fps == 60.0


def test_a_path_in_other_coordinates_is_warned_of(tmp_path: Path) -> None:
    far = [replace(each, camera_from_world=each.camera_from_world @ translation(500)) for each in ring(4)]
    found = camera_path(PathRequest(str(viewer_file(tmp_path / "a.json"))), far, NO_POINTS, 3.0)
    assert "extents of the scene away" in found.warning


def translation(length: float) -> np.ndarray:
    moved = np.eye(4)
    moved[0, 3] = length
    return moved


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"camera_type": "fisheye"}, "camera_type is 'fisheye'; only perspective"),
        ({"camera_path": []}, r"camera_path is \[\]; it must be a list"),
        ({"camera_path": [{"fov": 50.0}]}, r"camera_path\[0\].* it lacks camera_to_world"),
        ({"camera_path": [{"camera_to_world": [1.0] * 15, "fov": 50}]}, r"camera_to_world is .*it must be a list"),
        ({"camera_path": [{"camera_to_world": [1.0] * 16, "fov": 50}]}, r"\[0\].camera_to_world is no camera"),
        ({"camera_path": [{"camera_to_world": STRAIGHT, "fov": 180}]}, "fov is 180; it must be"),
        ({"camera_path": [{"camera_to_world": STRAIGHT, "fov": 1e-320}]}, "fov is 1e-320; it must be"),
        ({"render_width": 0}, "render_width is 0; it must be"),
        ({"render_width": 90_000}, "90000 × 40 pixels are too large; --size"),
        ({"fps": -1}, "fps is -1; it must be"),
    ],
)  # fmt: skip
def test_what_is_no_path_is_named(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    path = viewer_file(tmp_path / "a.json", **changes)
    with pytest.raises(UserError, match=said) as caught:
        camera_path(PathRequest(str(path)), ring(4), NO_POINTS, 3.0)
    assert str(path) in str(caught.value)


def test_requests_that_mean_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--path spiral is not known; it must be orbit, spline or a camera path file"):
        camera_path(PathRequest("spiral"), ring(4), NO_POINTS, 3.0)
    with pytest.raises(UserError, match="cannot be read as JSON"):
        camera_path(PathRequest(str(tmp_path / "none.json")), ring(4), NO_POINTS, 3.0)
    with pytest.raises(UserError, match="--seconds: .* holds a frame for each picture"):
        camera_path(PathRequest(str(viewer_file(tmp_path / "a.json")), seconds=3.0), ring(4), NO_POINTS, 3.0)


def test_time_and_frame_rate_make_the_frames() -> None:
    found = camera_path(PathRequest("orbit", (30, 20), 12.0, 2.5), ring(8), NO_POINTS, 3.0)
    assert len(found.cameras) == 30 and found.fps == 12.0
    assert {(each.width, each.height) for each in found.cameras} == {(30, 20)}
    assert len({each.name for each in found.cameras}) == 30
