"""Everything that changes during a run, and its way into a checkpoint and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from scene.gaussians.model import PARAMETERS, Gaussians
from scene.gaussians.optimizer import Optimizer
from scene.loading.image_cache import LoadedView, ShuffledViews
from training.strategies import make_strategy
from training.strategies.base import Strategy, StrategyInputs
from utils.errors import UserError

ENTRIES = ("iteration", "gaussians", "optimizer", "strategy", "photos", "generator")  # of a checkpoint


@dataclass
class TrainingState:
    """The state after `iteration` steps. With the same settings it determines all that follows, to the bit."""

    gaussians: Gaussians
    optimizer: Optimizer
    strategy: Strategy
    photos: ShuffledViews
    generator: torch.Generator  # on the CPU; every random number of the run comes from it
    iteration: int = 0
    _begun: dict[str, Any] | None = None  # what chance had in store before the step that is being made

    @classmethod
    def start(cls, inputs: StrategyInputs) -> TrainingState:
        """The state before the first step, with the strategy made from `inputs`."""
        strategy = make_strategy(inputs.densification.strategy, inputs)
        photos = ShuffledViews(inputs.photos, inputs.generator)
        return cls(inputs.gaussians, inputs.optimizer, strategy, photos, inputs.generator)

    @property
    def strategy_name(self) -> str:
        """By which `make_strategy` made the strategy."""
        return self.strategy.inputs.densification.strategy

    def next_photo(self) -> LoadedView:
        """Begin a step with the photo that it is to look at."""
        self._begun = self._chance()
        return self.photos.next()

    def step_done(self) -> None:
        """The Gaussians have moved: the step counts."""
        self.iteration += 1
        self._begun = None

    def to_checkpoint(self) -> dict[str, Any]:
        """What `restore` needs; shares memory with the state. A step that is not done has not begun."""
        return {
            "iteration": self.iteration,
            "gaussians": {name: self.gaussians.parameters[name].detach() for name in PARAMETERS},
            "optimizer": self.optimizer.state(),
            "strategy": {"name": self.strategy_name, "state": self.strategy.state_dict()},
            **(self._begun or self._chance()),
        }

    def _chance(self) -> dict[str, Any]:
        return {"photos": self.photos.state(), "generator": self.generator.get_state()}

    def restore(self, checkpoint: Mapping[str, Any]) -> None:
        """Become the state that `to_checkpoint` described. UserError when it is of other photos or strategy."""
        name = checkpoint["strategy"]["name"]
        if name != self.strategy_name:
            raise UserError(f"--strategy {self.strategy_name}: the checkpoint was made with --strategy {name}")
        self.photos.load_state(checkpoint["photos"])
        self.iteration = checkpoint["iteration"]
        for name in PARAMETERS:
            self.gaussians.replace(name, checkpoint["gaussians"][name])
        self.optimizer.load_state(checkpoint["optimizer"])
        self.strategy.load_state_dict(checkpoint["strategy"]["state"])
        self.generator.set_state(checkpoint["generator"].cpu())
