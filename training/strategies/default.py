"""How the number of Gaussians changes over a run: when they are densified, pruned and reset, and by which limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from arguments import DensificationOptions, SpikeOptions
from diff_gaussian_rasterization import RasterOutput
from scene.types import Camera, Scene
from training.strategies.base import Draw, Strategy, StrategyInputs
from training.strategies.densify import Densified, DensityStatistics, default_grad_threshold, densify, reset_opacities
from training.strategies.multiview_stats import MAX_VIEWS, collect_multiview_stats
from training.strategies.prune import Pruned, PruneLimits, SpikeRules, prune, prune_spikes
from utils.errors import UserError
from utils.schedules import due

MAX_WORLD_SIZE = 0.1  # of the extent: larger Gaussians are pruned, once opacities have been reset
MAX_SCREEN_SIZE = 0.15  # of the image's larger side: the same
SURVEYS_AT = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)  # of the run; before, too many have not yet got their weight
RESET_HEALS = 500  # steps after which opacities say again what is needed
SURVEY_SPACING = 2.0  # surveys have at least so many steps between them for each view that they look at


class Limits(NamedTuple):
    """Of densification; in run.json as they are here."""

    start: int  # densified after this step ...
    stop: int  # ... and before this one
    grad_threshold: float  # mean view-space gradient, half image sizes


class DefaultStrategy(Strategy):
    """Adaptive density control of one run: gathers what each step shows, and changes the Gaussians when it is due."""

    def __init__(self, inputs: StrategyInputs) -> None:
        super().__init__(inputs)
        self.density, self.spikes, self.extent = inputs.densification, inputs.spikes, inputs.scene.extent
        self.gaussians, self.optimizer = inputs.gaussians, inputs.optimizer
        self.statistics = DensityStatistics(len(self.gaussians), self.gaussians.device)
        self.limits = densification_limits(self.density, inputs.iterations, inputs.scene)
        views, stop = len(inputs.scene.train), self.limits.stop
        self.surveys = survey_steps(self.spikes, inputs.iterations, views, stop, self.density.opacity_reset_interval)

    def facts(self) -> dict[str, Any]:
        """The limits, as given or as fits the run."""
        return self.limits._asdict()

    def before_backward(self, output: RasterOutput) -> None:
        """Keep the gradient of the centers in the image."""
        output.means2d.retain_grad()

    def observe(self, iteration: int, output: RasterOutput, camera: Camera) -> None:
        """Add what a view has shown, after its backward pass."""
        if iteration < self.limits.stop and output.means2d.grad is not None:
            self.statistics.observe(output.means2d.grad, output.radii, camera.width, camera.height)

    def after_step(self, iteration: int, draw: Draw) -> dict[str, int]:
        """Densify, prune and reset what is due; counts of cloned, split, and pruned by each rule.

        UserError when no Gaussian is left.

        `draw` shows a survey what a camera sees now.
        """
        density, counts = self.density, Counter[str]()
        if due(iteration, self.limits.start, self.limits.stop, density.densification_interval):
            counts.update(self._densify()._asdict())
            counts.update(prune(self.gaussians, self.optimizer, self.statistics, self._rules(iteration))._asdict())
            self.statistics.reset()
        if iteration in self.surveys:
            counts.update(self._survey(draw)._asdict())
        if len(self.gaussians) == 0:
            raise UserError(f"iteration {iteration}: no Gaussian is left; all were too transparent or too large")
        if due(iteration, 0, self.limits.stop, density.opacity_reset_interval):
            reset_opacities(self.gaussians, self.optimizer)
        return dict(counts)

    def state_dict(self) -> dict[str, Any]:
        """The statistics since the last densification."""
        return self.statistics.state()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from these statistics."""
        self.statistics.load_state(state)

    def _densify(self) -> Densified:
        density = self.density
        return densify(
            self.gaussians,
            self.optimizer,
            self.statistics,
            grad_threshold=self.limits.grad_threshold,
            clone_below=density.percent_dense * self.extent,
            max_gaussians=density.max_gaussians,
            generator=self.inputs.generator,
        )

    def _survey(self, draw: Draw) -> Pruned:
        tolerance = self.spikes.spike_tolerance * self.extent
        ratio = self.inputs.regularizers.ray_ratio_max
        found = collect_multiview_stats(
            self.gaussians, self.inputs.photos, draw, tolerance=tolerance, ray_ratio_max=ratio
        )
        return prune_spikes(self.gaussians, self.optimizer, self.statistics, found, self._spike_rules())

    def _rules(self, iteration: int) -> PruneLimits:
        """With each densification. Large Gaussians only after the first opacity reset: until then many are still
        shrinking."""
        if iteration <= self.density.opacity_reset_interval:
            return PruneLimits()
        return PruneLimits(max_world_size=MAX_WORLD_SIZE * self.extent, max_screen_size=MAX_SCREEN_SIZE)

    def _spike_rules(self) -> SpikeRules:
        spikes = self.spikes
        return SpikeRules(
            min_weight=spikes.prune_min_weight or None,
            max_weight_share=spikes.prune_weight_share,
            min_views_before=spikes.floater_views or None,
            min_ray_views=spikes.spike_ray_views or None,
            max_spread=spikes.spike_spread * self.extent or None,
            max_elongation=spikes.spike_ratio or None,
            spike_size=spikes.spike_extent * self.extent,
            max_fraction=spikes.prune_max_fraction,
            max_gaussians=self.density.max_gaussians,
        )


def densification_limits(given: DensificationOptions, iterations: int, scene: Scene) -> Limits:
    """As given, or as fits a run of `iterations` and the photos."""
    start = min(500, iterations // 10) if given.densify_from_iter is None else given.densify_from_iter
    stop = iterations // 2 if given.densify_until_iter is None else given.densify_until_iter
    pixels = sum(view.camera.width * view.camera.height for view in scene.train) / len(scene.train)
    fitting = default_grad_threshold(pixels)
    return Limits(start, stop, fitting if given.densify_grad_threshold is None else given.densify_grad_threshold)


def survey_steps(
    spikes: SpikeOptions, iterations: int, views: int, densified_until: int, reset_interval: int
) -> list[int]:
    """After which steps the views are surveyed; none where all rules are off. Not soon after a reset of the opacities,
    nor after the start, when nothing has weight."""
    steps = [0]
    rules = (
        spikes.prune_min_weight, spikes.floater_views, spikes.spike_ratio, spikes.spike_ray_views, spikes.spike_spread
    )  # fmt: skip
    spacing = SURVEY_SPACING * min(views, MAX_VIEWS)
    for step in (round(part * iterations) for part in SURVEYS_AT):
        reset = min(step - 1, densified_until - 1) // reset_interval
        healed = step - reset * reset_interval >= RESET_HEALS
        if any(rules) and healed and step - steps[-1] >= spacing:
            steps.append(step)
    return steps[1:]
