"""How the number of Gaussians changes over a run: when they are densified, pruned and reset, and by which limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from arguments import DensificationOptions
from scene.types import Camera, Scene
from training.strategies.base import Draw, Observed, Strategy, StrategyInputs
from training.strategies.densify import Densified, DensityStatistics, default_grad_threshold, densify, reset_opacities
from training.strategies.limits import check_some_left, gaussian_limit, growth_steps, photo_pixels
from training.strategies.prune import PruneLimits, prune
from training.strategies.split_longest import SplitShape
from training.strategies.surveys import Surveys
from utils.options import option
from utils.schedules import due

MAX_WORLD_SIZE = 0.1  # of the extent: larger Gaussians are pruned, once opacities have been reset
MAX_SCREEN_SIZE = 0.15  # of the image's larger side: the same
USUAL_COUNT = 0.5  # Gaussians for a pixel of a photo: 0.15 to 1.1 in docs/experiments/strategies.md


class Limits(NamedTuple):
    """Of densification; in run.json as they are here."""

    start: int  # densified after this step ...
    stop: int  # ... and before this one
    grad_threshold: float  # mean view-space gradient, half image sizes


@dataclass(frozen=True)
class ThresholdOptions:
    """Options of the strategies threshold and adc"""

    split: str = option(
        "random",
        "how large Gaussians are split: random draws two from each, 1.6 times smaller; long_axis lays two along its "
        "longest axis, which halves needles and hardly changes the picture",
        choices=("random", "long_axis"),
    )


class ThresholdStrategy(Strategy):
    """Adaptive density control of one run: gathers what each step shows, and changes the Gaussians when it is due."""

    Options = ThresholdOptions
    per_pixel, at_least = 1.0, 100_000  # of the default limit: Gaussians for a pixel of a photo, and in any case
    sharded = True

    def __init__(self, inputs: StrategyInputs) -> None:
        self.gaussians, self.optimizer = inputs.gaussians, inputs.optimizer
        self.statistics = DensityStatistics(len(self.gaussians), self.gaussians.device)
        super().__init__(inputs)

    def replan(self, inputs: StrategyInputs) -> None:
        """Limits and surveys as the options have them."""
        super().replan(inputs)
        self.density, self.extent = inputs.densification, inputs.scene.extent
        self.limits = self._limits()
        self.max_gaussians = gaussian_limit(self.density, inputs.scene, self.per_pixel, self.at_least)
        self.surveys = Surveys(inputs, self.max_gaussians, resets_until=self.limits.stop)

    def facts(self) -> dict[str, Any]:
        """The limits, as given or as fits the run."""
        return {**self.limits._asdict(), "max_gaussians": self.max_gaussians}

    def expected_count(self, progress: float) -> float:
        """A guess, since thresholds decide: to `USUAL_COUNT` by the end of densification."""
        now, usual = self.gaussians.total, USUAL_COUNT * photo_pixels(self.inputs.scene)
        end = max(now, min(usual, self.max_gaussians or usual))
        return now + (end - now) * min(1.0, 2 * progress)

    def before_backward(self, output: Observed) -> None:
        """Keep the gradient of the centers in the image."""
        output.means2d.retain_grad()

    def observe(self, iteration: int, output: Observed, camera: Camera) -> None:
        """Add what a view has shown, after its backward pass."""
        if iteration < self.limits.stop and output.means2d.grad is not None:
            self.statistics.observe(output.means2d.grad, output.radii, camera.width, camera.height)

    def after_step(self, iteration: int, draw: Draw) -> dict[str, int]:
        """Densify, prune and reset what is due; counts of cloned, split, and pruned by each rule.

        UserError when no Gaussian is left.
        """
        density, counts = self.density, Counter[str]()
        self.compared.clear()
        if due(iteration, self.limits.start, self.limits.stop, density.interval):
            counts.update(self._densify()._asdict())
            limits = self._rules(iteration)
            counts.update(prune(self.gaussians, self.optimizer, self.statistics, limits, self.compared)._asdict())
            self.statistics.reset()
        if self.surveys.due(iteration):
            counts.update(self.surveys.judge(draw, self.statistics, self.compared)._asdict())
        check_some_left(self.gaussians, iteration)
        if due(iteration, 0, self.limits.stop, density.opacity_reset_interval):
            reset_opacities(self.gaussians, self.optimizer)
        return dict(counts)

    def state_dict(self) -> dict[str, Any]:
        """The statistics since the last densification."""
        return self.statistics.state()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from these statistics."""
        self.statistics.load_state(state)

    def _limits(self) -> Limits:
        return densification_limits(self.density, self.inputs.iterations, self.inputs.scene)

    def _densify(self) -> Densified:
        density = self.density
        return densify(
            self.gaussians,
            self.optimizer,
            self.statistics,
            grad_threshold=self.limits.grad_threshold,
            clone_below=density.percent_dense * self.extent,
            max_gaussians=self.max_gaussians,
            generator=self.inputs.generator,
            shape=SplitShape() if self.inputs.options.split == "long_axis" else None,
            log=self.compared,
        )

    def _rules(self, iteration: int) -> PruneLimits:
        """With each densification. Large Gaussians only after the first opacity reset: until then many are still
        shrinking."""
        if iteration <= self.density.opacity_reset_interval:
            return PruneLimits()
        return PruneLimits(max_world_size=MAX_WORLD_SIZE * self.extent, max_screen_size=MAX_SCREEN_SIZE)


def densification_limits(given: DensificationOptions, iterations: int, scene: Scene) -> Limits:
    """As given, or as fits a run of `iterations` and the photos."""
    threshold = given.densify_grad_threshold
    fitting = default_grad_threshold(photo_pixels(scene)) if threshold is None else threshold
    return Limits(*growth_steps(given, iterations), fitting)
