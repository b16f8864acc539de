"""Everything that changes with the training step, as pure functions of the step (1 for the first)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from utils.errors import UserError
from utils.text import table

REFERENCE_ITERATIONS = 30_000  # the length of the run that knots are written for
INTERPOLATIONS = ("linear", "log", "step")


@dataclass(frozen=True)
class Schedule:
    """A value that moves with the training step: through knots, at the ends as at the first and last of them.

    Between two knots it goes linearly, or linearly in its logarithm ("log", as `log_linear`), or stays at the earlier
    one until the later is reached ("step").
    """

    name: str
    knots: tuple[tuple[float, float], ...]  # (step, value), the steps rising
    interpolation: str = "linear"

    def at(self, step: float) -> float:
        """The value at a training step."""
        if step <= self.knots[0][0]:
            return self.knots[0][1]
        for (start, first), (end, last) in pairwise(self.knots):
            if step < end:
                return self._between(step - start, first, last, end - start)
        return self.knots[-1][1]

    def scaled(self, factor: float) -> Schedule:
        """The same for a run `factor` times as long."""
        return replace(self, knots=tuple((step * factor, value) for step, value in self.knots))

    def _between(self, step: float, first: float, last: float, steps: float) -> float:
        if self.interpolation == "step":
            return first
        if self.interpolation == "log":
            return log_linear(step, first, last, steps)
        return first + (last - first) * step / steps

    def __str__(self) -> str:
        """As `parse_schedule` reads it."""
        if len(self.knots) == 1:
            return f"{self.knots[0][1]:g}"
        knots = " ".join(f"{step:.10g}:{value:g}" for step, value in self.knots)
        return knots if self.interpolation == "linear" else f"{self.interpolation} {knots}"


def parse_schedule(text: str, name: str) -> Schedule:
    """The schedule of a text: "10" (constant), "0:10 3000:10 15000:1", "log 0:1 30000:0.01", "step 0:0 500:1".

    `name` is the setting's, without dashes. UserError for anything else, a value under 0, or steps that do not rise.
    """
    words = text.split()
    interpolation = words.pop(0) if words and words[0] in INTERPOLATIONS else "linear"
    if len(words) == 1 and ":" not in words[0]:
        knots: tuple[tuple[float, float], ...] = ((0.0, _number(words[0], text, name)),)
    else:
        knots = tuple(_knot(word, text, name) for word in words)
    if not knots:
        raise _unreadable(text, name, "no value is in it")
    for (earlier, _), (later, _) in pairwise(knots):
        if earlier >= later:
            raise _unreadable(text, name, f"iteration {later:g} does not come after {earlier:g}")
    return Schedule(name, knots, interpolation)


def schedule_table(schedules: Sequence[Schedule], iterations: Sequence[int]) -> str:
    """What `--print_schedule` says: the value of each schedule at each of these iterations, and its knots."""
    head = ["iteration", *(f"{iteration:,}" for iteration in iterations), "knots"]
    rows = [[each.name, *(f"{each.at(iteration):.4g}" for iteration in iterations), str(each)] for each in schedules]
    return table([head, *rows])


def telling_iterations(schedules: Sequence[Schedule], last: int) -> list[int]:
    """The iterations that a table of the schedules of a run of `last` steps needs: its quarters, and all knots."""
    knots = {round(step) for each in schedules for step, _ in each.knots}
    quarters = {last * quarter // 4 for quarter in range(5)}
    return sorted(iteration for iteration in knots | quarters if 0 <= iteration <= last)


def log_linear(step: float, first: float, last: float, steps: float) -> float:
    """From `first` at step 0 to `last` at `steps` and after, linear in the logarithm. 0 stays 0.

    A value on its way to or from 0, which has no logarithm, goes linearly.
    """
    progress = min(max(step / steps, 0.0), 1.0)
    if first <= 0 or last <= 0:
        return first + (last - first) * progress
    return math.exp(math.log(first) * (1 - progress) + math.log(last) * progress)


def due(step: int, start: int, stop: int, every: int) -> bool:
    """Whether something done every `every` steps, after `start` and before `stop`, is to be done at `step`."""
    return start < step < stop and step % every == 0


def sh_degree_at(step: int, highest: int, every: float) -> int:
    """The degree of the spherical harmonics in use: 0 at first, one more every `every` steps."""
    return min(int(step / every), highest)


def _knot(word: str, text: str, name: str) -> tuple[float, float]:
    step, colon, value = word.partition(":")
    if not colon:
        raise _unreadable(text, name, f"{word!r} is not iteration:value")
    return _number(step, text, name), _number(value, text, name)


def _number(word: str, text: str, name: str) -> float:
    try:
        value = float(word)
    except ValueError:
        raise _unreadable(text, name, f"{word!r} is not a number") from None
    if not 0 <= value < math.inf:
        raise _unreadable(text, name, f"{word!r} is not a finite number of at least 0")
    return value


def _unreadable(text: str, name: str, found: str) -> UserError:
    return UserError(
        f'--{name} is "{text}", and {found}; it takes a number, or knots iteration:value in rising order as in '
        '"0:10 3000:10 15000:1", with "log" or "step" before them for another interpolation than linear'
    )
