"""Natural selection: opacities are pressed down until only so many Gaussians stand as are wanted.

The photos hold up what they need, and the rest sinks. The idea is that of GNS (Deng et al. 2025, arXiv:2511.16980),
which adds its pressure to the loss. Here it moves the logits of the opacities directly, between the optimizer's steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from scene.gaussians.columns import Columns
from scene.gaussians.optimizer import RowStatistics, edit_rows
from training.strategies.base import StrategyInputs
from training.strategies.densify import top_k_mask

BEGINS, ENDS = 0.7, 0.9  # of the run: growth has ended, and there is time to settle
FIRST_PRESSURE = 0.1  # of the learning rate of the opacities, a step
MENDED_EVERY, MENDED_BY = 10, 1.15  # steps; a factor on the pressure
PRUNED_EVERY, PRUNED_UNDER = 50, 0.005  # steps; opacity
FALLS = 4  # power of the time at which the number of Gaussians falls: most go at the end


class Selection:
    """The selection of one run, of `wanted` among all Gaussians; 0 for no selection.

    The opacity of the Gaussian that comes after the `wanted` most opaque ones is to fall to 0 along a straight line.
    Where it is over the line the pressure grows, where it is under it the pressure falls. From the end of selection on
    there are never more Gaussians than `wanted`.
    """

    def __init__(self, inputs: StrategyInputs, wanted: int) -> None:
        self.wanted = wanted
        self.pressure, self.height = 0.0, 0.0  # of the line when it began
        self.replan(inputs)

    def replan(self, inputs: StrategyInputs) -> None:
        """Fit it to the length of the run."""
        self.inputs = inputs
        self.begin, self.end = (round(part * inputs.iterations) for part in (BEGINS, ENDS))

    def on_at(self, iteration: int) -> bool:
        """Whether this step is one of the selection's."""
        return self.wanted > 0 and self.begin < iteration <= self.end

    def share_left(self, progress: float, most: float) -> float:
        """About what part is still there at this part of the run, of the `most` Gaussians that there were."""
        if not 0 < self.wanted < most:
            return 1.0
        done = min(max((progress - BEGINS) / (ENDS - BEGINS), 0.0), 1.0)
        return 1 - (1 - self.wanted / most) * done**FALLS

    @torch.no_grad()
    def after_step(self, iteration: int, statistics: RowStatistics) -> int:
        """Press, and prune what has sunk; how many Gaussians of all ranks went. A call of all ranks."""
        gaussians = self.inputs.gaussians
        if iteration <= self.begin or not 0 < self.wanted < gaussians.total:
            return 0
        if iteration >= self.end:
            return self._prune(statistics, too_many=gaussians.total - self.wanted)
        if self.pressure == 0:
            self.pressure, self.height = FIRST_PRESSURE, self._next_opacity()
        gaussians.opacities.sub_(self.pressure * self.inputs.optimizer.rates["opacities"])
        if iteration % MENDED_EVERY == 0:
            line = self.height * (self.end - iteration) / (self.end - self.begin)
            self.pressure *= MENDED_BY if self._next_opacity() > line else 1 / MENDED_BY
        return self._prune(statistics) if iteration % PRUNED_EVERY == 0 else 0

    def state_dict(self) -> dict[str, Any]:
        """How hard it presses, and from where."""
        return {"pressure": self.pressure, "height": self.height}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.pressure, self.height = float(state["pressure"]), float(state["height"])

    def _next_opacity(self) -> float:
        """Of the most opaque Gaussian that is not among those that are wanted."""
        opacities = Columns(self.inputs.gaussians).whole(self.inputs.gaussians.activated_opacities.flatten())
        return float(opacities.sort(descending=True).values[self.wanted])

    def _prune(self, statistics: RowStatistics, too_many: int = 0) -> int:
        gaussians = self.inputs.gaussians
        opacities, before = gaussians.activated_opacities.flatten(), gaussians.total
        every = torch.ones_like(opacities, dtype=torch.bool)
        gone = (opacities < PRUNED_UNDER) | top_k_mask(-opacities, every, too_many, gaussians)
        edit_rows(gaussians, self.inputs.optimizer, statistics, ~gone)
        return before - gaussians.total
