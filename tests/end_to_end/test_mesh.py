"""mesh.py on a model folder: files, flags, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import mesh as script
from arguments import ModelOptions, TrainOptions, to_json
from scene.io import write_gaussians
from scene.io.points import read_points
from scene.synthetic.truth import find_truth
from scene.types import GaussianArrays
from tests.helpers import rgbd
from utils.errors import UserError
from utils.output_dir import config_path, point_cloud_path

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model folder of a run that has learnt the sphere that its photos show from inside, and a red speck in it."""
    folder = tmp_path_factory.mktemp("mesh")
    rgbd.write_scene(folder / "data", 8)
    means = np.concatenate([rgbd.sphere_points(12_000).positions, [[0.0, 0.5, 0.3]]]).astype(np.float32)
    count = len(means)
    shs = np.zeros((count, 1, 3), np.float32)
    shs[-1, 0] = (1.7, -1.7, -1.7)
    scales = np.full((count, 3), np.log(0.2), np.float32)  # wider than their distances: a closed surface
    scales[-1] = np.log(0.1)
    quats = np.tile(np.array([1, 0, 0, 0], np.float32), (count, 1))
    opacities = np.full((count, 1), 4.0, np.float32)
    options = TrainOptions(model=ModelOptions(str(folder / "data"), str(folder / "model"), sh_degree=0))
    (folder / "model").mkdir()
    config_path(folder / "model").write_text(to_json(options))
    write_gaussians(point_cloud_path(folder / "model", 5), GaussianArrays(means, scales, quats, opacities, shs))
    return folder / "model"


def test_a_mesh_of_the_sphere(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script.main(["-m", str(model), "--voxel", "0.3", "--depth_max", "20", "--min_faces", "40"])
    said = capsys.readouterr().out
    assert f"{model / 'mesh.ply'}: " in said and "fusing depth in cells of 0.3" in said
    vertices = read_points(model / "mesh.ply")
    radius = np.linalg.norm(vertices.positions, axis=1)
    assert len(radius) > 2000 and np.median(np.abs(radius - rgbd.RADIUS)) < 0.1 and radius.min() > 5
    assert np.median(np.abs(vertices.colors - 0.5)) < 0.02


def test_the_file_and_the_flags(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = []
    for name, flags in (
        ("a.glb", "--voxel 0.3 --min_faces 0"),
        ("b.glb", "--voxel 0.5 --min_faces 0"),
        ("c.glb", "--voxel 0.3 --min_faces 0 --depth_max 7"),
    ):
        script.main(["-m", str(model), str(tmp_path / name), "--quiet", *flags.split()])
        sizes.append((tmp_path / name).stat().st_size)
    assert capsys.readouterr().out == "" and sizes[0] > 2 * sizes[1] and sizes[0] > 1.1 * sizes[2]
    for wrong in (["--voxel", "0"], ["--max_memory", "-1"]):
        with pytest.raises(SystemExit):
            script.main(["-m", str(model), *wrong])
    assert "is not above 0" in capsys.readouterr().err


def test_views_are_drawn_smaller_where_memory_is_short(model: Path) -> None:
    cameras = rgbd.make_cameras(3)
    assert script.fitting(cameras, 1e9) == cameras
    small = script.fitting(cameras, 3 * 80 * 60 * 7 / 4)
    assert [(camera.width, camera.height) for camera in small] == [(40, 30)] * 3
    point = np.array([[0.2, 0.1, 0.3]])
    row, column, z, _ = cameras[1].project(point)
    np.testing.assert_allclose(np.array(small[1].project(point)[:3]).ravel(), [row[0] / 2, column[0] / 2, z[0]])


def test_what_cannot_be_done_is_said_before_the_work(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a.stl: meshes are written as .ply, .obj, .glb"):
        script.main(["-m", str(model), "a.stl"])
    with pytest.raises(UserError, match="config.json is not there"):
        script.main(["-m", str(tmp_path)])
    with pytest.raises(UserError, match="the true surface of .*data is not known"):
        script.main(["-m", str(model), "--score"])
    with pytest.raises(UserError, match="no surface"):
        script.main(["-m", str(model), "--voxel", "0.3", "--depth_max", "0.1", "--quiet"])


def test_the_truth_of_a_synthetic_room_is_found_by_its_mark(tmp_path: Path) -> None:
    mark = tmp_path / "truth" / "scene.json"
    mark.parent.mkdir()
    for text, said in (
        ("{", "is not known"),
        ('{"maker": "scene.synthetic", "scene": "outdoor", "seed": 0}', "rooms are room"),
        ('{"maker": "scene.synthetic", "seed": 0, "version": -1}', "another version"),
    ):
        mark.write_text(text)
        with pytest.raises(UserError, match=said):
            find_truth(tmp_path)


def test_scores_are_written_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    shares = {f"{name}_{d}cm": 0.5 for name in ("f", "precision", "recall") for d in (1, 2, 5)}
    lengths = {f"{name}{end}": 0.0123 for name in ("accuracy", "completion") for end in ("", "_median")}
    text = script.score_lines({**shares, **lengths, "chamfer_l1": 0.0123, "normal_consistency": 0.9, "normal_error": 3})
    assert "accuracy 1.23 cm (median 1.23)" in text and "0.500 at 2 cm" in text
