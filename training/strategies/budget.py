"""Growth along a known curve to a budget, where the photos are met worst, by splits that hardly change the picture.

The count curve is that of ImprovedGS, the scores those of revising densification (Rota Bulò et al. 2024, the largest
error over the views) and of edge-guided growth; opacities decay a little instead of being reset. Surveys take the
Gaussians that no photo needs. Splits fill the gap at once, as long as the new Gaussians have time to settle.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from arguments import DensificationOptions
from scene.gaussians.columns import Columns
from scene.gaussians.optimizer import edit_rows
from scene.types import Camera
from training.strategies.base import Draw, Observed, Strategy, StrategyInputs
from training.strategies.densify import DensityStatistics, default_grad_threshold
from training.strategies.limits import (
    budget_per_pixel,
    check_some_left,
    gaussian_limit,
    growth_interval,
    growth_steps,
    photo_pixels,
)
from training.strategies.prune import PruneLimits, prune
from training.strategies.scores import ViewScores, combined, score
from training.strategies.selection import Selection
from training.strategies.split_longest import SplitShape, split_longest, to_logits
from training.strategies.surveys import Surveys
from utils.errors import UserError
from utils.options import option
from utils.sampling import draw_without_replacement

AT_LEAST = 30_000  # Gaussians of the default budget
SCORE_VIEWS, LEAST_SCORE_VIEWS = 8, 2
STEPS_PER_SCORE = 16  # of the run for each view that is looked at: scores take a twelfth of a run at most
FEW_EVENTS = 10  # with fewer to come, growth may be faster
REFILLS_UNTIL = 0.7  # of the run: what is split later has no time to settle
FASTEST, FASTEST_AT_THE_END = 1.2, 1.5  # times as many Gaussians after an event as before it, at most
LEAST_OPACITY = 1e-3  # to which decay goes; what is there is pruned


@dataclass(frozen=True)
class BudgetOptions:
    """Options of the strategy budget"""

    absgrad_factor: float = option(
        1.5,
        "factor on densify_grad_threshold, above which Gaussians are split first, by their absolute gradients",
        minimum=0,
    )
    score_views: int | None = option(
        None,
        "number of training views whose errors decide a growth",
        minimum=1,
        follows="8, fewer in a run of under 1,000 steps",
    )
    score_edges: float = option(
        0.25,
        "weight of the photos' edges, beside the error, in the score of a Gaussian; raise it for sharper edges",
        minimum=0,
    )
    split_offset: float = option(
        0.6, "distance of a split's halves from their parent, in its longest standard deviation", minimum=0
    )
    split_longest: float = option(0.6, "factor of a split on the longest axis", minimum=0.01, maximum=1)
    split_others: float = option(1.0, "factor of a split on the other two axes", minimum=0.01, maximum=1)
    split_opacity: float = option(0.8, "factor of a split on the opacity", minimum=0.01, maximum=1)
    opacity_decay: float = option(
        0.004,
        "amount by which all opacities fall at each growth, going to 0 at the end of the run; raise it to prune more",
        minimum=0,
        maximum=1,
    )
    refill_until_iter: int | None = option(
        None,
        "step up to which splits fill the gap that a survey leaves; 0 for never, for fewer Gaussians",
        minimum=0,
        follows="seven tenths of --iterations, or --densify_until_iter where that is given",
    )
    select_to: int = option(
        0,
        "number of Gaussians that are left of --max_gaussians at nine tenths of the run: all opacities are pressed "
        "down, and those stay that the photos hold up; 0 for no selection; give a half of --max_gaussians for a small "
        "file",
        minimum=0,
    )


class BudgetStrategy(Strategy):
    """Grows to `--max_gaussians` by the end of densification; then surveys prune, and splits fill the gaps."""

    Options, absgrad, count_is_known = BudgetOptions, True, True
    sharded = True

    def __init__(self, inputs: StrategyInputs) -> None:
        self.gaussians, self.optimizer = inputs.gaussians, inputs.optimizer
        self.statistics = DensityStatistics(len(self.gaussians), self.gaussians.device)
        self.first_count, self.per_pixel = self.gaussians.total, budget_per_pixel(inputs.scene)
        self.selection = Selection(inputs, inputs.options.select_to)
        super().__init__(inputs)

    def replan(self, inputs: StrategyInputs) -> None:
        """Events, budget and surveys as the options have them. UserError for a budget of 0."""
        super().replan(inputs)
        density, scene = inputs.densification, inputs.scene
        self.budget = gaussian_limit(density, scene, self.per_pixel, AT_LEAST)
        if self.budget == 0:
            raise UserError(
                "--max_gaussians 0: --strategy budget needs a number to grow to; --strategy threshold may do without"
            )
        self.surveys = Surveys(inputs, self.budget, resets_until=0)
        self.selection.replan(inputs)
        self.surveys.steps = [step for step in self.surveys.steps if not self.selection.on_at(step)]
        start, stop = growth_steps(density, inputs.iterations)
        self.curve = event_steps(start, stop, growth_interval(density, start, stop))
        until = refills_until(inputs.options, density, inputs.iterations)
        refills = [step for step in self.surveys.steps if stop <= step <= until and self.curve]
        self.events = [*self.curve, *refills]
        self.changes = sorted({*self.events, *self.surveys.steps})
        self.counts = self._counts_expected()
        self.score_views = inputs.options.score_views or score_views(inputs.iterations, len(self.curve))
        given, usual = density.densify_grad_threshold, default_grad_threshold(photo_pixels(scene))
        self.threshold = inputs.options.absgrad_factor * (usual if given is None else given)

    def facts(self) -> dict[str, Any]:
        """The budget and how it is reached."""
        return {
            "max_gaussians": self.budget,
            "events": len(self.curve),
            "refills": len(self.events) - len(self.curve),
            "score_views": self.score_views,
            "absgrad_threshold": self.threshold,
        }

    def expected_count(self, progress: float) -> float:
        """By the events and surveys so far. Few events do not reach the budget."""
        count = self.counts[bisect_right(self.changes, progress * self.inputs.iterations)]
        return count * self.selection.share_left(progress, max(self.counts))

    def observe(self, iteration: int, output: Observed, camera: Camera) -> None:
        """Add the absolute gradients of a view."""
        if self.events and iteration <= self.events[-1]:
            absolute: Tensor = output.means2d.absgrad  # type: ignore[attr-defined]
            self.statistics.observe(absolute, output.radii, camera.width, camera.height)

    def after_step(self, iteration: int, draw: Draw) -> dict[str, int]:
        """Decay, prune and split at an event, survey when due. UserError when no Gaussian is left."""
        counts, grows = Counter[str](), iteration in self.events
        self.compared.clear()
        if grows:
            self._decay(iteration)
            counts.update(
                prune(self.gaussians, self.optimizer, self.statistics, PruneLimits(), self.compared)._asdict()
            )
            check_some_left(self.gaussians, iteration)
        if sunk := self.selection.after_step(iteration, self.statistics):
            counts["selection"] = sunk
        if self.surveys.due(iteration):
            counts.update(self.surveys.judge(draw, self.statistics, self.compared)._asdict())
        check_some_left(self.gaussians, iteration)
        if grows:
            counts["split"] = self._split(iteration, draw)
            self.statistics.reset()
        return dict(counts)

    def state_dict(self) -> dict[str, Any]:
        """The statistics since the last event, where the curve began, and how hard selection presses."""
        return {
            "statistics": self.statistics.state(),
            "first_count": self.first_count,
            "selection": self.selection.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.statistics.load_state(state["statistics"])
        self.first_count = state["first_count"]
        self.replan(self.inputs)  # the curve begins there
        self.selection.load_state_dict(state["selection"])

    @torch.no_grad()
    def _decay(self, iteration: int) -> None:
        """Lower all opacities a little, less and less: what no view needs does not come up again."""
        step = self.inputs.options.opacity_decay * (1 - iteration / self.inputs.iterations)
        self.gaussians.opacities.copy_(to_logits((self.gaussians.activated_opacities - step).clamp(min=LEAST_OPACITY)))

    def _counts_expected(self) -> list[float]:
        """Before the first of `changes`, and after each."""
        counts = [float(self.first_count)]
        for step in self.changes:
            left = counts[-1] * self.surveys.share_left(step)
            room = self._room(step, int(left)) if step in self.events else 0
            counts.append(left + max(0, room))
        return counts

    def _room(self, step: int, count: int) -> int:
        """How many Gaussians a growth after this step may add to `count`."""
        event = self.events.index(step) + 1
        return room_at(event, len(self.curve), count, self.first_count, self.budget)

    def _split(self, step: int, draw: Draw) -> int:
        """Split as many as there is room for; how many."""
        options, gaussians = self.inputs.options, self.gaussians
        room = self._room(step, gaussians.total)
        if room <= 0:
            return 0
        chosen = self._chosen(self.events.index(step) + 1, room, draw)
        shape = SplitShape(options.split_offset, options.split_longest, options.split_others, options.split_opacity)
        pairs, parents = split_longest(gaussians, chosen, shape), chosen.nonzero().squeeze(1)
        edit_rows(gaussians, self.optimizer, self.statistics, ~chosen, pairs, [parents, parents])
        return int(gaussians.ranks.sum_(chosen.sum().reshape(1)))

    def _chosen(self, event: int, room: int, draw: Draw) -> Tensor:
        """(N,) bool: whom to split, drawn among the Gaussians of all ranks."""
        options, photos = self.inputs.options, self.inputs.photos
        views = min(self.score_views, len(photos))
        order = [(index * len(photos) // views + event) % len(photos) for index in range(views)]
        found, columns = score(draw, photos, order, self.gaussians.ranks), Columns(self.gaussians)
        scores = combined(ViewScores(*map(columns.whole, found)), options.score_edges)
        wanted = columns.whole(self.statistics.mean_gradient() >= self.threshold)
        return columns.own(draw_without_replacement(scores, wanted, room, self.inputs.generator))


def event_steps(start: int, stop: int, every: int) -> list[int]:
    """After which steps Gaussians are added: the multiples of `every` after `start` and before `stop`."""
    return [step for step in range(every, stop, every) if step > start]


def score_views(iterations: int, events: int) -> int:
    """How many views decide a growth, where it is not given."""
    fitting = iterations // (STEPS_PER_SCORE * max(1, events))
    return max(LEAST_SCORE_VIEWS, min(SCORE_VIEWS, fitting))


def count_at(progress: float, first: int, budget: int) -> float:
    """The curve: from `first` at 0 to `budget` at 1, soon steep and then flat, so that most have time to settle."""
    return first + (budget - first) * math.sqrt(progress)


def refills_until(options: BudgetOptions, density: DensificationOptions, iterations: int) -> int:
    """Up to which step splits fill what surveys leave."""
    if options.refill_until_iter is not None:
        return options.refill_until_iter
    given = density.densify_until_iter
    return round(REFILLS_UNTIL * iterations) if given is None else given - 1


def room_at(event: int, events: int, count: int, first: int, budget: int) -> int:
    """How many may be added to `count` Gaussians at an event, 1 for the first of `events`, or at one after them: never
    beyond `budget`."""
    fastest = FASTEST_AT_THE_END if events - event < FEW_EVENTS else FASTEST
    return int(min(count_at(event / events, first, budget), fastest * count, budget)) - count
