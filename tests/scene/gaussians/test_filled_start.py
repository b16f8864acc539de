"""Points where photos show something and the scene has none: there alone, in depth and color like what is beside."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from scene.gaussians.filled_start import CELLS, MOST, SMALLEST, add_where_none, empty_cells
from scene.types import Camera, PointCloud, Scene, View
from tests.helpers.decoded import parts_decoded
from training.startup import start_points

WIDTH, HEIGHT, DEPTH = 192, 128, 3.0
SIDE = WIDTH // CELLS
LEFT, RIGHT = (200, 30, 40), (10, 60, 220)  # blue, green, red of the photo's halves


def camera(name: str = "a.png") -> Camera:
    return Camera(name, WIDTH, HEIGHT, 160.0, 160.0, WIDTH / 2, HEIGHT / 2, np.eye(4))


def photo(folder: Path, *, alpha: bool = False, name: str = "a.png") -> View:
    """The left half of one color, the right half of another, or transparent."""
    pixels = np.zeros((HEIGHT, WIDTH, 4 if alpha else 3), np.uint8)
    pixels[..., :3] = LEFT
    if alpha:
        pixels[:, : WIDTH // 2, 3] = 255
    else:
        pixels[:, WIDTH // 2 :] = RIGHT
    cv2.imwrite(str(folder / name), pixels)
    return View(camera(name), folder / name)


def known(first: int, last: int, every: int = 2) -> PointCloud:
    """White points at DEPTH on the pixels of columns from `first` on."""
    row, column = np.meshgrid(np.arange(0, HEIGHT, every), np.arange(first, last, every), indexing="ij")
    places = camera().unproject(row.ravel(), column.ravel(), np.full(row.size, DEPTH))
    return PointCloud(places.astype(np.float32), np.ones((row.size, 3), np.float32))


def added(points: PointCloud, views: list[View]) -> PointCloud:
    whole, _ = add_where_none(points, views)
    np.testing.assert_array_equal(whole.positions[: len(points)], points.positions)
    np.testing.assert_array_equal(whole.colors[: len(points)], points.colors)
    return PointCloud(whole.positions[len(points) :], whole.colors[len(points) :])


def test_points_come_where_there_are_none_and_nowhere_else(tmp_path: Path) -> None:
    new = added(known(0, WIDTH // 2), [photo(tmp_path)])
    row, column, z, inside = camera().project(new.positions)
    assert inside.all() and len(new) == (HEIGHT / SIDE).__ceil__() * (CELLS // 2 - 1)  # beside the last one none
    assert column.min() >= WIDTH // 2 + SIDE - 1
    np.testing.assert_allclose(z, DEPTH, rtol=1e-5)
    np.testing.assert_allclose(new.colors, np.tile(np.array(RIGHT[::-1]) / 255, (len(new), 1)), atol=1e-6)
    assert row.std() > 10 and column.std() > 10


def test_a_large_photo_gives_what_a_small_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is decoded in part, which takes a fraction of the time."""
    asked = parts_decoded(monkeypatch)
    small, large = photo(tmp_path), camera("a.jpg").resized(10 * WIDTH, 10 * HEIGHT)
    pixels = cv2.resize(cv2.imread(str(small.image_path)), None, fx=10, fy=10, interpolation=cv2.INTER_NEAREST)
    cv2.imwrite(str(tmp_path / "a.jpg"), pixels)
    new, same = (added(known(0, WIDTH // 2), [each]) for each in (small, View(large, tmp_path / "a.jpg")))
    assert len(new) == len(same) and asked == [1, 2]
    for cloud in (new, same):
        row, column, z, inside = large.project(cloud.positions)
        assert inside.all() and column.min() > 5 * WIDTH and row.std() > 100
        np.testing.assert_allclose(z, DEPTH, rtol=1e-5)
    np.testing.assert_allclose(same.colors, new.colors, atol=0.02)


def test_depth_is_that_of_the_nearest_points(tmp_path: Path) -> None:
    near, far = known(0, 8), known(WIDTH - 8, WIDTH)
    points = PointCloud(np.concatenate([near.positions, 10 * far.positions]), np.concatenate([near.colors, far.colors]))
    new = added(points, [photo(tmp_path)])
    _, column, z, _ = camera().project(new.positions)
    beside = [column < WIDTH / 3, column > 2 * WIDTH / 3]
    assert all(some.any() for some in beside)
    np.testing.assert_allclose(z[beside[0]], DEPTH, rtol=1e-5)
    np.testing.assert_allclose(z[beside[1]], 10 * DEPTH, rtol=1e-5)


def test_depth_is_the_one_at_which_photos_agree(tmp_path: Path) -> None:
    """A far wall of random patches behind near points at the photos' left edge."""
    far, views = 4 * DEPTH, []
    patches = np.random.default_rng(3).integers(0, 256, (60, 120, 3)).astype(np.uint8)
    for k, x in enumerate((-1.5, -0.5, 0.5, 1.5)):
        pose = np.eye(4)
        pose[0, 3] = -x
        moved = replace(camera(f"{k}.png"), camera_from_world=pose)
        rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
        places = moved.unproject(rows.ravel(), columns.ravel(), np.full(rows.size, far))
        wall = patches[(places[:, 1] / 0.6).astype(int) + 30, (places[:, 0] / 0.6).astype(int) + 60]
        cv2.imwrite(str(tmp_path / moved.name), wall.reshape(HEIGHT, WIDTH, 3))
        views.append(View(moved, tmp_path / moved.name))
    new = added(known(0, 8), views)
    z = new.positions[:, 2]
    assert len(new) > 1000 and np.median(z) == pytest.approx(far, rel=1e-5)
    assert (np.abs(np.log2(z / far)) < 0.6).mean() > 0.8  # a step of the depths that are tried is 0.5
    alone = added(known(0, 8), views[:1])
    np.testing.assert_allclose(alone.positions[:, 2], DEPTH, rtol=1e-5)


def test_no_points_where_points_are_everywhere(tmp_path: Path) -> None:
    points = known(0, WIDTH)
    whole, said = add_where_none(points, [photo(tmp_path)])
    assert whole is points and said == ""


def test_a_camera_that_sees_hardly_a_point_guesses_nothing(tmp_path: Path) -> None:
    few = PointCloud(known(0, WIDTH).positions[:3], np.ones((3, 3), np.float32))
    whole, said = add_where_none(few, [photo(tmp_path)])
    assert whole is few and said == ""


def test_what_is_transparent_stays_empty(tmp_path: Path) -> None:
    new = added(known(0, 8), [photo(tmp_path, alpha=True)])
    _, column, _, _ = camera().project(new.positions)
    assert len(new) > 50 and column.max() < WIDTH / 2 + 1


def test_a_damaged_photo_guesses_nothing(tmp_path: Path) -> None:
    whole, broken = photo(tmp_path), photo(tmp_path, name="b.png")
    broken.image_path.write_bytes(broken.image_path.read_bytes()[:90])
    points = known(0, 8)
    alone = len(added(points, [whole]))
    assert 0 < len(added(points, [whole, broken])) <= alone
    assert len(added(points, [broken])) == 0


def test_small_photos_have_few_cells() -> None:
    small = Camera("a", 18, 12, 15.0, 15.0, 9.0, 6.0, np.eye(4))
    empty = empty_cells(small, known(0, 4), np.random.default_rng(0))
    assert 0 < len(empty.row) <= (18 / SMALLEST) * (12 / SMALLEST)


@pytest.mark.parametrize("count", [1, 60])
def test_the_number_is_limited_and_the_same_again(tmp_path: Path, count: int) -> None:
    views = [photo(tmp_path, name=f"{k}.png") for k in range(count)]
    points = known(0, 4)
    first, again = added(points, views), added(points, views)
    np.testing.assert_array_equal(first.positions, again.positions)
    assert len(first) == MOST if count == 60 else 0 < len(first) < MOST


def test_a_limit_leaves_out_what_is_guessed_first(tmp_path: Path) -> None:
    def sources(limit: int) -> tuple[int, int]:
        start = start_points(scene, limit)
        known = int((start.colors == 1).all(axis=1).sum())
        return known, len(start) - known

    measured = known(0, WIDTH // 2)
    whole, _ = add_where_none(measured, [photo(tmp_path)])
    scene = Scene(tmp_path, "COLMAP", (), (), whole, 1.0, 0.1, "", measured=measured)
    guessed = len(whole) - len(measured)
    assert sources(0) == (len(measured), guessed) and guessed > 10
    assert sources(len(measured) + 7) == (len(measured), 7)
    assert sources(9) == (9, 0)
