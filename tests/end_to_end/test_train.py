"""train.py from the command line to the files it leaves, on a dataset of a few small pictures."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import train
from arguments import parse_train_options
from gaussian_renderer import background_color, random_color
from scene.io import read_gaussians
from scene.loading.image_cache import ShuffledViews
from scene.types import Camera, PointCloud, Scene, View
from tests.helpers.ring import BUSY, POINTS, VIEWS, camera_at, make_dataset
from training import loss, outputs
from training.strategies.threshold import densification_limits
from utils.errors import UserError
from utils.run_lock import RunLock

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def without_pages(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing the pages at the end takes longer than these runs: only the first test looks at them."""
    if "leaves_its_files" not in request.node.name:
        monkeypatch.setattr(outputs, "write_summary", lambda folder: [])
        monkeypatch.setattr(outputs, "write_viewer_page", lambda *_, **__: "")


def run(dataset: Path, model: Path, flags: str = "", iterations: int = 20) -> Path:
    """Train and return the PLY of the last iteration."""
    train.main(["-s", str(dataset), "-m", str(model), "--quiet", "--iterations", str(iterations), *flags.split()])
    return model / "point_cloud" / f"iteration_{iterations}" / "point_cloud.ply"


def log_lines(model: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl about training steps."""
    lines = [json.loads(line) for line in (model / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if "loss" in line]


def test_a_run_learns_and_leaves_its_files(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(dataset, tmp_path / "short", "--eval", iterations=1)
    used = json.loads((tmp_path / "short/run.json").read_text())["files"]
    assert used == {"used": {"photo": 9, "COLMAP file": 3}, "not_used": []}
    ply = run(dataset, tmp_path / "long", "--eval --save_iterations 100 --strategy threshold", iterations=300)
    results = [json.loads((tmp_path / name / "results.json").read_text()) for name in ("short", "long")]
    before, after = results[0]["ours_1"]["PSNR"], results[1]["ours_300"]["PSNR"]
    assert after > before + 5
    model = tmp_path / "long"
    assert ply.exists() and (model / "point_cloud/iteration_100/point_cloud.ply").exists()
    for name in (
        "cfg_args",
        "config.json",
        "cameras.json",
        "input.ply",
        "metrics.jsonl",
        "run.json",
        "per_view.json",
        "viewer.html",
    ):
        assert (model / name).stat().st_size > 0
    assert (model / "viewer.html").stat().st_size > 3e6
    assert len(list((model / "test/ours_300/renders").glob("*.png"))) == len({"00.png", "08.png"})
    cameras = json.loads((model / "cameras.json").read_text())
    assert len(cameras) == VIEWS and cameras[0]["position"] == pytest.approx(camera_at(0, "").center.tolist(), abs=1e-5)
    losses = [line["loss"] for line in log_lines(model)]
    assert losses[-1] < 0.6 * losses[0]
    changes = [
        line for line in map(json.loads, (model / "metrics.jsonl").read_text().splitlines()) if "densification" in line
    ]
    limits = json.loads((model / "run.json").read_text())["densification"]
    for line in changes:
        assert line["compared"]["gradient"]["threshold"] == limits["grad_threshold"]
        assert line["compared"]["opacity"].keys() == {"threshold", "median", "largest"}
    assert changes


def test_the_same_seed_gives_the_same_bytes(dataset: Path, tmp_path: Path) -> None:
    plies = [run(dataset, tmp_path / name, BUSY + " --random_background").read_bytes() for name in "ab"]
    assert plies[0] == plies[1]
    assert run(dataset, tmp_path / "c", BUSY + " --random_background --seed 1").read_bytes() != plies[0]
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1 if threads > 1 else 2)
        assert run(dataset, tmp_path / "d", BUSY + " --random_background").read_bytes() == plies[0]
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("flags", ["", "--optimizer_type sparse_adam", "--average_last 0.8"])
def test_a_resumed_run_goes_on_to_the_same_bits(flags: str, dataset: Path, tmp_path: Path) -> None:
    flags = f"{BUSY} --random_background {flags}"
    straight = run(dataset, tmp_path / "straight", f"{flags} --checkpoint_iterations 9 20")
    lines = log_lines(tmp_path / "straight")
    assert lines[-1]["iteration"] == 20
    model = tmp_path / "resumed"
    run(dataset, model, f"{flags} --checkpoint_iterations 9 20")
    for path in (model / "chkpnt20.pth", model / "point_cloud/iteration_20/point_cloud.ply"):
        path.unlink()
    train.main(["-m", str(model), "--resume"])
    assert (model / "point_cloud/iteration_20/point_cloud.ply").read_bytes() == straight.read_bytes()
    ends = [torch.load(folder / "chkpnt20.pth", weights_only=True) for folder in (straight.parents[2], model)]
    assert_same(*ends)


def test_the_end_is_the_average_of_the_last_steps(dataset: Path, tmp_path: Path) -> None:
    same = "--strategy adc --densify_until_iter 1"  # the number of Gaussians
    last = run(dataset, tmp_path / "last", f"{same} --average_last 0 --save_iterations 17 18 19")
    average = read_gaussians(run(dataset, tmp_path / "average", f"{same} --average_last 0.2"))
    seen = [read_gaussians(path) for path in sorted(last.parents[1].glob("iteration_*/*.ply"))]
    assert len(seen) == 4
    for name in ("scales", "quats", "opacities", "shs"):  # the means hardly move at the end
        of_last, found = getattr(seen[-1], name).astype(np.float64), getattr(average, name).astype(np.float64)
        expected = np.mean([getattr(each, name).astype(np.float64) for each in seen], axis=0)
        assert abs(expected - of_last).max() > 1e-3
        assert np.allclose(found, expected, rtol=0, atol=1e-5)


def assert_same(one: Any, other: Any) -> None:
    """Equal to the bit, all the way down."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            assert_same(one[name], other[name])
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, (list, tuple)) and one and isinstance(one[0], torch.Tensor):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    else:
        assert one == other


