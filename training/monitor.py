"""What a run says of its steps: alarms, the numbers of the log, and the audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from arguments import RunOptions
from scene.gaussians.model import PARAMETERS, Gaussians
from training.async_scalars import AsyncScalars
from training.batch import Step
from training.corrections import Corrections
from training.gradient_audit import Together, audit, audit_entry, audit_table
from training.gradient_checks import (
    DominanceCheck,
    Pass,
    ZeroGradientCheck,
    all_finite,
    check_drawn,
    check_finite,
    distortion_line,
    finite_numbers,
)
from training.loss import Loss
from training.run_logger import RunLogger
from training.strategies.rule_log import RuleLog
from utils.losses import regularizers

AUDIT_EVERY = 500  # steps
BALANCE_EVERY = 100
LINE_EVERY = 100
TERM = "term of the distortion"  # where the loss has none
MEAN, LARGEST = "mean distortion", "largest distortion"  # of a view, in extents²
NONFINITE = "Gaussians culled as not finite"
EXTRA = (TERM, MEAN, LARGEST, NONFINITE)
IMAGES = ("color", "inv_depth", "depth", "alpha", "distortion")  # of the rasterizer


class Change(NamedTuple):
    """What a strategy did after a photo."""

    iteration: int
    changed: Mapping[str, int]  # counts by name
    compared: RuleLog  # by its rules


class Monitor:
    """Looks at each step of a run and tells the report.

    It never waits for the device: the numbers of a step are judged and reported when they have come, on a GPU a step
    later. Until then `after_backward` tells the optimizer on the device whether they are finite.

    Several ranks add their numbers up, so that all judge the same; these are waited for, as all wait for each other in
    each step.
    """

    def __init__(
        self,
        run: RunOptions,
        objective: Loss,
        gaussians: Gaussians,
        corrections: Corrections,
        report: RunLogger,
        rates: Mapping[str, float],
    ) -> None:
        """`rates`: the optimizer's, by parameter."""
        self.run, self.objective, self.gaussians, self.report = run, objective, gaussians, report
        self.rates = rates
        self.corrections = corrections
        self._position_rates: dict[int, float] = {}  # by iteration, of the steps that are not reported yet
        self.effects, self.balance = ZeroGradientCheck(objective.flags), DominanceCheck()
        self.corrected = {name: ZeroGradientCheck() for name in corrections.parameters}
        self._readings: AsyncScalars[Step] = AsyncScalars()
        self._judged: list[tuple[Step, dict[str, float]]] = []

    def before_backward(self, step: Step, anchor: Tensor) -> None:
        """What takes backward passes of its own. `anchor`: of `Batch`. UserError for a term without effect."""
        self._judge_arrived()  # the rendering has waited for all before it
        iteration, camera, together = step.iteration, step.camera.name, Together(self.gaussians.ranks, anchor)
        if self.run.audit_gradients and iteration % AUDIT_EVERY in (0, 1):
            rows = audit(step.terms, step.weights, self._parameters, together)
            self.report.record(iteration, {"audit": audit_entry(rows)}, audit_table(rows))
        for text in self.effects.look(iteration, step.terms, step.weights, self.gaussians.parameters, camera, together):
            self.report.warning(text)
        # Of the Gaussians alone, above: what is learned of a photo must not hide that they learn nothing of it.
        for name, check in self.corrected.items():
            l1 = {name: step.terms["l1"]} if "l1" in step.terms else {}
            check.look(iteration, l1, {name: 1.0}, {name: self._parameters[name]}, camera, together)

    def after_backward(self, steps: Sequence[Step]) -> Tensor:
        """() bool on the device: whether the losses and all gradients are finite. UserError where it is known not, or
        where Gaussians could not be drawn."""
        finite = []
        for step in steps:
            numbers = finite_numbers(step.terms, self._parameters)
            known, extra = self._of_all_ranks(step, numbers, self._extra(step))
            values = self._readings.put(step, known | extra)
            finite.append(all_finite(values[: len(known)]))
        self._judge_arrived(wait=self.gaussians.shard is not None)
        return finite[0] if len(finite) == 1 else torch.stack(finite).all()

    def _of_all_ranks(
        self, step: Step, numbers: dict[str, Tensor], extra: dict[str, Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Both, with the sum of what each rank has of a number."""
        ranks = self.gaussians.ranks
        if ranks.size == 1:
            return numbers, extra
        found = numbers | extra
        names = [*step.weights, *(f"the gradient by {name}" for name in (*PARAMETERS, *self.corrections.parameters))]
        table = torch.zeros(2, len(names) + len(EXTRA), dtype=torch.float64, device=ranks.device)
        for column, name in enumerate((*names, *EXTRA)):
            if name in found:
                table[0, column], table[1, column] = found[name].detach(), 1
        sums, counts = ranks.sum_(table).unbind(0)
        told = {name: sums[i] for i, name in enumerate((*names, *EXTRA)) if counts[i] > 0}
        known = {name: value for name, value in told.items() if name not in EXTRA}
        return known, {name: value for name, value in told.items() if name in EXTRA}

    def after_step(self, changes: Sequence[Change], wait: bool) -> None:
        """Report what changed after each photo, and what is known; with `wait` all up to this step. UserError for what
        was not finite."""
        for iteration, changed, compared in changes:
            self._position_rates[iteration] = self.rates["means"]
            if changed:
                text = f"{counts_text(changed)}{compared_text(compared)}" if self.run.verbose else ""
                self.report.record(iteration, {"densification": dict(changed), "compared": dict(compared)}, text)
        if wait:
            self._judge_arrived(wait=True)
        for earlier, numbers in self._judged:
            self._report(earlier, numbers)
        self._judged.clear()

    @property
    def _parameters(self) -> dict[str, nn.Parameter]:
        return self.gaussians.parameters | self.corrections.parameters

    def _judge_arrived(self, wait: bool = False) -> None:
        for step, numbers in self._readings.arrived(wait):
            camera, parameters = step.camera.name, self._parameters
            extra = {name: numbers.pop(name) for name in EXTRA if name in numbers}
            check_finite(numbers, step.iteration, camera, parameters, again=partial(self._again, step))
            check_drawn(int(extra[NONFINITE]), step.iteration, camera, parameters)
            self._judged.append((step, numbers | extra))

    def _again(self, step: Step) -> Pass:
        """Render a step's view again, and its loss; nothing where that takes all ranks."""
        if step.photo is None or self.gaussians.shard is not None:
            return Pass({}, {})
        output = self.corrections.render(self.gaussians, step.photo, step.background, step.settings)
        terms = self.objective.terms(output, step.photo, step.background, self.gaussians, step.weights)
        return Pass({name: getattr(output, name) for name in IMAGES}, terms)

    def _report(self, step: Step, numbers: dict[str, float]) -> None:
        terms = step.terms if self.gaussians.shard is None else [name for name in step.weights if name in numbers]
        values = {name: numbers[name] for name in terms}
        weighted = {name: step.weights[name] * value for name, value in values.items()}
        if step.iteration % BALANCE_EVERY == 0:
            for text in self.balance.look(step.iteration, weighted):
                self.report.warning(text)
        values.setdefault("distortion", numbers.get(TERM, 0.0))
        schedules = {
            **step.weights,
            "sh_degree": step.settings.sh_degree,
            "position_lr": self._position_rates.pop(step.iteration),
        }
        self.report.step(step.iteration, {**values, "loss": sum(weighted.values())}, self.gaussians.total, schedules)
        if LARGEST in numbers:
            at = {name: self.objective.schedules[name].at(step.iteration) for name in ("lambda_dist", "depth_l1_mult")}
            entry = {"depth_distortion": {"mean": numbers[MEAN], "max": numbers[LARGEST], **at}}
            line = distortion_line(step.iteration, numbers[MEAN], numbers[LARGEST], **at)
            self.report.record(step.iteration, entry, line)

    @torch.no_grad()
    def _extra(self, step: Step) -> dict[str, Tensor]:
        """What the log shows of a rendering, and the loss does not need."""
        numbers = {NONFINITE: step.seen.num_nonfinite.float()}
        output = step.output
        if output is None or step.photo is None:
            return numbers
        mask, extent = step.photo.mask, self.objective.extent
        if "distortion" not in step.terms:
            numbers[TERM] = self.objective.distortion(output, step.photo.mask, step.weights["distortion"])
        if step.iteration % LINE_EVERY == 0:
            numbers[MEAN] = regularizers.distortion(output.distortion, output.alpha, extent, mask)
            numbers[LARGEST] = regularizers.largest_distortion(output.distortion, extent, mask)
        return numbers


def compared_text(compared: RuleLog) -> str:
    """For the log, of each rule: "; gradient against 0.0003: median 0.0001, largest 0.002"."""
    return "".join(
        f"; {rule.replace('_', ' ')} against {found['threshold']:.3g}: median {found['median']:.3g}, "
        f"largest {found['largest']:.3g}"
        for rule, found in compared.items()
    )


def counts_text(changed: Mapping[str, int]) -> str:
    """For the log: "densification: 12 cloned, 3 needle"."""
    counts = (f"{count:,} {name.replace('_', ' ')}" for name, count in changed.items() if count)
    return f"densification: {', '.join(counts) or 'no change'}"
