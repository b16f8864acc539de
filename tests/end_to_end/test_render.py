from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import render as script
from arguments import ModelOptions, TrainOptions, to_json
from gaussian_renderer import RenderSettings, render, render_views
from scene import load_scene
from scene.gaussians.model import Gaussians
from scene.io import write_gaussians
from scene.loading.image_cache import ViewCache
from scene.readers.colmap import write_model
from scene.types import Camera, GaussianArrays, PointCloud
from utils.errors import UserError
from utils.image_io import NOTHING, ColorScale, read_png, to_bytes, write_png
from utils.metrics import image as metrics
from utils.metrics import renders
from utils.output_dir import point_cloud_path

pytestmark = pytest.mark.slow

WIDTH, HEIGHT = 40, 30
NAMES = ["b.png", "a.png", "d.png", "c.png"]  # not in order: files must be


def cameras() -> list[Camera]:
    """Side by side, looking along z."""
    poses = []
    for index, name in enumerate(NAMES):
        pose = np.eye(4)
        pose[0, 3] = 0.2 * index - 0.3
        poses.append(Camera(name, WIDTH, HEIGHT, 40.0, 40.0, 20.0, 15.0, pose))
    return poses


def arrays(depth: float = 3.0) -> GaussianArrays:
    """Nine blobs on a wall and one behind it, so that pixels have distortion, and some see nothing."""
    grid = np.linspace(-0.6, 0.6, 3)
    wall = [(x, y, depth) for x in grid for y in grid]
    means = np.array([*wall, (0.1, 0.1, 2 * depth)], np.float32)
    count = len(means)
    colors = np.random.default_rng(0).uniform(-1.5, 1.5, (count, 4, 3)).astype(np.float32)
    colors[:, 1:] *= 0.1
    quats = np.tile(np.array([1, 0, 0, 0], np.float32), (count, 1))
    scales = np.full((count, 3), np.log(0.15), np.float32)
    return GaussianArrays(
        means=means, scales=scales, quats=quats, opacities=np.full((count, 1), 1.0, np.float32), shs=colors
    )


def photo(index: int) -> np.ndarray:
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.stack([6 * x, 8 * y, np.full_like(x, 60 * index)], axis=2).astype(np.uint8)


@pytest.fixture
def model(tmp_path) -> Path:
    """A dataset and the model folder that a run on it left, with two saved iterations."""
    source, folder = tmp_path / "data", tmp_path / "out"
    rng = np.random.default_rng(1)
    points = PointCloud(rng.normal(size=(10, 3)).astype(np.float32), rng.uniform(size=(10, 3)).astype(np.float32))
    write_model(source / "sparse" / "0", cameras(), points)
    for index, name in enumerate(NAMES):
        write_png(source / "images" / name, photo(index))
    options = TrainOptions(model=ModelOptions(str(source), str(folder), test_images=("d.png",), sh_degree=1))
    folder.mkdir()
    (folder / "config.json").write_text(to_json(options))
    write_gaussians(point_cloud_path(folder, 7), arrays(depth=4.0))
    write_gaussians(point_cloud_path(folder, 30), arrays())
    return folder


def test_the_files(model):
    script.main(["-m", str(model)])
    train, test = model / "train" / "ours_30", model / "test" / "ours_30"
    for folder, count in ((train, 3), (test, 1)):
        for kind in ("renders", "gt", "depth", "distortion"):
            assert [path.name for path in sorted((folder / kind).iterdir())] == [f"{i:05}.png" for i in range(count)]
            assert read_png(folder / kind / "00000.png").shape == (HEIGHT, WIDTH, 3)
    names = json.loads((train / "names.json").read_text())
    assert names == {"00000.png": "a.png", "00001.png": "b.png", "00002.png": "c.png"}
    assert json.loads((test / "names.json").read_text()) == {"00000.png": "d.png"}
    for file, name in names.items():
        assert np.array_equal(read_png(train / "gt" / file), photo(NAMES.index(name)))
    assert not (model / "data").exists() and not (train / "masks").exists()


def test_the_pictures(model):
    script.main(["-m", str(model), "--skip_train"])
    folder = model / "test" / "ours_30"
    gaussians, camera = Gaussians.from_arrays(arrays()), cameras()[NAMES.index("d.png")]
    with torch.no_grad():
        output = render(gaussians, camera, torch.zeros(3), RenderSettings(near=0.01, sh_degree=1))
    picture = read_png(folder / "renders/00000.png")
    assert picture.std() > 20
    assert np.array_equal(picture, to_bytes(output.color))
    scales = {name: ColorScale(**value) for name, value in json.loads((folder / "colors.json").read_text()).items()}
    alpha, depth, distortion = (each[0].numpy() for each in (output.alpha, output.depth, output.distortion))
    shown = read_png(folder / "depth/00000.png")
    assert np.array_equal(shown, scales["depth"].paint(depth / np.maximum(alpha, 1e-30), alpha >= 0.05))
    assert 0.01 < (shown == NOTHING).all(axis=2).mean() < 0.9, "what nothing is in front of has no depth"
    assert 2.5 < scales["depth"].low < 3.1 and 3.5 < scales["depth"].high < 6.1
    assert distortion.max() > 0.1
    assert np.array_equal(read_png(folder / "distortion/00000.png"), scales["distortion"].paint(distortion))


