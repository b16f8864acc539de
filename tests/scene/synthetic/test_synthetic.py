"""The synthetic room: its shapes against marching, its depth against itself, its depth camera, and its folder."""

from __future__ import annotations

import filecmp
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from scene import load_scene
from scene.images import load_image
from scene.io.points import read_points
from scene.readers.colmap import write_model
from scene.synthetic import build_room, distance_to_surface, make_cameras, write_scene
from scene.synthetic.camera_path import make_far_cameras
from scene.synthetic.far import write_far
from scene.synthetic.lathe import Lathe, ring_profile, smooth_profile
from scene.synthetic.lighting import Lighting
from scene.synthetic.plan import Solid, to_world
from scene.synthetic.points import times_seen, unproject
from scene.synthetic.raytrace import Tracer
from scene.synthetic.render import Picture, Renderer
from scene.synthetic.round_shapes import Ellipsoid, Rod
from scene.synthetic.sensor import RANGE, depth_edges, noise_deviation, sense
from scene.synthetic.shapes import Box, Rectangle, Shape
from scene.synthetic.textures import Texture, checker, noise, plain, srgb
from scene.synthetic.write import MARK
from scene.types import Camera, PointCloud
from tests.helpers.room import QUICK
from utils.errors import UserError
from utils.image_io import write_png

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
GRAY = srgb("#808080")
BELLY = smooth_profile([(0.3, 0), (0.6, 0.4), (0.2, 0.9), (0.35, 1.1)], 14)
VASE = [(0, 0), *BELLY, (0.25, 1.1), (0.12, 0.9), (0, 0.8)]


def somewhere() -> np.ndarray:
    """A pose that is neither at the origin nor along the axes."""
    axes, _ = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))
    pose = np.eye(4)
    pose[:3, :3] = axes * np.sign(np.linalg.det(axes))
    pose[:3, 3] = (0.3, -0.7, 1.1)
    return pose


SHAPES: dict[str, Shape] = {
    "rectangle": Rectangle(somewhere(), 1.5, 0.8),
    "box": Box(somewhere(), (1.2, 0.7, 0.3)),
    "sphere": Ellipsoid(somewhere(), (0.6, 0.6, 0.6)),
    "ellipsoid": Ellipsoid(somewhere(), (0.9, 0.5, 0.2)),
    "leaf": Ellipsoid(somewhere(), (0.8, 0.4, 0.01)),
    "rod": Rod(somewhere(), 0.15, 0.9),
    "vase": Lathe(somewhere(), VASE),
    "ring": Lathe(somewhere(), ring_profile(0.6, 0.2, 16)),
    "cone": Lathe(somewhere(), [(0, 0), (0.6, 0), (0, 0.9)]),
}
shapes = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())


