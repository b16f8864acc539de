"""What a densification strategy is: how it is made, asked, saved and restored."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import torch

from arguments import DensificationOptions, RegularizerOptions, SpikeOptions
from diff_gaussian_rasterization import RasterOutput
from scene.gaussians.model import Gaussians
from scene.gaussians.optimizer import Optimizer
from scene.loading.image_cache import ViewCache
from scene.types import Camera, Scene

Draw = Callable[[Camera], RasterOutput]  # with the rasterizer's statistics


class StrategyInputs(NamedTuple):
    """What a strategy is made from. It may change the Gaussians and the optimizer, by `edit_rows` where rows change."""

    iterations: int  # of the run
    densification: DensificationOptions
    spikes: SpikeOptions
    regularizers: RegularizerOptions
    options: Any  # an instance of the strategy's `Options`; None where it has none
    scene: Scene
    gaussians: Gaussians
    optimizer: Optimizer
    photos: ViewCache
    generator: torch.Generator  # on the CPU; the only source of random numbers


class Strategy(ABC):
    """Changes the number of Gaussians over a run. Its methods are called in the order in which they stand here."""

    Options: ClassVar[type | None] = None  # a frozen dataclass of `utils.options.option`: flags of train.py

    def __init__(self, inputs: StrategyInputs) -> None:
        self.inputs = inputs

    def facts(self) -> dict[str, Any]:
        """Numbers for run.json that the strategy derived from the options and the scene."""
        return {}

    def before_backward(self, output: RasterOutput) -> None:  # noqa: B027 - not every strategy needs it
        """Ask for gradients that the backward pass would not keep."""

    def observe(self, iteration: int, output: RasterOutput, camera: Camera) -> None:  # noqa: B027
        """Gather statistics of one view after its backward pass."""

    @abstractmethod
    def after_step(self, iteration: int, draw: Draw) -> dict[str, int]:
        """Change the Gaussians after the optimizer's step; the number of changed Gaussians by name, empty if not due.

        `draw` renders a camera with the Gaussians as they are now, with the rasterizer's statistics.
        """

    def state_dict(self) -> dict[str, Any]:
        """Everything that a checkpoint must keep: tensors, numbers, strings and dicts or lists of them."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # noqa: B027
        """Continue from what `state_dict` returned."""
