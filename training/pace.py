"""The clock of a run: `--minutes` becomes steps at the start, and other steps on the way; SIGUSR1 finishes early."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from statistics import median
from types import FrameType, TracebackType
from typing import Any

from arguments import RunOptions
from scene.types import Scene
from training import plan
from training.probe import Probe
from training.run_logger import RunLogger
from training.state import TrainingState
from training.strategies.base import Strategy
from training.strategies.multiview_stats import MAX_VIEWS
from training.strategies.surveys import SURVEY_SPACING, SURVEYS_AT
from utils.text import about_text, duration_text

REPLANS_AT = (0.5, 0.75)  # of the run: growth has ended, and surveys have taken most of what they take
REPLAN_GUESSES_AT = (0.1, 0.25, *REPLANS_AT)  # where the strategy only guesses how many Gaussians there will be
REPLAN_FROM = 0.02  # a new length that differs by less is not worth it
BY_COUNT = 0.5  # of a step's time goes with the number of Gaussians
RECENT = 20  # steps whose time says what the next will take
END_SECONDS, END_STEPS = 2.0, 4.0  # for the files and pages at the end, and for each view shown there, in steps
SURVEY_STEPS = 0.7  # for each view of a survey, in steps
PLANS = 3  # of which each goes by the Gaussians that are expected with the last
SAFETY = 0.98  # of the time is planned for: the last steps are the slowest
ESTIMATE_AT = 50, 200  # steps, the least and the most, after which the run says how long it will take
LEAST_ESTIMATE = 10.0  # seconds: less is not worth a line
LONG = 30  # minutes: of a run that takes longer it is said how to make it shorter


def plan_run(run: RunOptions, scene: Scene, state: TrainingState, started: float, probe: Probe) -> RunOptions:
    """The run with the steps that fit into `--minutes` since `started`, of `time.monotonic`; else as it is.

    A run that goes on has its steps already. Leaves the state as it is. A call of all ranks, who go by the clock of
    rank 0: all must take as many steps.
    """
    if run.minutes is None or state.iteration > 0:
        return run
    ranks = state.gaussians.ranks
    speed = probe.speed(state, run.minutes * 60)
    left = SAFETY * run.minutes * 60 - ranks.tell(time.monotonic() - started)

    def fitting() -> int:
        step = plan.mean_seconds(speed, state.strategy.expected_count)
        seconds = _without_surveys(scene, left - _end_seconds(scene, step * ranks.size), step, ranks.size)
        return plan.planned_steps(seconds, step)

    return replace(run, iterations=_planned(state.strategy, fitting))


def _planned(strategy: Strategy, fitting: Callable[[], int]) -> int:
    """The steps of a run, of which the strategy is told. `fitting` says how many fit with the Gaussians that it expects
    now: in fewer steps it grows less often, its Gaussians take less time, and there is room for more steps."""
    for _ in range(PLANS):
        iterations = fitting()
        strategy.replan(strategy.inputs._replace(iterations=iterations))
    return iterations


def expected_seconds(run: RunOptions, scene: Scene, state: TrainingState, speed: plan.Speed) -> float:
    """What is left of a run will take, at this speed of its steps: with surveys, evaluation and pages at the end."""
    step = plan.mean_seconds(speed, state.strategy.expected_count)
    return _whole_seconds(scene, run.iterations - state.iteration, step, state.gaussians.ranks.size)


class Pace:
    """Whether the run is to get another length; while entered, SIGUSR1 asks for its end. All ranks decide the same, by
    the clock of rank 0. Steps are counted in photos, however many a step of the loop has.

    `keep` writes the run, with all its lengths, where `--resume` reads it.
    """

    def __init__(
        self, run: RunOptions, scene: Scene, state: TrainingState, started: float, keep: Callable[[RunOptions], None]
    ) -> None:
        self.whole, self.run = run, plan.run_at(run, state.iteration)
        self.scene, self.state, self.keep = scene, state, keep
        self._ranks = state.gaussians.ranks
        self.seconds_before = self._ranks.tell(time.monotonic() - started)  # the logger's clock begins
        known = state.strategy.count_is_known
        self.replans = [] if run.replan else list(REPLANS_AT if known else REPLAN_GUESSES_AT)
        self.asked = False
        if self.run.iterations != run.iterations:  # gone on with, behind a step of --replan
            self._tell_strategy()
        least, most = ESTIMATE_AT
        decoded = len(scene.train) + RECENT  # steps that decode photos take longer
        self._estimate_at: int | None = state.iteration + min(max(least, decoded), most)
        self._times: list[tuple[int, float]] = []  # iteration, seconds
        self._before: Any = None

    def __enter__(self) -> Pace:
        if hasattr(signal, "SIGUSR1"):  # Windows has none
            self._before = signal.signal(signal.SIGUSR1, self._ask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if hasattr(signal, "SIGUSR1"):
            signal.signal(signal.SIGUSR1, self._before)

    def ask(self) -> None:
        """End the run early, with all its schedules at their ends."""
        self.asked = True

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.ask()

    def after_step(self, report: RunLogger) -> RunOptions | None:
        """The run from here on, with another number of steps; None where it stays. The strategy has it, too."""
        iteration, seconds = self.state.iteration, report.seconds
        if self.whole.minutes is not None:
            seconds = self._ranks.tell(seconds)
        self._times = [*self._times[-RECENT:], (iteration, seconds)]
        if self._estimate_at is not None and iteration >= self._estimate_at:
            self._estimate_at = None
            if text := self.estimate():
                report.event(text)
        planned = plan.run_at(self.whole, iteration).iterations
        length = planned if planned != self.run.iterations else self._new_length()
        if length is None or length == self.run.iterations:
            return None
        if length != planned:
            self.whole = replace(self.whole, replan=(*self.whole.replan, f"{iteration}:{length}"))
            with report.chatter.attempt("writing config.json"):
                self.keep(self.whole)
        self.run = replace(self.whole, iterations=length)
        self._tell_strategy()
        report.lengthened(iteration, length, self.facts())
        return self.run

    def seconds_to_go(self) -> float | None:
        """About what is left of the run will take, by its last steps and as many Gaussians as are to come; None where
        too few steps are made."""
        if not self._step_seconds:
            return None
        iteration, steps = self.state.iteration, self.run.iterations
        return _whole_seconds(self.scene, steps - iteration, self._rest_seconds, self._ranks.size)

    def estimate(self) -> str:
        """The same in words, and how a long run can be made shorter; "" where it is as good as over."""
        seconds = self.seconds_to_go() or 0.0
        if seconds < LEAST_ESTIMATE:
            return ""
        text = f"{1 / self._step_seconds:.3g} it/s: about {duration_text(seconds)} to go, with growth and evaluation"
        if seconds < 60 * LONG or self.whole.minutes is not None:
            return text
        return f"{text}; --minutes {LONG} plans a run of {LONG} minutes, -r 2 takes photos of half their width"

    def facts(self) -> dict[str, Any]:
        """For run.json: the steps that were planned, and with which arguments the run is made again to the bit."""
        again = ["--iterations", str(self.whole.iterations)]
        if self.whole.replan:
            again += ["--replan", *self.whole.replan]
        return {"minutes": self.whole.minutes, "iterations": self.run.iterations, "again": " ".join(again)}

    def opening(self) -> str:
        """What will happen."""
        expected = round(self.state.strategy.expected_count(1.0))
        limit = self.state.strategy.facts().get("max_gaussians")
        text = f"{self.run.iterations:,} steps"
        if limit:
            text += f", at most {limit:,} Gaussians (--max_gaussians)"
        if self.whole.minutes is None:
            return text
        return f"{text}, about {about_text(expected)} expected at the end, in {duration_text(self.whole.minutes * 60)}"

    def _tell_strategy(self) -> None:
        self.state.strategy.replan(self.state.strategy.inputs._replace(iterations=self.run.iterations))

    def _new_length(self) -> int | None:
        iteration, steps = self.state.iteration, self.run.iterations
        finished = plan.finishing_length(iteration)
        if finished < steps and (self.asked or self._is_late(finished - iteration)):
            self.replans = []
            return finished
        due = bool(self.replans) and iteration >= self.replans[0] * steps
        if self.whole.minutes is None or not due or not self._step_seconds:
            return None
        self.replans = [part for part in self.replans if iteration < part * steps]
        new = _planned(self.state.strategy, lambda: max(finished, self._fitting()))
        if abs(new - steps) > REPLAN_FROM * steps:
            return new
        self._tell_strategy()  # that it stays as it was
        return None

    def _fitting(self) -> int:
        """How many steps the run has where it fills the minutes."""
        step, size = self._rest_seconds, self._ranks.size
        seconds = SAFETY * self._seconds_left - _end_seconds(self.scene, step * size)
        left = _without_surveys(self.scene, seconds, step, size)
        return self.state.iteration + plan.planned_steps(left, step)

    @property
    def _rest_seconds(self) -> float:
        """Of a step, in the mean over the rest of the run."""
        progress = self.state.iteration / self.state.strategy.inputs.iterations
        expected, now = self.state.strategy.expected_count, max(self.state.gaussians.total, 1)
        rest = [expected(progress + (1 - progress) * (part + 0.5) / plan.GRID) for part in range(plan.GRID)]
        return self._step_seconds * (1 + BY_COUNT * (sum(rest) / plan.GRID / now - 1))

    def _is_late(self, steps: int) -> bool:
        """Whether only the last steps of a run that is to finish now fit into the minutes."""
        if self.whole.minutes is None or not self._step_seconds:
            return False
        end = _end_seconds(self.scene, self._step_seconds * self._ranks.size)
        return self._seconds_left < steps * self._step_seconds + end

    @property
    def _seconds_left(self) -> float:
        return (self.whole.minutes or 0.0) * 60 - (self.seconds_before + self._times[-1][1])

    @property
    def _step_seconds(self) -> float:
        """Of the last steps, for each photo; 0 before there are enough."""
        times = self._times
        if len(times) <= RECENT:
            return 0.0
        return median((later - earlier) / (end - start) for (start, earlier), (end, later) in pairwise(times))


def _whole_seconds(scene: Scene, count: int, step: float, ranks: int) -> float:
    """Of `count` steps with their surveys, and what comes after the last."""
    steps = count * step
    return 2 * steps - _without_surveys(scene, steps, step, ranks) + _end_seconds(scene, step * ranks)


def _without_surveys(scene: Scene, seconds: float, step: float, ranks: int) -> float:
    """What is left of a time for steps: there are surveys as often as `survey_steps` has them, at most. In a survey one
    rank draws while the others wait."""
    views = min(len(scene.train), MAX_VIEWS)
    surveys = min(len(SURVEYS_AT), seconds / step / (2 * SURVEY_SPACING * views))  # in the second half of the run
    return seconds - surveys * views * SURVEY_STEPS * step * ranks


def _end_seconds(scene: Scene, step: float) -> float:
    """For what comes after the last step; `step`: of one rank that draws a photo while the others wait."""
    return END_SECONDS + END_STEPS * step * ((len(scene.test) or len(scene.train) / 8) + len(scene.far))
