"""Files of Gaussians from anywhere: edited by export.py, as the start of a training, and rendered."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import export
import render
import train
from arguments import ModelOptions, TrainOptions, to_json
from scene import inspect, load_scene
from scene.camera_list import write_cameras
from scene.io import read_gaussians, write_gaussians
from scene.types import GaussianArrays
from tests.helpers.clouds import random_gaussians
from tests.helpers.ring import POINTS, VIEWS
from tests.helpers.splats import splats
from utils.errors import UserError
from utils.image_io import read_png
from utils.output_dir import point_cloud_path

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("without_pages")]


def taken(sh_degree: int = 0) -> GaussianArrays:
    """The Gaussians that the pictures of tests.helpers.ring show."""
    gaussians = random_gaussians(POINTS, sh_degree)
    gaussians.scales.detach().add_(1.0)
    return gaussians.to_arrays()


def supersplat(path: Path, arrays: GaussianArrays, removed: int) -> None:
    """A PLY as an editor leaves it: rows removed, columns of its own, in another order, no normals."""
    write_gaussians(path, GaussianArrays(**{name: value[removed:] for name, value in vars(arrays).items()}))
    header, _, body = path.read_bytes().partition(b"end_header\n")
    names = [line.split()[-1] for line in header.decode().splitlines() if line.startswith("property")]
    table = dict(zip(names, np.frombuffer(body, "<f4").reshape(-1, len(names)).T, strict=True))
    columns = {"state": np.zeros(len(table["x"]), "u1")} | {
        name: table[name] for name in sorted(names, reverse=True) if name not in ("nx", "ny", "nz")
    }
    kinds = {"u1": "uchar", "<f4": "float"}
    rows = np.empty(len(table["x"]), [(name, each.dtype) for name, each in columns.items()])
    for name, each in columns.items():
        rows[name] = each
    lines = ["ply", "format binary_little_endian 1.0", "comment edited", f"element vertex {len(rows)}"]
    lines += [f"property {kinds['u1' if each.dtype == np.uint8 else '<f4']} {name}" for name, each in columns.items()]
    path.write_bytes("\n".join([*lines, "end_header\n"]).encode() + rows.tobytes())


# ---- export.py


def test_a_file_is_edited(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    original = splats(50)
    write_gaussians(tmp_path / "a.ply", original)
    edits = "--crop -1 -1 -1 1 1 1 --max_gaussians 5 --sh_degree 1 --scale 2 --rotate 0 0 90 --translate 1 2 3"
    export.main([str(tmp_path / "b.ply"), "-m", str(tmp_path / "a.ply"), *edits.split()])
    inside = (np.abs(original.means) <= 1).all(axis=1)
    said = capsys.readouterr().out
    assert f"{50 - inside.sum()} outside the crop left out; {inside.sum() - 5} left out by opacity times area" in said
    read = read_gaussians(tmp_path / "b.ply")
    assert read.shs.shape == (5, 4, 3)
    turn = Rotation.from_euler("z", 90, degrees=True).as_matrix()
    back = ((read.means - (1, 2, 3)) / 2) @ turn
    distance = np.linalg.norm(original.means[:, None] - back[None], axis=2)
    chosen = distance.argmin(axis=0)
    assert distance.min(axis=0).max() < 1e-5 and inside[chosen].all() and (np.diff(chosen) > 0).all()
    np.testing.assert_allclose(read.scales, original.scales[chosen] + np.log(2), atol=1e-6)


def test_matrices_come_from_the_line_or_a_file(tmp_path: Path) -> None:
    write_gaussians(tmp_path / "a.ply", splats(5))
    numbers = "0 -2 0 1 2 0 0 2 0 0 2 3 0 0 0 1"
    (tmp_path / "m.json").write_text(json.dumps(np.array(numbers.split(), float).reshape(4, 4).tolist(), indent=1))
    export.main([str(tmp_path / "b.ply"), "-m", str(tmp_path / "a.ply"), "--transform", *numbers.split()])
    export.main([str(tmp_path / "c.ply"), "-m", str(tmp_path / "a.ply"), "--transform", str(tmp_path / "m.json")])
    assert (tmp_path / "b.ply").read_bytes() == (tmp_path / "c.ply").read_bytes()
    moved = splats(5).means @ np.array([(0, 2, 0), (-2, 0, 0), (0, 0, 2)]) + (1, 2, 3)
    np.testing.assert_allclose(read_gaussians(tmp_path / "b.ply").means, moved, atol=1e-5)


def test_a_format_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_gaussians(tmp_path / "a.compressed.ply", splats(5))
    export.main(["-m", "a.compressed.ply", "--format", "spz", "--quiet"])
    export.main(["-m", "a.spz", "--format", "compressed-ply", "b.compressed.ply"])
    assert len(read_gaussians(tmp_path / "a.spz").means) == len(read_gaussians(tmp_path / "b.compressed.ply").means)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("a.ply", "a.ply is the file that is read"),
        ("", "no file to write to: give its name, or --format"),
        ("b.splat --format spz", "b.splat has the suffix .splat; --format spz writes .spz"),
        ("b.ply --iteration 3", "--iteration chooses from the folder of a model"),
        ("b.ply --crop 1 2 3", "--crop has 3 numbers"),
        ("b.ply --crop 0 0 nan 1", "--crop has the number nan; all of its numbers must be finite"),
        ("b.ply --crop 0 0 0 inf", "--crop has the number inf"),
        ("b.ply --crop 99 99 99 1", "--crop keeps none of 5 Gaussians"),
        ("b.ply --max_gaussians 0", "--max_gaussians 0: it must be at least 1"),
        ("b.ply --transform 1 2", "--transform 1 2 is not 16 numbers"),
        ("b.ply --scale 0", "--scale 0.0"),
        ("b.ply --scale 2 --transform 1", "exclude each other"),
    ],
)
def test_what_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, problem: str) -> None:
    monkeypatch.chdir(tmp_path)
    write_gaussians(Path("a.ply"), splats(5))
    with pytest.raises(UserError, match=problem):
        export.main(["-m", "a.ply", *words.split()])
    assert [path.name for path in tmp_path.iterdir()] == ["a.ply"]


def test_nothing_infinite_leaves(tmp_path: Path) -> None:
    far = splats(5)
    far.means[0] = 1e30
    write_gaussians(tmp_path / "a.ply", far)
    with pytest.warns(UserWarning, match="1 Gaussians with NaN or infinite values dropped"):
        export.main([str(tmp_path / "b.ply"), "-m", str(tmp_path / "a.ply"), "--scale", "1e20"])
    assert len(read_gaussians(tmp_path / "b.ply").means) == 4


def test_a_model_is_thinned_by_what_its_training_views_see(dataset: Path, tmp_path: Path) -> None:
    """Large opaque Gaussians that no camera sees go first, though they have most opacity and area."""
    hidden = taken()
    hidden.means[:10, 1] += 1000
    hidden.scales[:10] += 5
    hidden.opacities[:10] = 9
    model = tmp_path / "model"
    write_gaussians(point_cloud_path(model, 3), hidden)
    (model / "config.json").write_text(to_json(TrainOptions(model=ModelOptions(str(dataset), str(model)))))
    keep = str(POINTS - 10)
    export.main([str(tmp_path / "a.ply"), "-m", str(model), "--max_gaussians", keep, "--device", "cpu"])
    export.main([str(tmp_path / "b.ply"), "-m", str(point_cloud_path(model, 3)), "--max_gaussians", keep])
    np.testing.assert_array_equal(read_gaussians(tmp_path / "a.ply").means, hidden.means[10:])
    assert (read_gaussians(tmp_path / "b.ply").means[:10, 1] > 900).all()


def shown_in(page: Path) -> dict[str, Any]:
    """The settings of a page's viewer."""
    block = page.read_text().partition('id="sse-bootstrap">')[2].partition("</script>")[0]
    settings: dict[str, Any] = json.loads(block)["settings"]
    return settings