def rays_towards(shape: Shape, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rays in the world from well outside to around the middle of a shape, directions not of unit length."""
    rng = np.random.default_rng(seed)
    corners = shape.corners()
    middle, size = corners.mean(axis=1, keepdims=True), np.ptp(corners, axis=1).max()
    outward = rng.normal(size=(3, count))
    o = middle + 3 * size * outward / np.linalg.norm(outward, axis=0)
    target = middle + 0.35 * size * rng.normal(size=(3, count))
    return o, (target - o) * rng.uniform(0.2, 2, count)


def march(shape: Shape, o: np.ndarray, d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First hit by sphere tracing the distance, (R,) t and (R,) the smallest distance met on the way."""
    unit = d / np.linalg.norm(d, axis=0)
    travelled, least = np.zeros(d.shape[1]), np.full(d.shape[1], np.inf)
    for _ in range(600):
        gap = shape.distance(o + travelled * unit)
        least = np.minimum(least, gap)
        travelled = np.minimum(travelled + np.where(least < 1e-9, 0, gap), 100.0)
    return np.where(least < 1e-7, travelled / np.linalg.norm(d, axis=0), np.inf), least


def surface_points(shape: Shape, per_chart: int, margin: float) -> tuple[np.ndarray, ...]:
    """Random places of all charts, off their edges, and their local points: chart, u, v, (3, R) points."""
    rng = np.random.default_rng(0)
    charts = np.repeat(np.arange(len(shape.charts)), per_chart)
    u, v = rng.uniform(margin, 1 - margin, (2, len(charts)))
    points = [shape.place(k, u[charts == k], v[charts == k]) for k in range(len(shape.charts))]
    return charts, u, v, np.concatenate(points, axis=1)


@shapes
def test_hits_agree_with_marching_along_the_ray(shape: Shape) -> None:
    o, d = rays_towards(shape, 1500)
    t, (marched, least) = shape.hit(o, d), march(shape, o, d)
    clear = (least < 1e-7) | (least > 1e-4)  # the rest graze the surface, and marching is at a loss
    assert clear.mean() > 0.97
    assert 0.1 < np.isfinite(marched).mean() < 0.99
    np.testing.assert_array_equal(np.isfinite(t[clear]), np.isfinite(marched[clear]))
    both = clear & np.isfinite(t)
    np.testing.assert_allclose(t[both], marched[both], atol=1e-5)


@shapes
def test_float32_sees_what_float64_sees(shape: Shape) -> None:
    o, d = rays_towards(shape, 4000, seed=1)
    exact, single = shape.hit(o, d), shape.hit(o.astype(np.float32), d.astype(np.float32))
    assert single.dtype == np.float32
    same = np.isfinite(exact) == np.isfinite(single)
    assert same.mean() > 0.998
    both = same & np.isfinite(exact)
    error = np.abs(exact[both] - single[both]) * np.linalg.norm(d[:, both], axis=0)
    assert np.percentile(error, 99) < 2e-4


@shapes
def test_rays_that_look_away_meet_nothing(shape: Shape) -> None:
    o, d = rays_towards(shape, 500, seed=2)
    assert not np.isfinite(shape.hit(o, -d)).any()


@shapes
def test_charts_cover_the_surface_and_are_undone_by_locate(shape: Shape) -> None:
    charts, u, v, points = surface_points(shape, 200, 0.02)
    assert shape.local_distance(points).max() < 1e-7
    found, found_u, found_v = shape.locate(points)
    np.testing.assert_array_equal(found, charts)
    turned = np.abs(found_u - u)
    np.testing.assert_allclose(np.minimum(turned, 1 - turned), 0, atol=1e-6)
    np.testing.assert_allclose(found_v, v, atol=1e-6)


@shapes
def test_distance_is_that_to_the_nearest_of_many_surface_points(shape: Shape) -> None:
    surface = surface_points(shape, 60_000 // len(shape.charts), 0.0)[3]
    rng = np.random.default_rng(5)
    points = rng.uniform(shape.low - 0.3, shape.high + 0.3, (60, 3)).T
    nearest = np.array([np.linalg.norm(surface - point[:, None], axis=0).min() for point in points.T])
    distance = shape.local_distance(points)
    assert (distance <= nearest + 1e-6).all()
    np.testing.assert_allclose(distance, nearest, atol=0.03)
    assert np.median(nearest - distance) < 2e-3


@shapes
def test_normals_stand_on_the_surface_and_face_the_viewer(shape: Shape) -> None:
    o, d = rays_towards(shape, 1500, seed=3)
    t = shape.hit(o, d)
    hit = np.isfinite(t)
    local, way = shape.to_local(o + np.where(hit, t, 0) * d)[:, hit], shape.turn(d)[:, hit]
    normal = shape.local_normal(local)
    np.testing.assert_allclose(np.linalg.norm(normal, axis=0), 1, atol=1e-9)
    step = 1e-4
    rises = shape.local_distance(local + step * normal) / step
    assert np.percentile(rises, 2) > 0.9  # round profiles are polygons: their shading normals lean a little
    if not isinstance(shape, Rectangle):
        assert ((normal * way).sum(axis=0) < 0.2 * np.linalg.norm(way, axis=0)).all()


@pytest.mark.parametrize("texture", [plain(GRAY, depth=0.5), checker(GRAY, 2 * GRAY, 0.05)])
def test_textures_fade_before_they_alias(texture: Texture) -> None:
    p = np.random.default_rng(0).uniform(-1, 1, (3, 5000)).astype(np.float32)
    sharp, blurred = (texture(p, np.full(5000, blur, np.float32)) for blur in (0.001, 0.5))
    assert sharp.std() > 0.05
    assert blurred.std() < 0.35 * sharp.std()
    assert blurred.mean() == pytest.approx(sharp.mean(), rel=0.15)


def test_noise_has_unit_variance() -> None:
    p = np.random.default_rng(0).uniform(-5, 5, (3, 20_000)).astype(np.float32)
    values = noise(p, np.zeros(20_000, np.float32), 0.2)
    assert values.std() == pytest.approx(1, rel=0.15)
    assert abs(values.mean()) < 0.1


# ---- the room


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    room = build_room(0)
    return Renderer(room.solids, Lighting(room, QUICK))


@pytest.fixture(scope="module")
def shots(renderer: Renderer) -> tuple[list[Camera], list[Picture]]:
    """Neighbouring views, as a path of 60 has them, 120 × 90."""
    cameras = make_cameras(60, 120, 90)[20:24]
    return cameras, [renderer.render(camera) for camera in cameras]


def test_every_ray_meets_something_at_a_moderate_distance() -> None:
    room = build_room(0)
    tracer = Tracer(room)
    for camera in make_cameras(60, 24, 18):
        row, column = (grid.ravel() for grid in np.mgrid[0:18, 0:24])
        points = unproject(camera, np.ones(row.size), row, column)
        d = np.ascontiguousarray(points.T) - camera.center[:, None]
        t, number = tracer.nearest(np.repeat(camera.center[:, None], row.size, axis=1), d)
        assert (number >= 0).all()
        assert t.min() > 0.4 and t.max() < 7 and 1.5 < np.median(t) < 5


def test_the_grouped_tracer_agrees_with_the_renderer(shots: tuple[list[Camera], list[Picture]]) -> None:
    camera, picture = shots[0][0], shots[1][0]
    row, column = (grid.ravel() for grid in np.mgrid[0 : camera.height, 0 : camera.width])
    d = unproject(camera, np.ones(row.size), row, column).T - camera.center[:, None]
    t, number = Tracer(build_room(0)).nearest(np.repeat(camera.center[:, None], row.size, axis=1), d)
    np.testing.assert_allclose(t, picture.depth.ravel(), rtol=1e-9)
    np.testing.assert_array_equal(number, picture.solid.ravel())


def test_exact_depth_carries_one_view_into_the_next(shots: tuple[list[Camera], list[Picture]]) -> None:
    cameras, pictures = shots
    row, column = (grid.ravel() for grid in np.mgrid[0 : cameras[0].height, 0 : cameras[0].width])
    points = unproject(cameras[0], pictures[0].depth[row, column], row, column)
    np.testing.assert_allclose(distance_to_surface(points), 0, atol=1e-9)
    seen = times_seen(points, cameras[1:2], pictures[1:2]) == 1
    assert seen.mean() > 0.7
    # The colors of a point in two views agree, but for edges that one pixel of the other view averages.
    x, y, z = cameras[1].camera_from_world[:3, :3] @ points[seen].T + cameras[1].camera_from_world[:3, 3:]
    there = (
        (cameras[1].fy * y / z + cameras[1].cy).astype(int),
        (cameras[1].fx * x / z + cameras[1].cx).astype(int),
    )
    difference = np.abs(pictures[1].color[there] - pictures[0].color[row[seen], column[seen]]).max(axis=1)
    assert np.median(difference) < 0.04


def test_known_points_appear_where_the_camera_says(renderer: Renderer) -> None:
    """Through one pixel's center, (column + 0.5, row + 0.5), passes the ray to the point that pixel shows."""
    camera = make_cameras(60, 120, 90)[30]
    corner = to_world([-2.45, 4.9, 0.0])  # where the floor meets the brick and the back wall
    x, y, z = camera.camera_from_world[:3, :3] @ corner + camera.camera_from_world[:3, 3]
    column, row = camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy
    assert 0 < column < 120 and 0 < row < 90 and z > 0
    depth = renderer.render(camera).depth
    assert depth[int(row), int(column)] == pytest.approx(z, rel=0.02)
    assert depth.max() <= z + 0.1


def test_pictures_are_lit_and_colorful(shots: tuple[list[Camera], list[Picture]]) -> None:
    color = np.stack([picture.color for picture in shots[1]])
    assert color.min() >= 0 and color.max() <= 1
    assert 0.25 < color.mean() < 0.65
    assert color.std() > 0.12
    assert np.ptp(color, axis=-1).mean() > 0.1
    assert (color > 0.995).mean() < 0.05 and (color < 0.01).mean() < 0.05


def test_light_is_the_same_for_any_number_of_threads() -> None:
    room = build_room(0)
    one, two = (Lighting(room, QUICK, workers).values for workers in (1, 2))
    np.testing.assert_array_equal(one, two)
    assert np.isfinite(one).all() and one.min() > 0


def test_the_table_casts_a_shadow_on_the_rug() -> None:
    room = build_room(0)
    tracer = Tracer(room)
    below, above = to_world([0.1, 2.85, 0.3])[:, None], to_world([0.1, 2.85, 0.66])[:, None]
    assert tracer.blocked(below, above - below).all()
    aside = to_world([0.1, 2.0, 0.3])[:, None]
    assert not tracer.blocked(aside, to_world([0.0, 0.0, 0.6])[:, None]).any()


def test_distance_to_surface_at_known_places() -> None:
    free = np.array([[-1.2, 0.6, 0.25], [-1.2, 0.6, -0.05], [2.0, 0.3, 2.45]])  # near the front, where nothing stands
    np.testing.assert_allclose(distance_to_surface(to_world(free)), [0.25, 0.05, 0.15], atol=1e-9)
    above_table = to_world(np.array([[0.1 - 0.3, 2.85 - 0.2, 0.62 + 0.04]]))
    assert distance_to_surface(above_table)[0] == pytest.approx(0.04, abs=1e-3)
    with pytest.raises(ValueError, match="points has shape"):
        distance_to_surface(np.zeros((3,)))


def test_distance_culling_changes_nothing() -> None:
    room = build_room(1)
    points = np.random.default_rng(0).uniform((-2.4, -2.5, 0), (2.4, 0, 4.8), (200, 3))
    p = np.ascontiguousarray(points.T)
    every = np.min([solid.shape.distance(p) for solid in room.solids], axis=0)
    np.testing.assert_allclose(room.distance_to_surface(points), every, atol=1e-12)


def test_cameras_stay_in_free_air_with_an_off_center_principal_point() -> None:
    for seed in (0, 1, 2):
        cameras = make_cameras(60, 480, 360, seed)
        centers = np.stack([camera.center for camera in cameras])
        assert distance_to_surface(centers, seed).min() > 0.2
        assert np.linalg.norm(np.diff(centers, axis=0), axis=1).max() < 0.6
        assert (cameras[0].cx, cameras[0].cy) != (240, 180)
        assert len({camera.name for camera in cameras}) == 60


# ---- the depth camera


def flat(depth: np.ndarray, facing: float = 1.0, gray: float = 0.5, solid: int = 0) -> Picture:
    shape = depth.shape
    color = np.full((*shape, 3), gray, np.float32)
    return Picture(color, depth.astype(float), np.full(shape, facing, np.float32), np.full(shape, solid, np.int32))


def ordinary() -> list[Solid]:
    shape, texture = SHAPES["rectangle"], plain(GRAY)
    return [Solid(shape, texture), Solid(shape, texture, thin=True), Solid(shape, texture, sensed=False)]


def test_sensor_noise_grows_with_depth_as_its_formula_says() -> None:
    spreads = []
    for depth in (1.0, 2.0, 4.0):
        measured = sense(flat(np.full((240, 320), depth)), ordinary(), 270, seed=1).astype(float)
        good = measured > 0
        assert good.mean() > 0.95
        assert measured[good].mean() == pytest.approx(1000 * depth, rel=0.003)
        spreads.append(measured[good].std())
        assert spreads[-1] == pytest.approx(1000 * noise_deviation(np.array(depth)), rel=0.1)
    assert spreads[0] < spreads[1] < spreads[2]


def test_flying_pixels_stand_between_the_sides_of_an_edge_and_nowhere_else() -> None:
    depth = np.full((200, 200), 2.0)
    depth[:, 100:] = 3.0
    measured = sense(flat(depth), ordinary(), 170, seed=2) / 1000
    flying = (measured > 2.1) & (measured < 2.85)
    assert flying[:, 98:103].sum() > 20
    assert not flying[:, :98].any() and not flying[:, 103:].any()
    np.testing.assert_array_equal(np.flatnonzero(depth_edges(depth)[50]), [99, 100])


def test_holes_at_grazing_angles_dark_thin_and_bright_things_and_out_of_range() -> None:
    depth = np.full((120, 160), 2.0)

    def valid(picture: Picture) -> float:
        return float((sense(picture, ordinary(), 130, seed=3) > 0).mean())

    plainly = valid(flat(depth))
    assert 0.95 < plainly < 1  # a few blobs are always missing
    assert valid(flat(depth, facing=0.1)) < plainly - 0.2
    assert valid(flat(depth, facing=0.03)) == 0
    assert valid(flat(depth, gray=0.05)) < plainly - 0.2
    assert valid(flat(depth, solid=1)) < plainly - 0.2
    assert valid(flat(depth, solid=2)) == 0
    assert valid(flat(depth + RANGE[1])) == 0


def test_what_the_projector_cannot_light_is_missing_left_of_near_things() -> None:
    depth = np.full((100, 200), 4.0)
    depth[:, 100:140] = 1.5
    missing = sense(flat(depth), ordinary(), 170, seed=4) == 0
    width = int(170 * 0.075 * (1 / 1.5 - 1 / 4))  # f·b·(1/near − 1/far)
    assert width >= 4
    assert missing[:, 101 - width : 98].mean() > 0.7
    assert missing[:, 142:160].mean() < 0.1 and missing[:, 104:136].mean() < 0.1


# ---- the folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("synthetic") / "room"
    write_scene(path, views=3, width=60, height=45, quiet=True)
    return path


def test_the_folder_is_a_scene(folder: Path) -> None:
    scene = load_scene(folder, eval_split=True)
    assert scene.kind == "COLMAP"
    assert len(scene.train) == 2 and len(scene.test) == 1
    views = sorted((*scene.train, *scene.test), key=lambda view: view.camera.name)
    for view, camera in zip(views, make_cameras(3, 60, 45), strict=True):
        np.testing.assert_allclose(view.camera.camera_from_world, camera.camera_from_world, atol=1e-9)
        assert (view.camera.fx, view.camera.cx, view.camera.cy) == (camera.fx, camera.cx, camera.cy)
        assert load_image(view).color.shape == (3, 45, 60)


def test_points_lie_on_the_surfaces_and_look_like_the_photos(folder: Path) -> None:
    sparse = load_scene(folder, depths="none").points
    dense = read_points(folder / "truth" / "points.ply")
    assert len(sparse) > 200 and len(dense) > 2000
    assert distance_to_surface(dense.positions).max() < 1e-5
    off = distance_to_surface(sparse.positions)
    assert 0 < np.median(off) < 0.1  # these pictures have pixels of 7 cm
    assert sparse.colors.std() > 0.1


def test_depth_maps_are_16_bit_millimetres_of_the_truth(folder: Path) -> None:
    for name in ("00000", "00001", "00002"):
        measured = np.asarray(cv2.imread(str(folder / "depth" / f"{name}.png"), cv2.IMREAD_UNCHANGED))
        truth = np.load(folder / "truth" / "depth" / f"{name}.npy")
        assert measured.dtype == np.uint16 and measured.shape == truth.shape == (45, 60)
        assert truth.dtype == np.float32 and truth.min() > 0
        valid = measured > 0
        assert 0.4 < valid.mean() < 1
        assert np.median(np.abs(measured[valid] / 1000 - truth[valid])) < 0.03


def files(folder: Path) -> list[Path]:
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


def test_the_same_seed_gives_the_same_bytes_and_replaces_its_own(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "again"
    shutil.copytree(folder, other)
    (other / "images" / "00000.png").write_text("an older photo")
    (other / "images" / "00009.png").write_text("a photo of a longer path")
    write_scene(other, views=3, width=60, height=45, quiet=True)
    assert files(other) == files(folder)
    assert filecmp.cmpfiles(folder, other, [str(name) for name in files(folder)], shallow=False)[1:] == ([], [])
    assert [path.name for path in tmp_path.iterdir()] == ["again"]  # nothing is left beside it


def test_another_seed_is_another_room() -> None:
    poses = [np.stack([solid.shape.pose for solid in build_room(seed).solids]) for seed in (0, 1)]
    assert np.abs(poses[0] - poses[1]).max() > 0.01


@pytest.mark.parametrize("mark", [None, "{", '{"maker": "someone else"}'])
def test_foreign_folders_are_refused_and_left_alone(tmp_path: Path, mark: str | None) -> None:
    (tmp_path / "truth").mkdir()
    (tmp_path / "precious.txt").write_text("mine")
    if mark is not None:
        (tmp_path / MARK).write_text(mark)
    with pytest.raises(UserError, match="is not empty and was not made by"):
        write_scene(tmp_path, views=2, width=16, height=16, quiet=True)
    assert (tmp_path / "precious.txt").read_text() == "mine"
    with pytest.raises(UserError, match="is a file"):
        write_scene(tmp_path / "precious.txt", views=2, width=16, height=16, quiet=True)


@pytest.mark.parametrize(("argument", "value"), [("views", 1), ("width", 8), ("height", 0), ("seed", -1)])
def test_impossible_sizes_are_refused(tmp_path: Path, argument: Any, value: int) -> None:
    with pytest.raises(UserError, match=f"--{argument} is {value}; it must be at least"):
        write_scene(tmp_path / "room", **{argument: value})


def test_the_command_line_says_in_one_line_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "scene.synthetic", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


def test_views_off_the_path_come_with_exact_depth_and_what_photos_saw(tmp_path: Path, renderer: Renderer) -> None:
    cameras, far_cameras = make_cameras(14, 24, 18), make_far_cameras(24, 18)[::4]
    photos = cameras, [renderer.render(camera) for camera in cameras]
    write_far(tmp_path, (far_cameras, [renderer.render(camera) for camera in far_cameras]), photos)
    write_model(tmp_path / "sparse" / "0", cameras, PointCloud(np.zeros((1, 3)), np.zeros((1, 3))))
    for camera in cameras:
        write_png(tmp_path / "images" / camera.name, np.zeros((18, 24, 3), np.uint8))
    scene = load_scene(tmp_path, eval_split=True)
    assert [view.image_path.stem for view in scene.far] == ["aside_0", "closer_0", "higher_0"]
    assert scene.meters_per_unit == 1.0
    trained = [view.camera for view in scene.train]
    for view in scene.far:
        camera, photo = view.camera, load_image(view)
        assert min(np.linalg.norm(camera.center - other.center) for other in trained) > 0.3
        z = np.load(tmp_path / "test_far" / "depth" / f"{view.image_path.stem}.npy")
        row, column = (grid.ravel() for grid in np.mgrid[0:18, 0:24])
        points = camera.unproject(row, column, z.ravel().astype(float))
        assert distance_to_surface(points).max() < 1e-5
        assert photo.mask is not None and 0.2 < (photo.mask > 0.5).mean() < 1  # coarse pixels
        inside = np.sum([other.project(points[photo.mask.ravel() > 0.5])[3] for other in trained], axis=0)
        assert inside.min() >= 3  # a masked pixel's place is in the pictures of three photos that are trained on