def test_interrupted_and_resumed(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    straight = run(dataset, tmp_path / "straight", BUSY).read_bytes()
    seen = 0
    original = ShuffledViews.next_batch

    def interrupted_next(self: ShuffledViews, *batch: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen == 7:
            signal.raise_signal(signal.SIGINT)
        return original(self, *batch)

    model, before = tmp_path / "stopped", signal.getsignal(signal.SIGINT)  # background jobs of a shell ignore it
    monkeypatch.setattr(ShuffledViews, "next_batch", interrupted_next)
    with pytest.raises(SystemExit) as raised:
        train.main(["-s", str(dataset), "-m", str(model), "--iterations", "20", *BUSY.split()])
    assert raised.value.code == 130 and (model / "chkpnt7.pth").exists()
    assert f"python train.py -m {model} --resume" in capsys.readouterr().out
    assert json.loads((model / "run.json").read_text())["status"] == "interrupted"
    assert signal.getsignal(signal.SIGINT) is before
    train.main(["-m", str(model), "--resume", "--quiet"])
    assert (model / "point_cloud/iteration_20/point_cloud.ply").read_bytes() == straight
    assert json.loads((model / "run.json").read_text())["status"] == "finished"


def test_a_checkpoint_can_be_taken_further_elsewhere(dataset: Path, tmp_path: Path) -> None:
    run(dataset, tmp_path / "first", "--checkpoint_iterations 5", iterations=5)
    run(dataset, tmp_path / "second", f"--start_checkpoint {tmp_path / 'first' / 'chkpnt5.pth'}", iterations=8)
    assert log_lines(tmp_path / "second")[-1]["iteration"] == 8
    with pytest.raises(UserError, match="holds a run"):  # not its own
        run(dataset, tmp_path / "second", f"--start_checkpoint {tmp_path / 'first' / 'chkpnt5.pth'}", iterations=8)
    run(dataset, tmp_path / "first", f"--start_checkpoint {tmp_path / 'first' / 'chkpnt5.pth'}", iterations=8)
    with pytest.raises(UserError, match="5 iterations already"):
        run(dataset, tmp_path / "third", f"--start_checkpoint {tmp_path / 'first' / 'chkpnt5.pth'}", iterations=5)


def test_a_finished_run_is_kept(dataset: Path, tmp_path: Path) -> None:
    first = run(dataset, tmp_path / "out", iterations=2)
    written = first.stat().st_mtime_ns
    with pytest.raises(UserError, match="--resume.*--overwrite"):
        run(dataset, tmp_path / "out", iterations=3)
    assert first.stat().st_mtime_ns == written
    run(dataset, tmp_path / "out", "--overwrite", iterations=3)
    assert not first.exists()


@pytest.mark.parametrize("flags", ["", "--overwrite", "--resume"])
def test_two_runs_do_not_share_a_folder(flags: str, dataset: Path, tmp_path: Path) -> None:
    model = tmp_path / "out"
    run(dataset, model, "--checkpoint_iterations 1", iterations=2)
    before = {path: path.stat().st_mtime_ns for path in model.rglob("*") if path.is_file()}
    if not flags:
        before, model = {}, tmp_path / "empty"
        model.mkdir()
    with RunLock(model), pytest.raises(UserError, match=f"in use by another run .process {os.getpid()} "):
        run(dataset, model, flags, iterations=4)
    assert before.keys() == {path for path in model.rglob("*") if path.is_file()}
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


def test_a_run_in_a_project_folder_deletes_nothing(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("config.json", "results.json", "report.html", "test/ours_30000/mine.txt", "chkpnt3.pth")
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    monkeypatch.chdir(tmp_path)
    for flags in ("", "--overwrite"):
        with pytest.raises(UserError, match="config.json"):
            run(dataset, Path("."), flags, iterations=1)
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()} == set(names)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "-s"),
        (["--resume"], "-m"),
        (["--resume", "-m", "nowhere"], "no run in nowhere"),
        (["-s", "nowhere", "-m", "out"], "nowhere"),
    ],
)
def test_what_is_missing_is_named(
    arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=words):
        train.main(arguments)
    assert not list(tmp_path.iterdir())


