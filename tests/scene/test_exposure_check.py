"""Photos of other exposure are told from photos of other things."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scene import exposure_check, load_scene
from scene.exposure_check import Shown, compare_points, exif_spread, measure_exposures
from scene.images import roughly
from scene.types import Camera, PointCloud, Scene, View
from tests.conftest import real_scene
from tests.helpers.decoded import parts_decoded
from tests.helpers.scenes import looking_at_origin, write_photo

WIDTH, HEIGHT = 80, 60


def cloud(count: int = 1500) -> PointCloud:
    """Points on a sphere, dark on one side and bright on the other."""
    rng = np.random.default_rng(0)
    positions = rng.normal(size=(count, 3))
    positions /= np.linalg.norm(positions, axis=1, keepdims=True)
    level = 0.35 + 0.25 * positions[:, :1] + 0.04 * rng.normal(size=(count, 1))
    return PointCloud(positions.astype(np.float32), np.repeat(level, 3, axis=1).astype(np.float32))


def photos(gains: np.ndarray, points: PointCloud, noise: float = 0.01) -> list[Shown]:
    """The sphere from all sides, its nearest points as large dots."""
    rng, shown = np.random.default_rng(1), []
    for index, gain in enumerate(gains):
        camera = Camera(str(index), WIDTH, HEIGHT, 70.0, 70.0, 40.0, 30.0, looking_at_origin(0.4 * index))
        row, column, z, inside = camera.project(points.positions)
        gray = np.zeros((HEIGHT, WIDTH))
        for point in np.argsort(-z):
            if inside[point]:
                y, x = int(row[point]), int(column[point])
                gray[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2] = points.colors[point, 0] * gain
        gray = np.clip(gray * np.exp(noise * rng.normal(size=gray.shape)), 0, 1)
        shown.append(Shown(camera, gray, (gray > 0.03) & (gray < 0.97), None))
    return shown


def test_photos_of_one_exposure_do_not_differ_whatever_they_show() -> None:
    points = cloud()
    same = photos(np.ones(12), points)
    means = [float(each.gray[each.counts].mean()) for each in same]
    assert max(means) > 1.5 * min(means)  # by their content they do
    found = compare_points(same, points)
    assert found.known and found.spread < 0.025 and not found.differ


def test_other_gains_are_found_and_measured() -> None:
    gains = np.exp(0.15 * np.random.default_rng(3).normal(size=12))
    points = cloud()
    found = compare_points(photos(gains, points), points)
    assert found.differ and found.agreement > 0.95
    assert found.spread == pytest.approx(np.std(np.log(gains), ddof=1), rel=0.15)


def test_rooms_that_share_hardly_a_point_do_not_differ() -> None:
    """Two spheres far apart, one twice as bright, and a few points that photos of both seem to show."""
    dark, bright = cloud(), cloud()
    aside = np.array([100.0, 0.0, 0.0], np.float32)
    moved = np.eye(4)
    moved[:3, 3] = -aside
    ours = photos(np.ones(12), dark)
    theirs = [
        each._replace(camera=replace(each.camera, camera_from_world=each.camera.camera_from_world @ moved))
        for each in photos(2 * np.ones(12), bright)
    ]
    both = PointCloud(
        np.concatenate([dark.positions, bright.positions + aside]), np.concatenate([dark.colors, bright.colors])
    )
    assert not compare_points([*ours, *theirs], both).differ
    links = 40
    seen = exposure_check._Seen(
        np.concatenate([np.tile(np.arange(300), 4), np.tile(np.arange(300, 600), 4), np.arange(links)]),
        np.concatenate([np.repeat(np.arange(4), 300), np.repeat(np.arange(4, 8), 300), np.full(links, 4)]),
        np.concatenate([np.zeros(1200), np.full(1200, np.log(2)), np.full(links, np.log(2))]),
        np.zeros(2400 + links, bool),
    )
    gains, _ = exposure_check._gains(seen, 8, 600)
    np.testing.assert_allclose(gains, 0, atol=0.02)
    seen.log[:300] += 0.3  # and one photo of the first four is brighter
    gains, _ = exposure_check._gains(seen, 8, 600)
    assert gains[0] - gains[1] == pytest.approx(0.3, abs=0.01) and np.ptp(gains[4:]) < 0.02


def test_a_depth_map_says_nothing_beyond_its_holes() -> None:
    points = cloud()
    shown = photos(np.ones(12), points)
    blind = [each._replace(depth=np.zeros((HEIGHT, WIDTH))) for each in shown]
    assert compare_points(shown, points).known and not compare_points(blind, points).known


def test_points_that_lie_on_nothing_say_nothing() -> None:
    rng = np.random.default_rng(5)
    points = cloud()
    anywhere = PointCloud(rng.normal(size=(1500, 3)).astype(np.float32), points.colors)
    found = compare_points(photos(np.ones(12), points), anywhere)
    assert not found.differ


def test_too_few_photos_or_points_say_nothing() -> None:
    points = cloud()
    assert not compare_points(photos(np.array([0.5, 1.5]), points), points).known
    few = PointCloud(points.positions[:5], points.colors[:5])
    assert not compare_points(photos(np.array([0.5, 1.0, 1.5]), points), few).known
    assert not compare_points([], points).known
    empty = PointCloud(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32))
    assert not compare_points(photos(np.ones(3), points), empty).known


def written(path: Path, time: float, iso: int = 100) -> Path:
    image, exif = Image.new("RGB", (8, 6)), Image.Exif()
    exif[exposure_check.EXIF] = {
        exposure_check.TIME: time,
        exposure_check.APERTURE: 2.0,
        exposure_check.SPEED: iso,
    }
    image.save(path, exif=exif)
    return path


def test_what_files_say_of_their_exposure(tmp_path: Path) -> None:
    paths = [written(tmp_path / f"{index}.jpg", 0.01, iso) for index, iso in enumerate((100, 100, 400))]
    assert exif_spread(paths) == pytest.approx(np.std(np.log([1, 1, 4])), rel=1e-3)
    assert exif_spread(paths[:2]) == pytest.approx(0, abs=1e-9)
    Image.new("RGB", (8, 6)).save(tmp_path / "plain.jpg")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe1")
    for other in ("plain.jpg", "broken.jpg", "missing.jpg"):
        assert exif_spread([*paths, tmp_path / other]) is None
    assert exif_spread([]) is None


def test_large_photos_are_decoded_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_photo(tmp_path / "a.jpg", 1600, 1200)
    camera = Camera("a.jpg", 1600, 1200, 1400.0, 1400.0, 800.0, 600.0, np.eye(4))
    asked, positions = parts_decoded(monkeypatch), np.ones((3, 3), np.float32)
    views = (View(camera, tmp_path / "a.jpg"),)
    scene = Scene(tmp_path, "COLMAP", views, (), PointCloud(positions, positions), 1.0, 0.01, "")
    assert not measure_exposures(scene).differs and asked == [2, 2]  # its brightness, and its features
    shown = exposure_check._show(roughly(views[0]))
    assert shown is not None and shown.gray.shape == (600, 800) == (shown.camera.height, shown.camera.width)


def test_renderings_have_no_exposure(dataset: Path) -> None:
    scene = load_scene(dataset)
    transparent = replace(scene, train=tuple(replace(view, background=0.0) for view in scene.train))
    assert measure_exposures(transparent) == (False, "")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "differs"), [("rgbd_kitchen", True), ("llff_fern", False)])
def test_real_scenes(name: str, differs: bool) -> None:
    found = measure_exposures(load_scene(real_scene(name), resolution=160))
    assert found.differs == differs and ("exposures differ by" in found.text) == differs