def test_a_page_has_the_cameras_of_its_model(dataset: Path, tmp_path: Path) -> None:
    """They move as the Gaussians do; a mirrored world has none, nor has a lone file."""
    model, cameras = tmp_path / "model", [view.camera for view in load_scene(dataset).train]
    write_gaussians(point_cloud_path(model, 3), taken())
    write_cameras(model, cameras)
    places = []
    for flags in ("", "--scale 2 --translate 1 2 3"):
        export.main([str(tmp_path / "a.html"), "-m", str(model), *flags.split(), "--quiet"])
        notes = shown_in(tmp_path / "a.html")["annotations"]
        assert [each["title"] for each in notes] == [camera.name for camera in cameras]
        places.append(np.array([each["position"] for each in notes]))
    middles = [each.mean(axis=0) for each in places]
    np.testing.assert_allclose(places[1] - middles[1], 2 * (places[0] - middles[0]), atol=1e-6)
    mirror = "--transform -1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1"
    for source, flags in ((model, mirror), (point_cloud_path(model, 3), "")):
        export.main([str(tmp_path / "a.html"), "-m", str(source), *flags.split(), "--quiet"])
        assert [each["title"] for each in shown_in(tmp_path / "a.html")["annotations"]] == ["overview"]


# ---- scene.inspect


def test_what_a_file_holds_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = splats(100, 4)
    odd.scales[:] = np.log([0.1, 0.2, 0.3])
    odd.scales[:25] = np.log([0.1, 0.1, 2.0])
    odd.opacities[:] = -9
    odd.opacities[:50] = 9
    odd.means[0] = np.nan
    supersplat(tmp_path / "a.ply", odd, 0)
    inspect.main([str(tmp_path / "a.ply")])
    said = capsys.readouterr().out
    for words in (
        "99 Gaussians, spherical harmonics of degree 1",
        "Needles, longest over 10 times the middle axis: 24 (24.2 %)",
        "largest 20",
        "50.5 % below 1/255",
        "49.5 % above",
        "Odd: the columns state are left aside",
        "Odd: the columns nx, ny, nz are missing",
        "Odd: columns in another order",
        "Odd: 1 Gaussians with NaN or infinite values dropped",
    ):
        assert words in said, words
    write_gaussians(tmp_path / "b.splat", splats(9))
    inspect.main([str(tmp_path / "b.splat")])
    assert "nothing odd" in capsys.readouterr().out


