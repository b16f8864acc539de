"""What every strategy holds: the cap, the same bytes again, on other threads and on resume; and what each adds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import train
from arguments import parse_train_options
from diff_gaussian_rasterization import RasterOutput
from scene import load_scene
from scene.types import Camera, PointCloud, Scene, View
from tests.helpers.ring import make_dataset
from training.plan import most_expected
from training.startup import first_state
from training.strategies import STRATEGIES, budget, strategy_options
from training.strategies.base import Strategy
from training.strategies.budget import count_at, event_steps, room_at, score_views
from training.strategies.limits import budget_per_pixel, gaussian_limit, growth_interval, growth_steps
from training.strategies.surveys import FIRST_LEAVES, LEAVES
from utils.errors import UserError
from utils.sampling import draw_with_replacement, draw_without_replacement

pytestmark = pytest.mark.usefixtures("without_pages")

BUSY = "--densification_interval 4 --densify_from_iter 3 --densify_until_iter 18 --densify_grad_threshold 0.00002"
NAMES = ("threshold", "adc", "budget", "mcmc")


def run(dataset: Path, model: Path, flags: str) -> bytes:
    train.main(["-s", str(dataset), "-m", str(model), "--quiet", "--iterations", "24", *BUSY.split(), *flags.split()])
    return (model / "point_cloud/iteration_24/point_cloud.ply").read_bytes()


def log(model: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (model / "metrics.jsonl").read_text().splitlines()]


def kept(model: Path, iteration: int) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(model / f"chkpnt{iteration}.pth", weights_only=True)
    return state


@pytest.mark.parametrize("name", NAMES)
def test_resumed_and_repeated_on_other_threads_it_is_the_same(name: str, dataset: Path, tmp_path: Path) -> None:
    flags = f"--strategy {name} --random_background --max_gaussians 120 --checkpoint_iterations 10"
    straight = run(dataset, tmp_path / "out", flags)
    changes = [line["densification"] for line in log(tmp_path / "out") if "densification" in line]
    assert any(sum(change.values()) > 0 for change in changes)
    (tmp_path / "out/point_cloud/iteration_24/point_cloud.ply").unlink()
    train.main(["-m", str(tmp_path / "out"), "--resume", "--quiet"])
    assert (tmp_path / "out/point_cloud/iteration_24/point_cloud.ply").read_bytes() == straight
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1 if threads > 1 else 2)
        assert run(dataset, tmp_path / "again", flags) == straight
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("flags", "after_three", "at_the_end"),
    [
        ("", 1.0, LEAVES**3),  # surveys after 50, 60, 70, 80, 90 and 95 % of the run
        ("--refill_until_iter 1800", LEAVES, LEAVES**4),
        ("--refill_until_iter 0", FIRST_LEAVES * LEAVES**2, FIRST_LEAVES * LEAVES**5),
        ("--densify_until_iter 1500", FIRST_LEAVES * LEAVES**2, FIRST_LEAVES * LEAVES**5),
        ("--prune_min_weight 0", 1.0, 1.0),
        ("--select_to 300", 1 - 0.4 / 4**4, 0.6 * LEAVES),  # which leaves out the surveys after 80 and 90 %
    ],
)
def test_the_expected_number_is_the_curve_with_what_surveys_take_and_splits_give_back(
    flags: str, after_three: float, at_the_end: float, dataset: Path
) -> None:
    words = ["-s", str(dataset), "--iterations", "3000", "--max_gaussians", "500", *flags.split()]
    options = parse_train_options(words, strategies=strategy_options())
    strategy = first_state(options, load_scene(dataset), torch.device("cpu")).strategy
    assert strategy.expected_count(0.0) == len(load_scene(dataset).points) < 500
    assert strategy.expected_count(0.499) == pytest.approx(500, rel=0.01)
    assert most_expected(strategy.expected_count) == pytest.approx(500, rel=0.01)
    assert strategy.expected_count(0.75) == pytest.approx(500 * after_three, abs=1)
    assert strategy.expected_count(1.0) == pytest.approx(500 * at_the_end, abs=1)


@pytest.mark.parametrize(("flags", "refilled"), [("", True), ("--refill_until_iter 39", False)])
def test_splits_fill_the_gap_that_a_survey_leaves(flags: str, refilled: bool, dataset: Path, tmp_path: Path) -> None:
    """In a run whose views are surveyed after half of it, and once more when it is too late to split."""
    grown = "--max_gaussians 300 --densification_interval 4 --spike_ratio 0 --prune_min_weight 0.15"
    words = ["-s", str(dataset), "-m", str(tmp_path / "out"), "--quiet", "--iterations", "80", *grown.split()]
    train.main([*words, "--checkpoint_iterations", "39", "40", "64", *flags.split()])
    before, after, late = (len(kept(tmp_path / "out", step)["gaussians"]["means"]) for step in (39, 40, 64))
    changes = {line["iteration"]: line["densification"] for line in log(tmp_path / "out") if "densification" in line}
    assert before == 300 and changes[40]["weight"] > 0 and changes[64]["weight"] > 0
    assert (changes[40].get("split", 0) > 0) == refilled and "split" not in changes[64]
    assert (after == 300) == refilled and late < after


def test_few_events_are_expected_to_end_below_the_budget(dataset: Path, tmp_path: Path) -> None:
    flags = "--strategy budget --max_gaussians 3000 --prune_min_weight 0 --spike_ratio 0 --iterations 24"
    words = ["-s", str(dataset), *BUSY.split(), *flags.split()]
    strategy = first_state(parse_train_options(words), load_scene(dataset), torch.device("cpu")).strategy
    run(dataset, tmp_path / "out", f"{flags} --checkpoint_iterations {' '.join(map(str, range(1, 25)))}")
    for step in range(1, 25):
        there = len(kept(tmp_path / "out", step)["gaussians"]["means"])
        assert strategy.expected_count(step / 24) == pytest.approx(there, rel=0.03)
    assert strategy.expected_count(0.0) < 0.5 * there < 1500


def test_what_goes_on_expects_what_the_run_did(dataset: Path) -> None:
    words = ["-s", str(dataset), "--iterations", "3000", "--max_gaussians", "5000"]
    options, scene = parse_train_options(words), load_scene(dataset)
    begun, resumed = (first_state(options, scene, torch.device("cpu")).strategy for _ in range(2))
    resumed.load_state_dict({**begun.state_dict(), "first_count": 40})
    assert resumed.expected_count(0.2) < begun.expected_count(0.2)
    resumed.load_state_dict(begun.state_dict())
    assert resumed.expected_count(0.2) == begun.expected_count(0.2) > begun.expected_count(0.0)


@pytest.mark.parametrize(("flags", "count"), [("", 2), ("--score_views 5", 5), ("--score_views 100", 9)])
def test_as_many_photos_decide_a_growth_as_the_run_has_time_for(
    flags: str, count: int, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at, honest = list[int](), budget.score

    def score(draw: Any, photos: Any, order: Any, ranks: Any) -> Any:
        looked_at.append(len(order))
        return honest(draw, photos, order, ranks)

    monkeypatch.setattr(budget, "score", score)
    run(dataset, tmp_path / "out", f"--strategy budget --max_gaussians 500 {flags}")
    assert looked_at and set(looked_at) == {count}


@pytest.mark.parametrize("limit", [1, 50, 120])
@pytest.mark.parametrize("name", NAMES)
def test_the_cap_holds_after_every_step(name: str, limit: int, dataset: Path, tmp_path: Path) -> None:
    every = " ".join(str(step) for step in range(1, 25))
    flags = f"--strategy {name} --max_gaussians {limit} --prune_min_weight 0 --spike_ratio 1.1 --spike_extent 0"
    run(dataset, tmp_path / "out", f"{flags} --checkpoint_iterations {every}")
    counts = [len(kept(tmp_path / "out", step)["gaussians"]["means"]) for step in range(1, 25)]
    assert max(counts) <= limit and (limit == 1 or max(counts) > 0.6 * limit)


@pytest.mark.parametrize("name", NAMES)
def test_moments_stay_with_their_rows(name: str, dataset: Path, tmp_path: Path) -> None:
    flags = f"--strategy {name} --max_gaussians 120 --checkpoint_iterations 3 4"
    run(dataset, tmp_path / "out", flags)
    state = kept(tmp_path / "out", 4)
    count = len(state["gaussians"]["means"])
    moments = state["optimizer"]["moments"]
    assert all(len(each) == count for pair in moments.values() for each in pair)
    added = count - int(moments["means"][1].abs().sum(dim=1).gt(0).sum())
    assert 0 < added < count or name in ("threshold", "adc")


def test_adc_is_threshold_with_the_papers_settings(dataset: Path, tmp_path: Path) -> None:
    off = "--prune_min_weight 0 --floater_views 0 --spike_ratio 0 --max_gaussians 0"
    flags = BUSY.replace("0.00002", "0.0002") + " --max_gaussians 0"
    adc = run(dataset, tmp_path / "adc", f"--strategy adc {flags}")
    assert adc == run(dataset, tmp_path / "threshold", f"--strategy threshold {flags} {off}")
    assert len(adc) > 0


@pytest.mark.parametrize("name", ["budget", "mcmc"])
def test_a_budget_is_needed(name: str, dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"--max_gaussians 0: --strategy {name} needs a number"):
        run(dataset, tmp_path / "out", f"--strategy {name} --max_gaussians 0")
    assert not (tmp_path / "out").exists()


def test_terms_of_mcmc_can_be_given(dataset: Path, tmp_path: Path) -> None:
    run(dataset, tmp_path / "usual", "--strategy mcmc")
    run(dataset, tmp_path / "given", "--strategy mcmc --opacity_reg 0 --lambda_scale 0")
    run(dataset, tmp_path / "default", "")
    lines = [[line for line in log(tmp_path / name) if "loss" in line] for name in ("usual", "given", "default")]
    terms = [{"opacity", "scale"} & each[-1].keys() for each in lines]
    assert terms == [{"opacity", "scale"}, set(), set()]


def test_the_default_limit_goes_by_pixels_and_points() -> None:
    views = (View(Camera("", 400, 250, 1.0, 1.0, 0.0, 0.0, np.eye(4)), Path()),) * 2

    def limit(points: int, flags: str = "") -> int:
        cloud = PointCloud(np.zeros((points, 3)), np.zeros((points, 3)))
        scene = Scene(Path(), "", views, (), cloud, 1.0, 0.01, "")
        return gaussian_limit(parse_train_options(flags.split()).densification, scene, 0.2, 5_000)

    assert limit(10) == 20_000 and limit(20_000) == 30_000
    assert limit(10, "--max_gaussians 7") == limit(10, "--cap_max 7") == 7 and limit(10, "--max_gaussians 0") == 0


def test_photos_of_ever_new_ground_allow_more() -> None:
    """Six photos side by side, or six of one place, of 400×250 pixels."""

    def per_pixel(spacing: float, size: int = 1) -> float:
        cloud = np.column_stack([np.linspace(-0.5, 6.5, 500), np.zeros(500), np.ones(500)])
        views = []
        for k in range(6):
            pose = np.eye(4)
            pose[0, 3] = -spacing * k - 0.5
            views.append(View(Camera("", 400 * size, 250 * size, 400.0 * size, 400.0 * size, 0.0, 0.0, pose), Path()))
        return budget_per_pixel(Scene(Path(), "", tuple(views), (), PointCloud(cloud, cloud), 1.0, 0.01, ""))

    assert per_pixel(0.0) == pytest.approx(0.2) and per_pixel(1.0) == pytest.approx(0.48, rel=0.05)
    assert per_pixel(1.0, 8) == pytest.approx(2_000_000 / (400 * 250 * 64), rel=0.01)
    assert per_pixel(1.0, 16) == pytest.approx(0.2)  # as for photos of one place


@pytest.mark.parametrize(
    ("iterations", "interval", "events", "views"),
    [(15, 10, 0, 2), (200, 10, 7, 2), (400, 20, 7, 3), (1000, 50, 7, 8), (7000, 100, 29, 8)],
)
def test_short_runs_grow_often_too(iterations: int, interval: int, events: int, views: int) -> None:
    given = parse_train_options([]).densification
    steps = growth_steps(given, iterations)
    assert growth_interval(given, *steps) == interval
    assert len(event_steps(*steps, interval)) == events and score_views(iterations, events) == views
    by_hand = parse_train_options(["--densification_interval", "70"]).densification
    assert growth_interval(by_hand, *steps) == by_hand.interval == 70 and given.interval == 100


def test_the_curve_ends_at_the_budget() -> None:
    assert event_steps(10, 41, 10) == [20, 30, 40]
    assert count_at(0.0, 10, 110) == 10 and count_at(0.25, 10, 110) == 60 and count_at(1.0, 10, 110) == 110
    count = 1000
    for event in range(1, 31):
        before, count = count, count + room_at(event, 30, count, 1000, 4000)
        assert count <= 1.5 * before and (event > 20 or count <= 1.2 * before)
    assert count == 4000
    assert room_at(3, 3, 5000, 1000, 4000) < 0


def test_drawing_goes_by_weight() -> None:
    generator = torch.Generator().manual_seed(0)
    weights = torch.tensor([0.0, 1.0, 2.0, 5.0])
    drawn = torch.stack([draw_with_replacement(weights, 7, generator) for _ in range(200)]).sum(dim=0)
    assert torch.allclose(drawn / 1400, weights / 8, atol=0.02) and drawn[0] == 0
    chosen = [draw_without_replacement(weights, torch.ones(4, dtype=torch.bool), 1, generator) for _ in range(800)]
    assert torch.allclose(torch.stack(chosen).float().mean(dim=0), weights / 8, atol=0.05)
    preferred = torch.tensor([True, True, False, False])
    assert draw_without_replacement(weights, preferred, 1, generator).tolist() == [False, True, False, False]
    assert draw_without_replacement(weights, preferred, 9, generator).tolist() == [False, True, True, True]


@pytest.mark.parametrize("name", ["budget", "mcmc"])
def test_the_unit_of_the_scene_does_not_matter(name: str, dataset: Path, tmp_path: Path) -> None:
    ends = []
    for unit in (1.0, 1024.0):  # a power of two: not even rounding differs much
        data = dataset if unit == 1.0 else make_dataset(tmp_path / "data", unit)
        run(data, tmp_path / f"out{unit}", f"--strategy {name} --max_gaussians 120")
        ends.append([line for line in log(tmp_path / f"out{unit}") if "loss" in line][-1])
    assert ends[1]["loss"] == pytest.approx(ends[0]["loss"], rel=0.02)
    assert ends[1]["gaussians"] == pytest.approx(ends[0]["gaussians"], rel=0.02) and ends[0]["gaussians"] != 80


@pytest.mark.parametrize(("name", "asked"), [("threshold", False), ("budget", True)])
def test_absolute_gradients_are_gathered_on_request(
    name: str, asked: bool, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []

    def observe(self: Strategy, iteration: int, output: RasterOutput, camera: Camera) -> None:
        honest(self, iteration, output, camera)
        seen.append(bool(getattr(output.means2d, "absgrad", torch.zeros(1)).any()))

    honest = STRATEGIES[name].observe
    monkeypatch.setattr(STRATEGIES[name], "observe", observe)
    run(dataset, tmp_path / "out", f"--strategy {name}")
    assert seen == [asked] * 24
