"""The synthetic scenes in the open: their folders as load_scene reads them, their alpha, the same bytes each time."""

from __future__ import annotations

import filecmp
from pathlib import Path

import cv2
import numpy as np
import pytest

from scene import load_scene
from scene.images import load_image
from scene.synthetic.daylight import OpenAir
from scene.synthetic.placing import at
from scene.synthetic.plan import Solid, to_world
from scene.synthetic.round_shapes import Ellipsoid
from scene.synthetic.still_life import MIDDLE, cameras_around, solids
from scene.synthetic.textures import plain, srgb
from scene.synthetic.write_open import FOREGROUND, write_object, write_outdoor
from scene.types import Camera, Scene
from utils.errors import UserError

pytestmark = pytest.mark.slow


def load(folder: Path, eval_split: bool = False) -> Scene:
    return load_scene(folder, eval_split=eval_split)


@pytest.fixture(scope="module")
def object_scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "object"
    write_object(folder, views=3, test_views=2, size=48, quiet=True)
    return folder


def test_the_object_scene_is_read_as_blenders(object_scene: Path) -> None:
    scene = load(object_scene)
    assert (scene.kind, len(scene.train), len(scene.test)) == ("Blender", 3, 2)
    assert {view.background for view in scene.train} == {0.0}
    assert (scene.train[0].camera.width, scene.train[0].camera.height) == (48, 48)
    centers = np.array([view.camera.center for view in (*scene.train, *scene.test)])
    assert np.allclose(np.linalg.norm(centers, axis=1), 3.3, atol=1e-4)
    assert len(np.unique(centers.round(6), axis=0)) == 5  # the test cameras stand elsewhere


def test_read_cameras_see_what_was_rendered(object_scene: Path) -> None:
    """Alpha is that of the object seen by the camera that load_scene makes of the file, moved back into the room."""
    view = load(object_scene).train[1]
    from_room = np.eye(4)
    from_room[:3, :3] = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]])  # y down to z up
    from_room[:3, 3] = -np.array(MIDDLE)
    camera = view.camera
    pose = camera.camera_from_world @ from_room
    again = Camera(camera.name, 48, 48, camera.fx, camera.fy, camera.cx, camera.cy, pose)
    picture = OpenAir(solids()).render(again)
    pixels = cv2.imread(str(view.image_path), cv2.IMREAD_UNCHANGED)
    assert pixels is not None
    assert pixels.shape == (48, 48, 4)
    assert np.mean(np.abs(pixels[..., 3] / 255 - picture.alpha)) < 0.01
    assert 0.03 < picture.alpha.mean() < 0.6


def test_alpha_is_the_covered_part_of_a_pixel_and_color_does_not_fade_with_it() -> None:
    ball = Solid(Ellipsoid(at(MIDDLE), (0.8, 0.8, 0.8)), plain(srgb("#808080"), depth=0.0))
    (camera,) = cameras_around(1, 64, 64, 0, "train")
    picture = OpenAir([[ball]]).render(camera)
    radius = camera.fx * 0.8 / np.sqrt(3.3**2 - 0.8**2)
    assert picture.alpha.sum() == pytest.approx(np.pi * radius**2, rel=0.01)
    edge = (picture.alpha > 0.2) & (picture.alpha < 0.8)
    assert edge.sum() > 50
    assert picture.color[edge].min() > 0.15  # of the ball, not mixed with the black behind it
    assert not picture.alpha[~np.isfinite(picture.depth) & ~edge].max() > 0.8


def test_gloss_moves_with_the_eye() -> None:
    matt, glossy = (
        Solid(Ellipsoid(at(MIDDLE), (0.8, 0.8, 0.8)), plain(srgb("#803030"), depth=0.0), gloss=gloss)
        for gloss in (0.0, 0.4)
    )
    cameras = cameras_around(12, 32, 32, 0, "train")
    spot = to_world(np.add(MIDDLE, (0, 0, 0.8)))  # the top
    spread = []
    for solid in (matt, glossy):
        seen = []
        for camera in cameras:
            x, y, z = camera.camera_from_world[:3, :3] @ spot + camera.camera_from_world[:3, 3]
            picture = OpenAir([[solid]]).render(camera)
            row, column = int(camera.fy * y / z + camera.cy), int(camera.fx * x / z + camera.cx)
            if z < 3.2 and picture.alpha[row, column] == 1:
                seen.append(picture.color[row, column])
        assert len(seen) > 3
        spread.append(np.ptp(seen, axis=0).max())
    assert spread[0] < 0.06 < spread[1]


def test_the_outdoor_scene_has_points_on_the_foreground_alone(tmp_path: Path) -> None:
    write_outdoor(tmp_path / "made", views=5, width=48, height=32, quiet=True)
    scene = load(tmp_path / "made", eval_split=True)
    assert (scene.kind, len(scene.train), len(scene.test)) == ("COLMAP", 4, 1)
    assert all(view.depth is None for view in scene.train)
    distance = np.linalg.norm(scene.measured.positions - to_world((0.1, 2.8, 0.5)), axis=1)
    assert len(distance) > 100
    assert distance.max() < FOREGROUND + 0.01
    red, _, blue = load_image(scene.train[0]).color[:, 0]
    assert blue.mean() > 1.05 * red.mean()  # sky, bluer than red


def test_the_same_arguments_give_the_same_bytes(object_scene: Path, tmp_path: Path) -> None:
    again, other = tmp_path / "again", tmp_path / "other"
    write_object(again, views=3, test_views=2, size=48, quiet=True)
    write_object(other, views=3, test_views=2, size=48, seed=1, quiet=True)
    files = sorted(str(path.relative_to(again)) for path in again.rglob("*") if path.is_file())
    assert len(files) == 8
    assert filecmp.cmpfiles(object_scene, again, files, shallow=False)[0] == files
    assert "train/r_0.png" in filecmp.cmpfiles(object_scene, other, files, shallow=False)[1]


def test_sizes_that_make_no_scene_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--test_views is 0"):
        write_object(tmp_path / "made", test_views=0)
    assert not (tmp_path / "made").exists()