# ---- train.py --start_from


def run(dataset: Path, model: Path, *flags: str, iterations: int = 2) -> Path:
    train.main(["-s", str(dataset), "-m", str(model), "--quiet", "--iterations", str(iterations), *flags])
    return point_cloud_path(model, iterations)


STARTS: dict[str, Callable[[Path], None]] = {
    "edited.ply": lambda path: supersplat(path, taken(), 7),
    "a.compressed.ply": lambda path: write_gaussians(path, taken()),
    "a.splat": lambda path: write_gaussians(path, taken()),
    "a.spz": lambda path: write_gaussians(path, taken()),
    "a.glb": lambda path: write_gaussians(path, taken()),
}


@pytest.mark.parametrize("name", STARTS)
def test_training_starts_from_a_file(dataset: Path, tmp_path: Path, name: str) -> None:
    STARTS[name](tmp_path / name)
    start = read_gaussians(tmp_path / name)
    result = read_gaussians(run(dataset, tmp_path / "out", "--start_from", str(tmp_path / name), "--sh_degree", "2"))
    assert result.shs.shape == (len(start.means), 9, 3) and result.shs[:, 4:].any(), "all degrees train from the start"
    assert np.abs(result.means - start.means).max() < 0.1
    scores = json.loads((tmp_path / "out" / "results.json").read_text())["ours_2"]
    assert scores["PSNR"] > (30 if name == "edited.ply" else 32), "from points it is 16 after two steps"


def test_degrees_and_numbers_are_adapted(dataset: Path, tmp_path: Path) -> None:
    write_gaussians(tmp_path / "a.ply", taken(3))
    flags = ("--start_from", str(tmp_path / "a.ply"), "--sh_degree", "1", "--max_gaussians", "30")
    with pytest.warns(UserWarning, match="holds 80 Gaussians; the 30 with the largest opacity times area are kept"):
        assert read_gaussians(run(dataset, tmp_path / "out", *flags)).shs.shape == (30, 4, 3)


def test_another_frame_is_suspected(dataset: Path, tmp_path: Path) -> None:
    moved = taken()
    moved.means[:] += 500
    write_gaussians(tmp_path / "a.ply", moved)
    with pytest.warns(
        UserWarning, match="0 % of its Gaussians are in a training view; it seems to be in another frame"
    ):
        run(dataset, tmp_path / "out", "--start_from", str(tmp_path / "a.ply"), iterations=1)


def test_a_run_from_a_file_resumes_without_it(dataset: Path, tmp_path: Path) -> None:
    write_gaussians(tmp_path / "a.ply", taken(1))
    flags = ("--start_from", str(tmp_path / "a.ply"), "--checkpoint_iterations", "2", "--sh_degree", "1")
    whole = run(dataset, tmp_path / "whole", *flags, iterations=4)
    run(dataset, tmp_path / "halves", *flags)
    (tmp_path / "a.ply").unlink()
    train.main(["-m", str(tmp_path / "halves"), "--resume", "--iterations", "4", "--quiet"])
    resumed, direct = (read_gaussians(path) for path in (point_cloud_path(tmp_path / "halves", 4), whole))
    assert resumed.shs.shape == direct.shs.shape and np.abs(resumed.shs[:, 1:] - direct.shs[:, 1:]).max() < 0.01
    with pytest.raises(UserError, match="--start_from begins a run; --resume"):
        train.main(["-m", str(tmp_path / "halves"), "--resume", "--start_from", str(tmp_path / "b.ply")])


def test_a_start_without_gaussians_is_refused(dataset: Path, tmp_path: Path) -> None:
    write_gaussians(tmp_path / "a.ply", splats(0))
    for name, problem in (("a.ply", "holds no Gaussians"), ("gone.ply", "gone.ply is not there")):
        with pytest.raises(UserError, match=problem):
            run(dataset, tmp_path / "out", "--start_from", str(tmp_path / name))
    assert not (tmp_path / "out" / "config.json").exists()


# ---- render.py --splats


def test_any_file_is_rendered_by_the_cameras_of_a_dataset(dataset: Path, tmp_path: Path) -> None:
    write_gaussians(tmp_path / "a.compressed.ply", taken())
    out = tmp_path / "pictures"
    words = ["-m", str(out), "-s", str(dataset), "--splats", str(tmp_path / "a.compressed.ply"), "--quiet"]
    render.main(words)
    folder = out / "train" / "splats_a"
    assert len(list((folder / "renders").iterdir())) == VIEWS
    shown, photo = (read_png(folder / name / "00003.png").astype(float) for name in ("renders", "gt"))
    assert photo.std() > 20 and np.abs(shown - photo).mean() < 3
    with pytest.raises(UserError, match="--iteration chooses from the model's Gaussians"):
        render.main([*words, "--iteration", "3"])
    with pytest.raises(UserError, match=r"config.json is not there"):
        render.main(["-m", str(out), "--splats", str(tmp_path / "a.compressed.ply")])
