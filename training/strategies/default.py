"""How the number of Gaussians changes over a run: when they are densified, pruned and reset, and by which limits."""

from __future__ import annotations

from typing import NamedTuple

from arguments import TrainOptions
from diff_gaussian_rasterization import RasterOutput
from scene.types import Camera, Scene
from training.state import TrainingState
from training.strategies.densify import default_grad_threshold, densify, reset_opacities
from training.strategies.multiview_stats import MAX_VIEWS, Draw, survey
from training.strategies.prune import Pruned, PruneRules, SpikeRules, prune, prune_spikes
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


class Growth:
    """Adaptive density control of one run: gathers what each step shows, and changes the Gaussians when it is due."""

    def __init__(self, options: TrainOptions, scene: Scene, state: TrainingState) -> None:
        self.options, self.extent, self.state = options, scene.extent, state
        self.limits = densification_limits(options, scene)
        self.surveys = survey_steps(options, self.limits.stop, len(scene.train))

    def observe(self, iteration: int, output: RasterOutput, camera: Camera) -> None:
        """Add what a view has shown, after its backward pass."""
        statistics = self.state.statistics
        if iteration < self.limits.stop and output.means2d.grad is not None:
            statistics.observe(output.means2d.grad, output.radii, camera.width, camera.height)

    def after_step(self, iteration: int, draw: Draw) -> list[Pruned]:
        """Densify, prune and reset what is due; what was pruned. UserError when no Gaussian is left.

        `draw` shows a survey what a camera sees now.
        """
        density, pruned = self.options.densification, []
        if due(iteration, self.limits.start, self.limits.stop, density.densification_interval):
            self._densify()
            state = self.state
            pruned.append(prune(state.gaussians, state.optimizer, state.statistics, self._rules(iteration)))
            state.statistics.reset()
        if iteration in self.surveys:
            pruned.append(self._survey(draw))
        if len(self.state.gaussians) == 0:
            raise UserError(f"iteration {iteration}: no Gaussian is left; all were too transparent or too large")
        if due(iteration, 0, self.limits.stop, density.opacity_reset_interval):
            reset_opacities(self.state.gaussians, self.state.optimizer)
        return pruned

    def _densify(self) -> None:
        state, density = self.state, self.options.densification
        densify(
            state.gaussians,
            state.optimizer,
            state.statistics,
            grad_threshold=self.limits.grad_threshold,
            clone_below=density.percent_dense * self.extent,
            max_gaussians=density.max_gaussians,
            generator=state.generator,
        )

    def _survey(self, draw: Draw) -> Pruned:
        state, tolerance = self.state, self.options.spikes.spike_tolerance * self.extent
        ratio = self.options.regularizers.ray_ratio_max
        found = survey(state.gaussians, state.photos.photos, draw, tolerance=tolerance, ray_ratio_max=ratio)
        return prune_spikes(state.gaussians, state.optimizer, state.statistics, found, self._spike_rules())

    def _rules(self, iteration: int) -> PruneRules:
        """With each densification. Large Gaussians only after the first opacity reset: until then many are still
        shrinking."""
        if iteration <= self.options.densification.opacity_reset_interval:
            return PruneRules()
        return PruneRules(max_world_size=MAX_WORLD_SIZE * self.extent, max_screen_size=MAX_SCREEN_SIZE)

    def _spike_rules(self) -> SpikeRules:
        spikes = self.options.spikes
        return SpikeRules(
            min_weight=spikes.prune_min_weight or None,
            max_weight_share=spikes.prune_weight_share,
            min_views_before=spikes.floater_views or None,
            min_ray_views=spikes.spike_ray_views or None,
            max_spread=spikes.spike_spread * self.extent or None,
            max_elongation=spikes.spike_ratio or None,
            spike_size=spikes.spike_extent * self.extent,
            max_fraction=spikes.prune_max_fraction,
            max_gaussians=self.options.densification.max_gaussians,
        )


def densification_limits(options: TrainOptions, scene: Scene) -> Limits:
    """As given, or as fits the run and the photos."""
    given, iterations = options.densification, options.run.iterations
    start = min(500, iterations // 10) if given.densify_from_iter is None else given.densify_from_iter
    stop = iterations // 2 if given.densify_until_iter is None else given.densify_until_iter
    pixels = sum(view.camera.width * view.camera.height for view in scene.train) / len(scene.train)
    fitting = default_grad_threshold(pixels)
    return Limits(start, stop, fitting if given.densify_grad_threshold is None else given.densify_grad_threshold)


def survey_steps(options: TrainOptions, densified_until: int, views: int) -> list[int]:
    """After which steps the views are surveyed; none where all rules are off. Not soon after a reset of the opacities,
    nor after the start, when nothing has weight."""
    spikes, steps = options.spikes, [0]
    rules = (
        spikes.prune_min_weight, spikes.floater_views, spikes.spike_ratio, spikes.spike_ray_views, spikes.spike_spread
    )  # fmt: skip
    spacing = SURVEY_SPACING * min(views, MAX_VIEWS)
    for step in (round(part * options.run.iterations) for part in SURVEYS_AT):
        reset = min(step - 1, densified_until - 1) // options.densification.opacity_reset_interval
        healed = step - reset * options.densification.opacity_reset_interval >= RESET_HEALS
        if any(rules) and healed and step - steps[-1] >= spacing:
            steps.append(step)
    return steps[1:]