def test_skipping_and_choosing(model):
    script.main(["-m", str(model), "--iteration", "7", "--skip_test"])
    assert (model / "train" / "ours_7").is_dir() and not (model / "test").exists()
    script.main(["-m", str(model), "--iteration", "7", "--skip_train"])
    script.main(["-m", str(model), "--skip_train"])
    assert [path.name for path in sorted((model / "test").iterdir())] == ["ours_30", "ours_7"]
    pictures = [read_png(model / "test" / name / "renders/00000.png") for name in ("ours_30", "ours_7")]
    assert np.abs(pictures[0].astype(int) - pictures[1]).max() > 20


def test_another_place_of_the_dataset(model, tmp_path):
    (tmp_path / "data").rename(tmp_path / "moved")
    with pytest.raises(UserError, match="data"):
        script.main(["-m", str(model)])
    script.main(["-m", str(model), "-s", str(tmp_path / "moved"), "--skip_train", "--quiet"])
    assert (model / "test/ours_30/renders/00000.png").exists()


def test_what_is_missing_is_named(model, tmp_path):
    with pytest.raises(UserError, match="--iteration 8 was not saved.*7, 30"):
        script.main(["-m", str(model), "--iteration", "8"])
    with pytest.raises(UserError, match="config.json is not there"):
        script.main(["-m", str(tmp_path / "data")])
    for iteration in (7, 30):
        point_cloud_path(model, iteration).unlink()
    with pytest.raises(UserError, match="point_cloud.ply"):
        script.main(["-m", str(model)])


def loaded(model: Path) -> tuple[Gaussians, ViewCache, RenderSettings]:
    scene = load_scene(model.parent / "data", test_images=("d.png",))
    return (
        Gaussians.from_arrays(arrays()),
        ViewCache(scene.train),
        RenderSettings(scene.near, sh_degree=1),
    )


def test_numbers_from_memory_are_those_from_files(model):
    gaussians, photos, settings = loaded(model)
    script.main(["-m", str(model), "--skip_test"])
    stored = metrics.average(renders.measure_folder(model / "train" / "ours_30").values())
    measured = render_views.measure(gaussians, photos, torch.zeros(3), settings)
    assert stored == measured
    assert measured["PSNR"] is not None and 0 < measured["PSNR"] < 60


def test_pictures_of_other_views_do_not_stay(model):
    gaussians, photos, settings = loaded(model)
    folder = model / "train" / "ours_30"
    for name in ("renders/00007.png", "masks/00000.png"):
        write_png(folder / name, photo(0))
    drawn = list(render_views.render_views(gaussians, photos, folder, torch.zeros(3), settings))
    assert drawn == [("a.png", 0), ("b.png", 0), ("c.png", 0)]
    assert len(list((folder / "renders").iterdir())) == 3
    assert not (folder / "masks/00000.png").exists()


def test_masks_are_kept_for_the_metrics(model):
    gaussians, photos, settings = loaded(model)

    class Masked(ViewCache):
        def __getitem__(self, index):
            photo = super().__getitem__(index)
            return photo._replace(mask=(torch.arange(WIDTH) < 10).expand(1, HEIGHT, WIDTH).float())

    folder = model / "train" / "ours_30"
    masked = Masked(photos.views)
    list(render_views.render_views(gaussians, masked, folder, torch.zeros(3), settings))
    assert read_png(folder / "masks/00001.png")[:, :, 0].tolist() == [[255] * 10 + [0] * 30] * HEIGHT
    stored = metrics.average(renders.measure_folder(folder).values())
    assert stored == render_views.measure(gaussians, masked, torch.zeros(3), settings)
    assert stored != render_views.measure(gaussians, photos, torch.zeros(3), settings)


def test_no_views(model):
    gaussians, _, settings = loaded(model)
    with pytest.raises(UserError, match="no views"):
        list(render_views.render_views(gaussians, ViewCache(()), model / "test" / "ours_30", torch.zeros(3), settings))


def test_what_is_not_drawn_is_said_in_a_line(model, capsys):
    script.main(["-m", str(model), "--skip_train"])
    assert "not drawn" not in capsys.readouterr().out
    broken = arrays()
    broken.scales[:2] = 100.0  # finite in the file, infinite as a standard deviation
    write_gaussians(point_cloud_path(model, 30), broken)
    script.main(["-m", str(model), "--skip_test"])
    said = [line for line in capsys.readouterr().out.splitlines() if "not drawn" in line]
    assert len(said) == 1 and said[0].startswith("warning: 2 Gaussians not drawn in a.png, the most of 3 of 3 views")
    script.main(["-m", str(model), "--quiet"])
    assert capsys.readouterr().out == ""
