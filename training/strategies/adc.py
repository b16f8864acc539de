"""Adaptive density control by the paper's own numbers (Kerbl et al. 2023, section 5): the reference for the others."""

from __future__ import annotations

from training.strategies.base import StrategyInputs
from training.strategies.densify import GRAD_THRESHOLD
from training.strategies.limits import growth_steps
from training.strategies.threshold import Limits, ThresholdStrategy


class AdcStrategy(ThresholdStrategy):
    """The default strategy with the paper's gradient threshold for photos of any size, and without surveys."""

    per_pixel, at_least = 4.0, 200_000  # against running away, not a budget: the paper has none

    def replan(self, inputs: StrategyInputs) -> None:
        """As the default strategy, but never survey."""
        super().replan(inputs)
        self.surveys.steps = []

    def _limits(self) -> Limits:
        given, steps = self.density.densify_grad_threshold, growth_steps(self.density, self.inputs.iterations)
        return Limits(*steps, GRAD_THRESHOLD if given is None else given)
