"""--minutes on several ranks: all take as many steps, by the clock of rank 0, and a run is replayed without a clock."""

from __future__ import annotations

import json
import os
import shlex
import time
from pathlib import Path

import pytest
import torch

import train
from arguments import parse_train_options
from scene import load_scene
from scene.gaussians.model import PARAMETERS
from tests.helpers.ranks import run_processes, run_ranks
from training import pace
from training.distributed import watch
from training.plan import Speed
from training.probe import Probe
from training.run_logger import RunLogger
from training.startup import first_state
from training.state import TrainingState
from training.strategies import strategy_options
from utils.distributed import ONE, Ranks

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("without_pages")]

# The rates do not follow the length of the run, so that the plan is that for which the bound on the seconds was set.
FLAGS = (
    "--quiet --densification_interval 4 --max_gaussians 100 "
    "--feature_lr 0.0025 --opacity_lr 0.025 --scaling_lr 0.005 --rotation_lr 0.001"
)
MEASURED = 0.05  # seconds for each photo


def by_clock(words: list[str], step: float) -> tuple[float, int]:
    """Train where a step takes `step` seconds, on rank 1 three times that; the time that it took, and photos seen."""
    now, photos, factor = 0.0, 0, 3 if os.environ["RANK"] == "1" else 1
    patched = pytest.MonkeyPatch()  # of this process alone
    patched.setattr(watch, "SILENCE", 1e9)
    patched.setattr(pace.time, "monotonic", lambda: now)
    patched.setattr(Probe, "speed", lambda *_: Speed(MEASURED, 0.0))
    patched.setattr(RunLogger, "seconds", property(lambda logger: now))
    honest = TrainingState.step_done

    def step_done(state: TrainingState) -> None:
        nonlocal now, photos
        honest(state)
        now, photos = now + factor * step, state.iteration

    patched.setattr(TrainingState, "step_done", step_done)
    train.main(words)
    return now, photos


@pytest.mark.parametrize(("step", "least_replans"), [(2 * MEASURED, 0), (4 * MEASURED, 1)])
def test_all_ranks_take_the_same_steps_and_meet_the_minutes(
    step: float, least_replans: int, dataset: Path, tmp_path: Path
) -> None:
    """A step has two photos."""
    words = ["-s", str(dataset), *FLAGS.split()]
    timed = run_processes(2, by_clock, [*words, "-m", str(tmp_path / "out"), "--minutes", "0.2"], step)
    (seconds, photos), (other, same) = timed
    assert photos == same and 0.5 * 12 < seconds < 12 and other == pytest.approx(3 * seconds)
    plan = json.loads((tmp_path / "out/run.json").read_text())["plan"]
    assert plan["iterations"] == photos and plan["again"].count(":") >= least_replans
    run_processes(2, train.main, [*words, "-m", str(tmp_path / "again"), *shlex.split(plan["again"])])
    first, second = (tmp_path / name / f"point_cloud/iteration_{photos}/point_cloud.ply" for name in ("out", "again"))
    assert first.read_bytes() == second.read_bytes()


def probed(ranks: Ranks, dataset: Path, photos: int) -> tuple[Speed, float]:
    """A measured speed, and how long it took to measure it."""
    words = ["-s", str(dataset), "-m", "unused", "--max_gaussians", "400"]
    options = parse_train_options(words, strategies=strategy_options())
    scene = load_scene(dataset, quiet=True)
    state = first_state(options, scene, torch.device("cpu"), ranks)
    gaussians, chance = state.gaussians, state.generator.get_state()
    before = {name: gaussians.parameters[name].detach().clone() for name in PARAMETERS}
    probe, begun = train.probe_of(options, scene, state)._replace(photos=photos), time.perf_counter()
    speed = probe.speed(state, 60.0)
    assert all(torch.equal(before[name], gaussians.parameters[name]) for name in PARAMETERS)
    assert torch.equal(chance, state.generator.get_state()) and state.optimizer.steps == 0
    return speed, time.perf_counter() - begun


def test_the_probe_measures_steps_of_all_ranks_for_each_photo(dataset: Path) -> None:
    (first, seconds), (second, _) = run_ranks(2, probed, dataset, 3)
    assert first == second and 0 < first.seconds(400) < seconds / 3
    alone, seconds = probed(ONE, dataset, 3)  # at least three steps of three photos
    assert 0 < alone.seconds(400) < seconds / 9
