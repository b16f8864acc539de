"""Minutes into steps, and runs that get another length on their way: replayed to the bit by their numbers."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import train
from arguments import parse_train_options
from scene.gaussians.model import PARAMETERS
from tests.helpers.ring import BUSY
from training import pace
from training.plan import Speed, final_length, finishing_length, mean_seconds, planned_steps, run_at
from training.probe import Probe
from training.run_logger import RunLogger
from training.state import TrainingState
from utils.errors import UserError

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("without_pages")]


def run(dataset: Path, model: Path, flags: str) -> None:
    train.main(["-s", str(dataset), "-m", str(model), "--quiet", *BUSY.split(), *flags.split()])


def plan_of(model: Path) -> dict[str, Any]:
    plan: dict[str, Any] = json.loads((model / "run.json").read_text())["plan"]
    return plan


def last_ply(model: Path) -> bytes:
    return (model / f"point_cloud/iteration_{plan_of(model)['iterations']}/point_cloud.ply").read_bytes()


def replayed(dataset: Path, model: Path, again: Path, flags: str = "") -> bytes:
    run(dataset, again, f"{plan_of(model)['again']} {flags}")
    return last_ply(again)


def test_a_line_through_two_measurements() -> None:
    assert Speed.through((100, 2.0), (300, 3.0)) == pytest.approx((1.5, 0.005))
    assert Speed.through((100, 2.0), (100, 2.5)) == (2.5, 0)
    assert Speed.through((100, 2.0), (300, 1.0)) == (2.0, 0)  # a measurement that was disturbed
    assert Speed.through((100, 1.0), (200, 3.0)) == pytest.approx((0.0, 0.02))


def test_steps_that_fit_along_a_curve() -> None:
    speed = Speed(0.01, 1e-6)
    assert mean_seconds(speed, lambda part: 10_000 * part) == pytest.approx(0.015)
    assert planned_steps(30.0, 0.015) == 2000 and planned_steps(30.1, 0.015) == 2000 and planned_steps(0.0, 1.0) == 50


@pytest.mark.parametrize("iteration", [1, 94, 1000, 28_500])
def test_finishing_leaves_the_last_part(iteration: int) -> None:
    length = finishing_length(iteration)
    assert length > iteration and iteration / length <= 0.95
    assert (length - iteration) <= 0.05 * length + 2 and finishing_length(length - 1) > length - 1


def test_lengths_from_steps_on() -> None:
    run = parse_train_options("--iterations 100 --replan 40:80 60:90".split()).run
    assert [run_at(run, step).iterations for step in (0, 39, 40, 60)] == [100, 100, 80, 90]
    assert final_length(run) == 90 and final_length(parse_train_options(["--iterations", "7"]).run) == 7


@pytest.mark.parametrize("text", ["4", "9:8", "8:8", "a:9", "1.5:8", "1:2:3", "1:9999999999", "1:" + 5000 * "9"])
def test_a_replan_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"--replan: .* is not step:iterations"):
        parse_train_options(["--replan", text])


@pytest.mark.parametrize("strategy", ["threshold", "budget", "mcmc"])
def test_finish_now_goes_through_the_end_and_is_replayed(
    strategy: str, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, rates = TrainingState.step_done, []

    def step_done(self: TrainingState) -> None:
        honest(self)
        rates.append(self.optimizer.rates["means"])
        if self.iteration == 60:
            os.kill(os.getpid(), signal.SIGUSR1)

    flags = f"--strategy {strategy} --max_gaussians 120"
    with monkeypatch.context() as patched:
        patched.setattr(TrainingState, "step_done", step_done)
        run(dataset, tmp_path / "out", f"--iterations 5000 {flags}")
    plan = plan_of(tmp_path / "out")
    assert plan["iterations"] == len(rates) == finishing_length(60) < 70
    assert rates[59] > 9 * rates[-1] and rates[60] < 2 * rates[-1]
    assert plan["again"] == f"--iterations 5000 --replan 60:{len(rates)}"
    assert replayed(dataset, tmp_path / "out", tmp_path / "again", flags) == last_ply(tmp_path / "out")


def test_what_goes_on_keeps_its_new_length(dataset: Path, tmp_path: Path) -> None:
    flags = "--iterations 30 --replan 12:20 --checkpoint_iterations 14"
    run(dataset, tmp_path / "out", flags)
    straight = last_ply(tmp_path / "out")
    result = tmp_path / "out/point_cloud/iteration_20/point_cloud.ply"
    assert result.read_bytes() == straight
    result.unlink()
    train.main(["-m", str(tmp_path / "out"), "--resume", "--quiet"])
    assert last_ply(tmp_path / "out") == straight and plan_of(tmp_path / "out")["iterations"] == 20
    with pytest.raises(UserError, match="is finished, with 20 iterations; ask for more than that by --iterations"):
        train.main(["-m", str(tmp_path / "out"), "--resume", "--quiet"])


@pytest.mark.parametrize("iterations", [26, 30])
def test_iterations_that_are_asked_for_end_an_earlier_plan(iterations: int, dataset: Path, tmp_path: Path) -> None:
    run(dataset, tmp_path / "out", "--iterations 30 --replan 12:20 --checkpoint_iterations 20")
    config = tmp_path / "out/config.json"
    config.write_text(config.read_text().replace('"minutes": null', '"minutes": 0.1'))  # as if it had been by minutes
    train.main(["-m", str(tmp_path / "out"), "--resume", "--quiet", "--iterations", str(iterations)])
    assert plan_of(tmp_path / "out") == {
        "minutes": None,
        "iterations": iterations,
        "again": f"--iterations {iterations}",
    }
    assert last_ply(tmp_path / "out")


def signalled(monkeypatch: pytest.MonkeyPatch, signals: dict[int, signal.Signals]) -> None:
    """Send signals to the run after its steps."""
    honest = TrainingState.step_done

    def step_done(self: TrainingState) -> None:
        honest(self)
        if self.iteration in signals:
            os.kill(os.getpid(), signals[self.iteration])

    monkeypatch.setattr(TrainingState, "step_done", step_done)


def test_finish_now_survives_kill_and_resume(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        signalled(patched, {60: signal.SIGUSR1, 62: signal.SIGTERM})
        run(dataset, tmp_path / "out", "--iterations 5000")
    assert (tmp_path / "out/chkpnt62.pth").is_file() and plan_of(tmp_path / "out")["again"].endswith("--replan 60:65")
    train.main(["-m", str(tmp_path / "out"), "--resume", "--quiet"])
    assert plan_of(tmp_path / "out")["iterations"] == 65
    assert replayed(dataset, tmp_path / "out", tmp_path / "again") == last_ply(tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.lock")) and not (tmp_path / "again/chkpnt62.pth").exists()


def test_a_plan_that_cannot_be_written_is_a_warning(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(options: Any, folder: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        signalled(patched, {40: signal.SIGUSR1})
        patched.setattr(train, "write_options", full)
        run(dataset, tmp_path / "out", "--iterations 5000")
    assert plan_of(tmp_path / "out")["iterations"] == finishing_length(40) and last_ply(tmp_path / "out")
    warnings = json.loads((tmp_path / "out/run.json").read_text())["warnings"]
    assert any("writing config.json failed" in text and "No space left" in text for text in warnings)


class Clock:
    """A time in which a training step takes what it is told to, `each` of it for each Gaussian."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, step: float, measured: float, each: float = 0.0) -> None:
        self.now, self.step, self.lengths = 0.0, step, set[int]()
        monkeypatch.setattr(pace.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(Probe, "speed", lambda *_: Speed(measured, 0.0))
        monkeypatch.setattr(RunLogger, "seconds", property(lambda logger: self.now))
        honest = TrainingState.step_done

        def step_done(state: TrainingState) -> None:
            honest(state)
            self.now += self.step + each * len(state.gaussians)
            self.lengths.add(state.strategy.inputs.iterations)

        monkeypatch.setattr(TrainingState, "step_done", step_done)


STEPS_HAVE = 0.65  # of the time at least: the rest is for surveys and evaluation, which take none on this clock
FEW = "--strategy budget --max_gaussians 100"


@pytest.mark.parametrize(("step", "replans"), [(0.1, 1), (0.07, 2), (0.15, 1), (0.4, 1)])
def test_minutes_are_met_and_replayed(
    step: float, replans: int, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        clock = Clock(patched, step, measured=0.1)
        run(dataset, tmp_path / "out", f"--minutes 1 {FEW}")
        assert STEPS_HAVE * 60 < clock.now < 60
    plan = plan_of(tmp_path / "out")
    assert plan["minutes"] == 1 and plan["again"].count(":") == replans
    lengths = {int(number.split(":")[-1]) for number in re.findall(r"[\d:]+", plan["again"])}
    assert clock.lengths == lengths, "the strategy goes by another length than the run"
    assert replayed(dataset, tmp_path / "out", tmp_path / "again", FEW) == last_ply(tmp_path / "out")


def test_a_short_run_has_the_steps_of_the_gaussians_that_it_comes_to(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four growths, by half each at most, do not come near the budget."""
    for name in ("SURVEY_STEPS", "END_SECONDS", "END_STEPS"):  # which take no time on this clock
        monkeypatch.setattr(pace, name, 0.0)
    each = 0.06 / 1000
    clock = Clock(monkeypatch, 0.0, measured=0.0, each=each)
    monkeypatch.setattr(Probe, "speed", lambda *_: Speed(0.0, each))
    flags = "--minutes 0.1 --strategy budget --max_gaussians 5000 --prune_min_weight 0 --densify_from_iter 20"
    run(dataset, tmp_path / "out", flags)
    assert 0.9 * 6 < clock.now < 6


def test_the_probe_leaves_no_trace(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[float, bool]] = []
    honest = Probe.speed

    def measured(probe: Probe, state: TrainingState, seconds: float) -> Speed:
        before = {name: state.gaussians.parameters[name].detach().clone() for name in PARAMETERS}
        chance = state.generator.get_state()
        speed = honest(probe, state, seconds)
        same = all(torch.equal(before[name], state.gaussians.parameters[name]) for name in PARAMETERS)
        same &= torch.equal(chance, state.generator.get_state()) and state.optimizer.steps == 0
        seen.append((speed.seconds(1000), same))
        return Speed(0.2, 0.0)

    monkeypatch.setattr(Probe, "speed", measured)
    begun = time.monotonic()
    run(dataset, tmp_path / "out", "--minutes 0.2 --strategy budget --max_gaussians 200")
    assert len(seen) == 1 and seen[0][1] and 0 < seen[0][0] < time.monotonic() - begun
    again = shlex.split(plan_of(tmp_path / "out")["again"])
    assert again[0] == "--iterations" and int(again[1]) == 50


def test_a_guess_is_corrected_while_it_grows(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = "--max_gaussians 100 --strategy threshold"  # whose counts nobody knows before
    with monkeypatch.context() as patched:
        clock = Clock(patched, 0.4, measured=0.1)
        run(dataset, tmp_path / "out", f"--minutes 1 {few}")
        assert STEPS_HAVE * 60 < clock.now < 60
    first, *later = plan_of(tmp_path / "out")["again"].removeprefix("--iterations ").replace("--replan ", "").split()
    step, length = map(int, later[0].split(":"))
    assert step == -(-int(first) // 10) and 3 * length < int(first)  # at a tenth of the run
    assert replayed(dataset, tmp_path / "out", tmp_path / "again", few) == last_ply(tmp_path / "out")


@pytest.mark.parametrize(("step", "is_long"), [(0.5, False), (5.0, True)])
def test_what_is_to_go_is_said_with_the_growth_to_come(
    step: float,
    is_long: bool,
    dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("SURVEY_STEPS", "END_SECONDS", "END_STEPS"):  # which take no time on this clock
        monkeypatch.setattr(pace, name, 0.0)
    clock, said = Clock(monkeypatch, step, measured=1.0, each=0.012 * step), list[tuple[int, float, float]]()
    honest = pace.Pace.estimate

    def estimate(self: pace.Pace) -> str:
        said.append((len(self.state.gaussians), clock.now, self.seconds_to_go() or 0.0))
        return honest(self)

    monkeypatch.setattr(pace.Pace, "estimate", estimate)
    words = "--iterations 400 --strategy budget --max_gaussians 600 --prune_min_weight 0 --densify_from_iter 60 "
    words += "--densify_until_iter 300"
    train.main(["-s", str(dataset), "-m", str(tmp_path / "out"), *BUSY.split(), *words.split()])
    ((count, then, seconds),) = said
    assert json.loads((tmp_path / "out/run.json").read_text())["gaussians"] > 1.5 * count, "nothing grew"
    assert seconds == pytest.approx(clock.now - then, rel=0.15)
    line = next(line for line in capsys.readouterr().out.splitlines() if " to go, " in line)
    assert line.endswith("-r 2 takes photos of half their width") == is_long == (seconds > 60 * pace.LONG)


def test_who_has_set_minutes_is_not_told_of_them(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Clock(monkeypatch, 60.0, measured=60.0)
    words = f"--minutes 120 {FEW}".split()
    train.main(["-s", str(dataset), "-m", str(tmp_path / "out"), *BUSY.split(), *words])
    line = next(line for line in capsys.readouterr().out.splitlines() if " to go, " in line)
    minutes = re.search(r"about (\d+) min to go", line)
    assert minutes is not None and int(minutes[1]) > pace.LONG and line.endswith("with growth and evaluation")
