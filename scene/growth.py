"""How the number of Gaussians changes over a run: when they are densified, pruned and reset, and by which limits."""

from __future__ import annotations

from typing import NamedTuple

from arguments import SpikeOptions, TrainOptions
from diff_gaussian_rasterization import RasterOutput
from scene.densify import default_grad_threshold, densify, reset_opacities
from scene.prune import Pruned, PruneRules, prune
from scene.training_state import TrainingState
from scene.types import Scene
from scene.views import Photo
from utils.errors import UserError
from utils.schedules import due

MAX_WORLD_SIZE = 0.1  # of the extent: larger Gaussians are pruned, once opacities have been reset
MAX_SCREEN_SIZE = 0.15  # of the image's larger side: the same
SPIKES_EVERY = 8  # steps from one view that is looked at for spikes to the next: it takes a walk over the image more
SPIKE_INTERVAL = 200  # steps from one pruning of spikes to the next: enough views for a judgement
SPIKES_UNTIL = 0.9  # of the run: the rest heals what their pruning has torn


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
        self.spikes_until = round(SPIKES_UNTIL * options.run.iterations) if prunes_spikes(options.spikes) else 0

    def looks_for_spikes(self, iteration: int) -> bool:
        """Whether this step is to be rendered with the rasterizer's statistics."""
        return iteration < self.spikes_until and iteration % SPIKES_EVERY == 0

    def observe(self, iteration: int, output: RasterOutput, photo: Photo) -> None:
        """Add what a view has shown, after its backward pass."""
        statistics = self.state.statistics
        if iteration < self.limits.stop and output.means2d.grad is not None:
            statistics.observe(output.means2d.grad, output.radii, photo.camera.width, photo.camera.height)
        if output.statistics is not None:
            statistics.observe_spikes(
                self.state.gaussians,
                photo.camera,
                output.statistics.weight_sum,
                output.statistics.weight_max,
                output.statistics.distortion_share,
                ray_ratio_max=self.options.regularizers.ray_ratio_max,
                depth=photo.depth if photo.depth_measured else None,
                depth_valid=photo.depth_valid,
            )

    def after_step(self, iteration: int) -> list[Pruned]:
        """Densify, prune and reset what is due; what was pruned. UserError when no Gaussian is left."""
        density, pruned = self.options.densification, []
        if due(iteration, self.limits.start, self.limits.stop, density.densification_interval):
            self._densify()
            pruned.append(self._prune(self._rules(iteration)))
            self.state.statistics.reset()
        if due(iteration, self.limits.start, self.spikes_until, SPIKE_INTERVAL):
            pruned.append(self._prune(self._spike_rules()))
            self.state.statistics.reset_spikes()
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

    def _prune(self, rules: PruneRules) -> Pruned:
        return prune(self.state.gaussians, self.state.optimizer, self.state.statistics, rules)

    def _rules(self, iteration: int) -> PruneRules:
        """With each densification. Large Gaussians only after the first opacity reset: until then many are still
        shrinking."""
        if iteration <= self.options.densification.opacity_reset_interval:
            return PruneRules()
        return PruneRules(max_world_size=MAX_WORLD_SIZE * self.extent, max_screen_size=MAX_SCREEN_SIZE)

    def _spike_rules(self) -> PruneRules:
        spikes = self.options.spikes
        return PruneRules(
            spike_size=spikes.spike_extent * self.extent,
            min_ray_views=spikes.spike_ray_views or None,
            max_elongation=spikes.spike_ratio or None,
            max_spread=spikes.spike_spread * self.extent or None,
            min_views_before=spikes.floater_views or None,
            min_weight=spikes.prune_min_weight or None,
            max_fraction=spikes.prune_max_fraction,
        )


def densification_limits(options: TrainOptions, scene: Scene) -> Limits:
    """As given, or as fits the run and the photos."""
    given, iterations = options.densification, options.run.iterations
    start = min(500, iterations // 10) if given.densify_from_iter is None else given.densify_from_iter
    stop = iterations // 2 if given.densify_until_iter is None else given.densify_until_iter
    pixels = sum(view.camera.width * view.camera.height for view in scene.train) / len(scene.train)
    fitting = default_grad_threshold(pixels)
    return Limits(start, stop, fitting if given.densify_grad_threshold is None else given.densify_grad_threshold)


def prunes_spikes(rules: SpikeOptions) -> bool:
    """Whether any of the rules for spikes and floaters is on."""
    return any(
        (rules.spike_ratio, rules.spike_ray_views, rules.spike_spread, rules.floater_views, rules.prune_min_weight)
    )
