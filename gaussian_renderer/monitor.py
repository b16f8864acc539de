"""What a run says of its steps: alarms, the numbers of the log, and the audit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from arguments import TrainOptions
from diff_gaussian_rasterization import RasterOutput
from gaussian_renderer.objective import FLAGS, Objective
from scene.gaussians import Gaussians
from scene.prune import Pruned
from scene.views import Photo
from utils import regularizers
from utils.gradient_health import (
    BalanceWatch,
    EffectWatch,
    audit,
    audit_entry,
    audit_table,
    check_finite,
    distortion_line,
)
from utils.report import Report

AUDIT_EVERY = 500  # steps
BALANCE_EVERY = 100
LINE_EVERY = 100
IMAGES = ("color", "inv_depth", "depth", "alpha", "distortion")  # of the rasterizer


class Step(NamedTuple):
    """A training step from its forward pass on."""

    iteration: int
    photo: Photo
    output: RasterOutput
    terms: dict[str, Tensor]  # of the loss, without their weights
    weights: dict[str, float]


class Monitor:
    """Looks at each step of a run and tells the report."""

    def __init__(self, options: TrainOptions, objective: Objective, gaussians: Gaussians, report: Report) -> None:
        self.run, self.objective, self.gaussians, self.report = options.run, objective, gaussians, report
        self.effects, self.balance = EffectWatch(FLAGS), BalanceWatch()
        self.values: dict[str, float] = {}  # of the step's terms

    def before_backward(self, step: Step) -> None:
        """What takes backward passes of its own. UserError for a term without effect."""
        iteration, _, _, terms, weights = step
        parameters = self.gaussians.parameters
        if self.run.audit_gradients and iteration % AUDIT_EVERY in (0, 1):
            rows = audit(terms, weights, parameters)
            self.report.record(iteration, {"audit": audit_entry(rows)}, audit_table(rows))
        for text in self.effects.look(iteration, terms, weights, parameters, step.photo.camera.name):
            self.report.warning(text)

    def after_backward(self, step: Step) -> None:
        """UserError for a loss or a gradient that is not finite, before anything moves by it."""
        images = {name: getattr(step.output, name) for name in IMAGES}
        self.values = check_finite(
            step.terms, self.gaussians.parameters, step.iteration, step.photo.camera.name, images=images
        )

    def after_step(self, step: Step, pruned: Sequence[Pruned]) -> None:
        """The step's numbers, for the log and the screen."""
        iteration, values = step.iteration, self.values
        weighted = {name: step.weights[name] * value for name, value in values.items()}
        if iteration % BALANCE_EVERY == 0:
            for text in self.balance.look(iteration, weighted):
                self.report.warning(text)
        for each in pruned:
            self._record({"pruned": each._asdict()}, str(each), iteration)
        values["loss"] = sum(weighted.values())
        values.setdefault("distortion", self._mean_distortion(step))
        self.report.step(iteration, values, len(self.gaussians))
        if iteration % LINE_EVERY == 0:
            self._say_distortion(step, values["distortion"])

    @torch.no_grad()
    def _mean_distortion(self, step: Step) -> float:
        """What the term of the loss would be, where it has no weight."""
        output, mask = step.output, step.photo.mask
        return regularizers.distortion(output.distortion, output.alpha, self.objective.extent, mask).item()

    def _say_distortion(self, step: Step, mean: float) -> None:
        largest = regularizers.largest_distortion(step.output.distortion, self.objective.extent, step.photo.mask)
        at = {name: self.objective.schedules[name].at(step.iteration) for name in ("lambda_dist", "depth_l1_mult")}
        entry = {"depth_distortion": {"mean": mean, "max": largest, **at}}
        self._record(entry, distortion_line(step.iteration, mean, largest, **at), step.iteration)

    def _record(self, entry: dict[str, dict[str, float]], text: str, iteration: int) -> None:
        self.report.record(iteration, entry, text if self.run.verbose else "")