def test_resuming_without_a_checkpoint_says_so(dataset: Path, tmp_path: Path) -> None:
    run(dataset, tmp_path / "out", iterations=2)
    with pytest.raises(UserError, match="no checkpoint"):
        train.main(["-m", str(tmp_path / "out"), "--resume", "--iterations", "5"])


@pytest.mark.parametrize("flags", ["--sh_degree 0", "--max_gaussians 1"])
def test_a_flag_that_contradicts_the_checkpoint_is_refused(flags: str, dataset: Path, tmp_path: Path) -> None:
    run(dataset, tmp_path / "out", "--checkpoint_iterations 2", iterations=2)
    config = (tmp_path / "out/config.json").read_text()
    with pytest.raises(UserError, match=f"{flags}: the checkpoint"):
        train.main(["-m", str(tmp_path / "out"), "--resume", "--iterations", "5", *flags.split()])
    assert (tmp_path / "out/config.json").read_text() == config


def test_gaussians_are_added_up_to_the_limit(dataset: Path, tmp_path: Path) -> None:
    flags = f"{BUSY} --opacity_reset_interval 1000 --prune_min_weight 0"
    run(dataset, tmp_path / "free", flags)
    run(dataset, tmp_path / "limited", f"{flags} --max_gaussians {POINTS + 5}")
    free, limited = (log_lines(tmp_path / name)[-1]["gaussians"] for name in ("free", "limited"))
    assert free > POINTS + 10 and POINTS - 20 < limited <= POINTS + 5


@pytest.mark.parametrize("strategy", ["threshold", "budget"])
def test_what_is_masked_out_has_no_part(strategy: str, tmp_path: Path) -> None:
    plies = []
    for gray in (0, 200):
        dataset = make_dataset(tmp_path / f"data{gray}", outside=gray)
        plies.append(run(dataset, tmp_path / f"out{gray}", f"{BUSY} --strategy {strategy}").read_bytes())
    assert plies[0] == plies[1]


def test_the_unit_of_the_scene_does_not_matter(dataset: Path, tmp_path: Path) -> None:
    ends = []
    for unit in (1.0, 1024.0):  # a power of two: not even rounding differs much
        data = dataset if unit == 1.0 else make_dataset(tmp_path / "data", unit)
        run(data, tmp_path / f"out{unit}", BUSY, iterations=40)
        ends.append(log_lines(tmp_path / f"out{unit}"))
    last = [lines[-1] for lines in ends]
    assert last[1]["loss"] == pytest.approx(last[0]["loss"], rel=0.02)
    assert last[1]["gaussians"] == pytest.approx(last[0]["gaussians"], rel=0.02) and last[0]["gaussians"] != POINTS


def test_a_loss_that_is_not_finite_stops_the_run(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        loss, "photometric", lambda image, *_: {"l1": image.mean() * float("nan"), "dssim": image.mean()}
    )
    with pytest.raises(UserError, match=r"iteration 1: the term \w+ is nan for the photo \d+.png"):
        run(dataset, tmp_path / "out")
    assert json.loads((tmp_path / "out/run.json").read_text())["status"].startswith("failed")


@pytest.mark.parametrize("limit", [1, POINTS // 3, POINTS - 1])
def test_the_limit_holds_from_the_start(dataset: Path, tmp_path: Path, limit: int) -> None:
    run(dataset, tmp_path / "out", f"--max_gaussians {limit}", iterations=2)
    first = log_lines(tmp_path / "out")[0]
    assert first["gaussians"] == limit


def test_densification_fits_the_run_and_the_photos() -> None:
    views = [View(Camera("", 400, 250, 1.0, 1.0, 0.0, 0.0, np.eye(4)), Path())] * 2
    scene = Scene(Path(), "", tuple(views), (), PointCloud(np.zeros((0, 3)), np.zeros((0, 3))), 1.0, 0.01, "")
    threshold = pytest.approx(2e-4 * 10**0.2)
    for iterations, start, stop in ((30_000, 500, 15_000), (7_000, 500, 3_500), (1_000, 100, 500)):
        given = parse_train_options([]).densification
        assert densification_limits(given, iterations, scene) == (start, stop, threshold)
    flags = "--densify_from_iter 7 --densify_until_iter 9 --densify_grad_threshold 0.0002"
    given = parse_train_options(flags.split()).densification
    assert densification_limits(given, 30_000, scene) == (7, 9, 0.0002)


def test_backgrounds() -> None:
    generator = torch.Generator().manual_seed(0)
    cpu = torch.device("cpu")
    assert background_color(True, cpu).tolist() == [1, 1, 1] and background_color(False, cpu).tolist() == [0, 0, 0]
    first, second = (random_color(generator, cpu) for _ in range(2))
    assert first.shape == (3,) and not torch.equal(first, second)
