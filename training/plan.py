"""How long a run is: steps that fit into minutes, and changes of the number of steps while it goes on.

A run of another length from some step on is what `--resume` with another `--iterations` is: every schedule, given as a
part of the run, goes on at that step's part of the new length, and ends where it should. So a planned run is replayed
to the bit by its numbers of steps, without a clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from arguments import RunOptions, replan_numbers
from arguments.groups import NO_STEP

LEAST_STEPS = 50  # of a planned run
FINAL_PART = 0.05  # of the schedules, which "finish now" still goes through
GRID = 100  # parts of the run over which the expected number of Gaussians is taken


class Speed(NamedTuple):
    """Seconds of a training step with N Gaussians: fixed + each · N."""

    fixed: float
    each: float

    def seconds(self, gaussians: float) -> float:
        """Of one step."""
        return self.fixed + self.each * gaussians

    @classmethod
    def through(cls, few: tuple[float, float], many: tuple[float, float]) -> Speed:
        """The line through two measurements (Gaussians, seconds); flat where they do not differ, or it would fall."""
        (count, seconds), (more, longer) = few, many
        if more <= count or longer <= seconds:
            return cls(max(seconds, longer), 0.0)
        each = (longer - seconds) / (more - count)
        return cls(max(seconds - each * count, 0.0), each)


def mean_seconds(speed: Speed, expected_count: Callable[[float], float]) -> float:
    """Of a step of a whole run, along the expected number of Gaussians by the part of the run."""
    return sum(speed.seconds(expected_count((part + 0.5) / GRID)) for part in range(GRID)) / GRID


def most_expected(expected_count: Callable[[float], float]) -> int:
    """The largest number of Gaussians that a whole run is expected to have."""
    return round(max(expected_count(part / GRID) for part in range(GRID + 1)))


def planned_steps(seconds: float, step_seconds: float) -> int:
    """How many steps fit into a time, two digits rounded down where there are more than four."""
    steps = int(max(seconds, 0.0) / step_seconds)
    return max(LEAST_STEPS, steps - steps % 10)


def finishing_length(iteration: int) -> int:
    """The length of a run of which `iteration` steps are done and only the last 5 % of its schedules are to follow."""
    return math.ceil(iteration / (1 - FINAL_PART)) + 1


def run_at(run: RunOptions, iteration: int) -> RunOptions:
    """The run as it is after `iteration` steps: with the length that `--replan` gives it from there on."""
    lengths = [length for step, length in map(replan_numbers, run.replan) if step <= iteration]
    return replace(run, iterations=lengths[-1]) if lengths else run


def final_length(run: RunOptions) -> int:
    """After how many steps the run ends."""
    return run_at(run, max((replan_numbers(text)[0] for text in run.replan), default=0)).iterations


def unreached(run: RunOptions, has_test_views: bool) -> list[str]:
    """What is to be said of steps that are asked for, and that the run never comes to, or has nothing to do at."""
    end, said = final_length(run), list[str]()
    for name in ("test_iterations", "save_iterations", "checkpoint_iterations"):
        steps = [step for step in getattr(run, name) if step != NO_STEP]
        if getattr(run, name) == getattr(RunOptions, name):
            continue  # the defaults, for which nobody asked
        if name == "test_iterations" and steps and not has_test_views:
            said.append(f"--{name} {_listed(steps)}: there are no test views to measure; --eval holds some out")
            continue
        late = [step for step in steps if step > end]
        if late and run.minutes is None:  # which sets the end by measured speed
            said.append(f"--{name} {_listed(late)}: the run ends after {end} iterations")
    return said


def _listed(steps: Sequence[int]) -> str:
    return " ".join(map(str, steps))
