"""Photos without poses and videos, through pycolmap: their true poses, found once. `make check-sfm` runs this."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from scene import load_scene
from scene.images import load_image
from scene.inputs.workspace import borrowed
from scene.orientation import turned
from scene.photo_agreement import compare_pairs
from scene.types import Scene, View
from tests.helpers import corner
from tests.helpers.videos import write_video
from tests.helpers.whole import assert_complete
from tests.scene.test_heif import need
from utils.errors import UserError

pytest.importorskip("pycolmap", reason='photos without poses need pycolmap: pip install -e ".[sfm]"')
pytestmark = pytest.mark.slow

COUNT = 10


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Scene]:
    """The folder with photos/ and model/, and the scene of the photos."""
    folder = tmp_path_factory.mktemp("sfm")
    corner.write_photos(folder / "photos", corner.cameras(COUNT))
    return folder, load_scene(folder / "photos", workspace=folder / "model")


def assert_true(scene: Scene, off: float = 0.02) -> None:
    """Cameras are where they were, up to the similarity that SfM cannot know, in parts of their extent."""
    truth = {camera.name: camera for camera in corner.cameras(COUNT)}
    true = np.array([truth[view.camera.name].center for view in scene.train])
    assert np.abs(aligned(centers(scene), true) - true).max() < off * np.ptp(true, axis=0).max()


def centers(scene: Scene) -> np.ndarray:
    return np.array([view.camera.center for view in scene.train])


def aligned(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """`found` (N, 3), moved, turned and scaled to be as near to `true` as can be (Umeyama 1991)."""
    middle = true.mean(axis=0)
    found, true = found - found.mean(axis=0), true - middle
    left, _, right = np.linalg.svd(true.T @ found)
    moved = found @ (left @ np.diag([1, 1, np.linalg.det(left @ right)]) @ right).T
    return middle + moved * ((moved * true).sum() / (moved * moved).sum())


def test_poses_are_the_true_ones(loaded: tuple[Path, Scene]) -> None:
    folder, scene = loaded
    assert len(scene.train) == COUNT and scene.warnings == () and len(scene.points) > 100
    assert "10 of 10 photos placed, mean reprojection error 0." in scene.summary
    assert_true(scene)
    focal = np.mean([view.camera.fx for view in scene.train])
    assert abs(focal / corner.FOCAL - 1) < 0.05 and len({view.camera.fx for view in scene.train}) == 1
    assert_complete(folder / "photos", scene.ledger)
    assert scene.ledger.unused == {} and sorted(path.name for path in folder.iterdir()) == ["model", "photos"]
    assert sorted(path.name for path in (folder / "model" / "sfm").iterdir()) == [".made_of.json", "sfm.json", "sparse"]


def test_they_are_found_once_and_again_for_other_photos(
    loaded: tuple[Path, Scene], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, scene = loaded

    def ran(*_: object) -> None:
        raise InterruptedError("SfM ran")

    monkeypatch.setattr("scene.sfm.reconstruct", ran)
    again = load_scene(folder / "photos", workspace=folder / "model")
    for one, other in zip(scene.train, again.train, strict=True):
        np.testing.assert_array_equal(one.camera.camera_from_world, other.camera.camera_from_world)
    with borrowed(folder / "model") as workspace:  # as a dry run has it
        seen = load_scene(folder / "photos", workspace=workspace, find_poses=False)
    assert seen.summary == again.summary
    corner.write_photos(folder / "photos", [corner.cameras(COUNT + 1)[5]])  # the photo of that name changes
    with pytest.raises(UserError, match="SfM ran"):
        load_scene(folder / "photos", workspace=folder / "model")
    corner.write_photos(folder / "photos", corner.cameras(COUNT))


def test_the_same_photos_give_the_same_poses(loaded: tuple[Path, Scene], tmp_path: Path) -> None:
    """Up to a similarity, and to what the order of threads changes."""
    folder, scene = loaded
    again = load_scene(folder / "photos", workspace=tmp_path / "model")
    off = np.abs(aligned(centers(again), centers(scene)) - centers(scene)).max()
    assert off < 0.001 * scene.extent
    assert again.train[0].camera.fx == pytest.approx(scene.train[0].camera.fx, rel=1e-3)


@pytest.mark.parametrize("orientation", [6, 8])
def test_photos_that_exif_turns(tmp_path: Path, orientation: int) -> None:
    """As phones held upright store them: whatever SfM makes of the tag, photos and cameras fit."""
    (tmp_path / "photos").mkdir()
    for camera in corner.cameras(COUNT):
        stored = Image.fromarray(turned(corner.photo(camera), 14 - orientation))
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored.save(tmp_path / "photos" / camera.name, exif=exif)
    scene = load_scene(tmp_path / "photos", workspace=tmp_path / "model")
    assert len(scene.train) == COUNT and scene.warnings == ()
    assert_true(scene)
    assert np.median([pair.error for pair in compare_pairs(scene.train, scene.extent)]) < 1
    assert load_image(scene.train[0]).color.shape[1:] == (scene.train[0].camera.height, scene.train[0].camera.width)


@pytest.mark.parametrize("suffix", [".avif", ".heic"])
def test_photos_that_pycolmap_gets_as_jpeg(tmp_path: Path, suffix: str) -> None:
    need(suffix)
    (tmp_path / "photos").mkdir()
    for camera in corner.cameras(COUNT):
        path = (tmp_path / "photos" / camera.name).with_suffix(suffix)
        Image.fromarray(corner.photo(camera)).save(path, quality=95)
    scene = load_scene(tmp_path / "photos", workspace=tmp_path / "model")
    assert len(scene.train) == COUNT and scene.warnings == ()
    assert {view.image_path.suffix for view in scene.train} == {suffix} and scene.ledger.unused == {}
    found = [replace(view, camera=replace(view.camera, name=named(view))) for view in scene.train]
    assert_true(replace(scene, train=tuple(found)))
    assert np.median([pair.error for pair in compare_pairs(scene.train, scene.extent)]) < 1


def test_photos_that_cannot_be_decoded_are_named(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}.jpg").write_bytes(b"no photo")
    with pytest.raises(UserError, match=rf"{tmp_path.name}: none of its 5 photos can be decoded, such as 0\.jpg"):
        load_scene(tmp_path, workspace=tmp_path / "model")


def named(view: View) -> str:
    """The name that the corner's cameras have."""
    return next(each.name for each in corner.cameras(COUNT) if Path(each.name).stem == view.image_path.stem)


def test_a_video_is_taken_apart(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", [corner.photo(camera) for camera in corner.cameras(30)])
    scene = load_scene(tmp_path / "clip.mp4", workspace=tmp_path / "model", frames=COUNT)
    assert len(scene.train) == COUNT and f"{COUNT} frames of clip.mp4" in scene.summary
    assert "10 of 10 photos placed" in scene.summary
    assert len(list((tmp_path / "model" / "frames").glob("*.jpg"))) == COUNT


def test_photos_that_show_nothing_in_common_are_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(5):
        noise = cv2.resize(rng.integers(0, 255, (30, 40, 3), np.uint8), (240, 180), interpolation=cv2.INTER_CUBIC)
        (tmp_path / "photos").mkdir(exist_ok=True)
        assert cv2.imwrite(str(tmp_path / "photos" / f"{number}.png"), noise)
    for _ in range(2):  # the second time from what was kept
        with pytest.raises(UserError, match=r"only 0 of 5 photos could be placed .*two thirds.*walk around"):
            load_scene(tmp_path / "photos", workspace=tmp_path / "model")
