"""What a densification strategy is: how it is made, asked, saved and restored."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor

from arguments import DensificationOptions, RegularizerOptions, SpikeOptions
from diff_gaussian_rasterization import RasterOutput
from scene.gaussians.model import Gaussians
from scene.gaussians.optimizer import Optimizer
from scene.loading.image_cache import ViewCache
from scene.types import Camera, Scene
from training.strategies.rule_log import RuleLog


class Render(Protocol):
    """Renders a camera with the Gaussians as they are now."""

    def __call__(self, camera: Camera, /) -> RasterOutput: ...


class Look(NamedTuple):
    """A camera of which sums over its pixels are asked."""

    camera: Camera
    drawn_by: int  # the rank that renders it
    maps: Callable[[Tensor], Tensor] | None  # the picture in the photo's exposure to three numbers a pixel; there


class PixelSums(Protocol):
    """For each look (N,3): the sums over all pixels of a Gaussian's weight there times each of the three numbers."""

    def __call__(self, looks: Sequence[Look], /) -> list[Tensor]: ...


class Draw(NamedTuple):
    """What a strategy may render between two steps: on all ranks at once, where there are several. What is of each
    Gaussian is then of the rank's own, pictures are of all."""

    surveyed: Render  # with the rasterizer's statistics
    pixel_sums: PixelSums
    background: Tensor  # (3,) of both


class Observed(Protocol):
    """What a view has shown of the rank's Gaussians."""

    @property
    def means2d(self) -> Tensor:
        """(N, 2) pixels, with a gradient."""

    @property
    def radii(self) -> Tensor:
        """(N,) int32, pixels; 0 for a Gaussian that can touch no pixel."""


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
    absgrad: ClassVar[bool] = False  # whether `observe` needs `output.means2d.absgrad`
    regularizers: ClassVar[Mapping[str, float]] = {}  # term of the loss -> its weight, where the options leave it open

    count_is_known: ClassVar[bool] = False  # whether `expected_count` is more than a guess
    sharded: ClassVar[bool] = False  # whether its decisions are those of all ranks, where the Gaussians are spread out

    def __init__(self, inputs: StrategyInputs) -> None:
        self.compared: RuleLog = {}  # what the rules of the last change compared with their thresholds, for the log
        self.replan(inputs)

    def replan(self, inputs: StrategyInputs) -> None:
        """Fit the steps at which something is due to the run; again when it gets another length."""
        self.inputs = inputs

    def facts(self) -> dict[str, Any]:
        """Numbers for run.json that the strategy derived from the options and the scene."""
        return {}

    def expected_count(self, progress: float) -> float:
        """About how many Gaussians there will be at this later part of the run, 0 to 1; to plan its time by."""
        return float(self.inputs.gaussians.total)

    def before_backward(self, output: Observed) -> None:  # noqa: B027 - not every strategy needs it
        """Ask for gradients that the backward pass would not keep."""

    def observe(self, iteration: int, output: Observed, camera: Camera) -> None:  # noqa: B027
        """Gather statistics of one view after its backward pass."""

    @abstractmethod
    def after_step(self, iteration: int, draw: Draw) -> dict[str, int]:
        """Change the Gaussians after the optimizer's step; the number of changed Gaussians by name, empty if not due.

        What rules compare with their thresholds goes to `compared`, by `rule_log.note`.

        `draw` renders cameras with the Gaussians as they are now.
        """

    def state_dict(self) -> dict[str, Any]:
        """Everything that a checkpoint must keep: tensors, numbers, strings and dicts or lists of them."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # noqa: B027
        """Continue from what `state_dict` returned."""
