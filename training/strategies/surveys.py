"""Surveys: when all training views are looked at, and what goes by what they show. Strategies share them."""

from __future__ import annotations

from arguments import SpikeOptions
from scene.gaussians.optimizer import RowStatistics
from training.strategies.base import Draw, StrategyInputs
from training.strategies.multiview_stats import MAX_VIEWS, collect_multiview_stats
from training.strategies.prune import Pruned, SpikeRules, prune_spikes
from training.strategies.rule_log import RuleLog

SURVEYS_AT = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)  # of the run; before, too many have not yet got their weight
RESET_HEALS = 500  # steps after which opacities say again what is needed
FIRST_LEAVES, LEAVES = 0.85, 0.95  # of the Gaussians, see docs/experiments/strategies.md
SURVEY_SPACING = 2.0  # surveys have at least so many steps between them for each view that they look at


class Surveys:
    """The surveys of one run."""

    def __init__(self, inputs: StrategyInputs, max_gaussians: int, resets_until: int) -> None:
        self.inputs, self.max_gaussians = inputs, max_gaussians
        views, resets_every = len(inputs.scene.train), inputs.densification.opacity_reset_interval
        self.steps = survey_steps(inputs.spikes, inputs.iterations, views, resets_until, resets_every)

    def due(self, iteration: int) -> bool:
        """Whether to survey after this step."""
        return iteration in self.steps

    def share_left(self, iteration: int) -> float:
        """About what part of the Gaussians is still there after this step of those before it."""
        if not self.due(iteration) or not self.inputs.spikes.prune_min_weight:
            return 1.0
        return FIRST_LEAVES if iteration == self.steps[0] else LEAVES

    def judge(self, draw: Draw, statistics: RowStatistics, log: RuleLog) -> Pruned:
        """Look at the views, prune and cut; how many Gaussians went by each rule. `log` receives what each compared."""
        inputs, gaussians = self.inputs, self.inputs.gaussians
        tolerance, ratio = inputs.spikes.spike_tolerance * inputs.scene.extent, inputs.regularizers.ray_ratio_max
        found = collect_multiview_stats(
            gaussians, inputs.photos, draw.surveyed, tolerance=tolerance, ray_ratio_max=ratio
        )
        return prune_spikes(gaussians, inputs.optimizer, statistics, found, self._rules(), log)

    def _rules(self) -> SpikeRules:
        spikes, extent = self.inputs.spikes, self.inputs.scene.extent
        return SpikeRules(
            min_weight=spikes.prune_min_weight or None,
            max_weight_share=spikes.prune_weight_share,
            min_views_before=spikes.floater_views or None,
            min_ray_views=spikes.spike_ray_views or None,
            max_spread=spikes.spike_spread * extent or None,
            max_elongation=spikes.spike_ratio or None,
            spike_size=spikes.spike_extent * extent,
            max_fraction=spikes.prune_max_fraction,
            max_gaussians=self.max_gaussians,
        )


def survey_steps(
    spikes: SpikeOptions, iterations: int, views: int, resets_until: int, reset_interval: int
) -> list[int]:
    """After which steps the views are surveyed; none where all rules are off. Not soon after a reset of the opacities,
    nor after the start, when nothing has weight. Opacities are reset before the step `resets_until`; 0: never."""
    steps = [0]
    rules = (
        spikes.prune_min_weight, spikes.floater_views, spikes.spike_ratio, spikes.spike_ray_views, spikes.spike_spread
    )  # fmt: skip
    spacing = SURVEY_SPACING * min(views, MAX_VIEWS)
    for step in (round(part * iterations) for part in SURVEYS_AT):
        reset = min(step - 1, resets_until - 1) // reset_interval
        healed = step - reset * reset_interval >= RESET_HEALS
        if any(rules) and healed and step - steps[-1] >= spacing:
            steps.append(step)
    return steps[1:]
