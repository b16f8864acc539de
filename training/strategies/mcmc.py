"""3D Gaussian splatting as Markov chain Monte Carlo (Kheradmand et al. 2024): relocation, noise and slow growth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from scene.gaussians.optimizer import edit_rows
from training.strategies.base import Draw, Strategy, StrategyInputs
from training.strategies.budget import event_steps
from training.strategies.limits import (
    budget_per_pixel,
    check_some_left,
    gaussian_limit,
    growth_interval,
    growth_steps,
)
from training.strategies.relocate import add_copies, relocate
from training.strategies.rule_log import note
from training.strategies.surveys import Surveys
from utils.errors import UserError
from utils.options import option
from utils.quaternion import rotate
from utils.sampling import normals_at

AT_LEAST = 20_000  # Gaussians of the default limit
GROWN_AT = 25 / 30  # of the run: the paper grows to step 25,000 of 30,000
DEAD = 0.005  # opacity up to which a Gaussian is moved elsewhere
GROWTH = 1.05  # times as many Gaussians after an event as before it
GATE = 100.0  # how sharply noise ends above DEAD, per unit of opacity
QUIET = 1e-3  # gates under this are none: a few in a hundred Gaussians are left to draw for
PAPER_EXTENT = 5.0  # of a scene, in its units, where the noise is the paper's
LEAST_SEEN = 1 / 255  # opacity below which no pixel shows a Gaussian


@dataclass(frozen=True)
class McmcOptions:
    """Options of the strategy mcmc"""

    noise_lr: float = option(
        5e5, "factor on the noise that moves nearly transparent Gaussians; 0 switches it off", minimum=0
    )


class NoRows:
    """The strategy keeps no numbers for each Gaussian."""

    def __init__(self) -> None:
        self.rows: dict[str, Tensor] = {}


class McmcStrategy(Strategy):
    """Moves faint Gaussians to others' places, grows by 5 % at a time, and shakes what is faint."""

    Options = McmcOptions
    regularizers: ClassVar[Mapping[str, float]] = {"opacity": 0.01, "scale": 0.01}
    count_is_known = True
    sharded = True

    def __init__(self, inputs: StrategyInputs) -> None:
        self.first_count, self.per_pixel = inputs.gaussians.total, budget_per_pixel(inputs.scene)
        super().__init__(inputs)

    def replan(self, inputs: StrategyInputs) -> None:
        """Events, limit and surveys as the options have them. UserError for a limit of 0."""
        super().replan(inputs)
        self.limit = gaussian_limit(inputs.densification, inputs.scene, self.per_pixel, AT_LEAST)
        if self.limit == 0:
            raise UserError("--max_gaussians 0: --strategy mcmc needs a number to grow to")
        start, stop = growth_steps(inputs.densification, inputs.iterations, GROWN_AT)
        self.events = event_steps(start, stop, growth_interval(inputs.densification, start, stop))
        self.surveys = Surveys(inputs, self.limit, resets_until=0)
        self.surveys.steps = [step for step in self.surveys.steps if step >= stop]  # before, the faint are on their way

    def facts(self) -> dict[str, Any]:
        """The limit and how it is reached."""
        return {"max_gaussians": self.limit, "events": len(self.events)}

    def after_step(self, iteration: int, draw: Draw) -> dict[str, int]:
        """Shake, move and add, survey when due. UserError when no Gaussian is left."""
        gaussians, optimizer, generator = self.inputs.gaussians, self.inputs.optimizer, self.inputs.generator
        counts, nothing = Counter[str](), NoRows()
        self.compared.clear()
        self._shake()
        if iteration in self.events:
            opacities = gaussians.activated_opacities.detach().squeeze(1)
            dead = opacities <= DEAD
            note(self.compared, "relocated", opacities, DEAD, gaussians)
            counts["relocated"] = relocate(gaussians, optimizer, nothing, dead, generator)
            room = min(self.limit, int(GROWTH * gaussians.total)) - gaussians.total
            counts["added"] = add_copies(gaussians, optimizer, nothing, room, generator)
        if self.surveys.due(iteration):
            counts.update(self.surveys.judge(draw, nothing, self.compared)._asdict())
        if iteration == self.inputs.iterations:
            counts["opacity"] += self._drop_unseen(nothing)
        check_some_left(gaussians, iteration)
        return dict(counts)

    @torch.no_grad()
    def _shake(self) -> None:
        """Equation 8: noise of the Gaussian's own shape, for what is nearly transparent.

        Lengths are taken in extents, so that the unit of the scene does not matter; where the extent is `PAPER_EXTENT`
        the noise is the paper's Σ·ξ · sigmoid(−100·(o − 0.005)) · 5·10⁵ · learning rate.

        A step takes one number of the run's generator, however many are shaken: which these are hangs on the rounding
        of their opacities, and neither the others' noise nor the order of the photos may.
        """
        gaussians, extent = self.inputs.gaussians, self.inputs.scene.extent
        gates = 1 / (1 + torch.exp(GATE * (gaussians.activated_opacities.squeeze(1) - DEAD)))
        rows = (gates > QUIET).nonzero().squeeze(1)
        seed = int(torch.randint(2**62, (), generator=self.inputs.generator))
        random = normals_at(gaussians.places_among_all()[rows], seed).to(gaussians.means)
        factor = self.inputs.options.noise_lr * self.inputs.optimizer.rates["means"] / extent * PAPER_EXTENT**2
        variances = (gaussians.activated_scales[rows] / extent) ** 2
        noise = rotate(gaussians.quats[rows], variances * random)  # distributed as Σ·ξ = R·S²·Rᵀ·ξ
        gaussians.means[rows] += noise * (gates[rows] * factor * extent)[:, None]

    def _drop_unseen(self, nothing: NoRows) -> int:
        """Remove what no pixel shows, at the end of the run."""
        kept = self.inputs.gaussians.activated_opacities.detach().squeeze(1) >= LEAST_SEEN
        before = self.inputs.gaussians.total
        edit_rows(self.inputs.gaussians, self.inputs.optimizer, nothing, kept)
        return before - self.inputs.gaussians.total

    def expected_count(self, progress: float) -> float:
        """By the growth from the number that there is at the start."""
        done = sum(step <= progress * self.inputs.iterations for step in self.events)
        return float(min(self.limit, self.first_count * GROWTH**done))

    def state_dict(self) -> dict[str, Any]:
        """Where growth began."""
        return {"first_count": self.first_count}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.first_count = state["first_count"]
