"""Nothing in the loss is without effect unseen: what each term does to each parameter, and alarms when it is nothing.

A term is a scalar tensor in the graph, before its weight. Parameters are the leaves that the optimizer moves, by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from utils.errors import UserError
from utils.words import table

GROUPS = {  # as they are shown -> parameters
    "xyz": ("means",),
    "scaling": ("scales",),
    "rotation": ("quats",),
    "opacity": ("opacities",),
    "features": ("shs_dc", "shs_rest"),
}
PHOTOMETRIC = ("l1", "dssim")
BALANCE = 20.0  # times the photometric term: beyond that another one rules


# ---- the audit: every term alone


class AuditRow(NamedTuple):
    """What one term does in one step."""

    term: str
    value: float  # before its weight
    weight: float
    share: float  # of the loss: |weight · value| over the sum of those of all terms
    gradients: dict[str, float]  # group -> norm of the weighted term's gradient
    gradient_shares: dict[str, float]  # group -> that norm over the sum of those of all terms


def audit(
    terms: Mapping[str, Tensor], weights: Mapping[str, float], parameters: Mapping[str, Tensor]
) -> list[AuditRow]:
    """A row for each term, by a backward pass for each; the graph and all `grad` stay as they are.

    To be called before `retain_grad` of any tensor inside the graph, which would gather these passes too.
    """
    values = {name: term.item() for name, term in terms.items()}
    parts = {name: abs(weights[name] * value) for name, value in values.items()}
    norms = {name: _group_norms(term, weights[name], parameters) for name, term in terms.items()}
    totals = {group: sum(norms[name][group] for name in terms) for group in GROUPS}
    return [
        AuditRow(
            name,
            values[name],
            weights[name],
            _part(parts[name], sum(parts.values())),
            norms[name],
            {group: _part(norm, totals[group]) for group, norm in norms[name].items()},
        )
        for name in terms
    ]


def audit_table(rows: Sequence[AuditRow]) -> str:
    """What `--audit_gradients` says: the norm of each weighted term's gradient by each group, and its share there."""
    head = ["term", "value", "weight", "of the loss", *GROUPS]
    return table([head, *(_cells(row) for row in rows)])


def audit_entry(rows: Sequence[AuditRow]) -> dict[str, Any]:
    """The same for metrics.jsonl: term -> value, weight, share, gradients, gradient_shares."""
    return {row.term: {key: value for key, value in row._asdict().items() if key != "term"} for row in rows}


def _cells(row: AuditRow) -> list[str]:
    norms = [f"{row.gradients[group]:.2e} {row.gradient_shares[group]:4.0%}" for group in GROUPS]
    return [row.term, f"{row.value:.4g}", f"{row.weight:.4g}", f"{row.share:.1%}", *norms]


def _group_norms(term: Tensor, weight: float, parameters: Mapping[str, Tensor]) -> dict[str, float]:
    gradients = dict(zip(parameters, _gradients(term, parameters), strict=True))
    squares = {name: 0.0 if each is None else each.double().square().sum().item() for name, each in gradients.items()}
    return {group: weight * math.sqrt(sum(squares.get(name, 0.0) for name in names)) for group, names in GROUPS.items()}


def _gradients(term: Tensor, parameters: Mapping[str, Tensor]) -> Sequence[Tensor | None]:
    """By each parameter; None where the term does not depend on it."""
    if not term.requires_grad:
        return [None] * len(parameters)
    return torch.autograd.grad(term, list(parameters.values()), retain_graph=True, allow_unused=True)


def _part(value: float, total: float) -> float:
    return value / total if total > 0 else 0.0


# ---- terms without effect


class EffectWatch:
    """Stops a run in which a term has a weight and a value, but a gradient of exactly 0.

    It is the gradient by the parameters that counts: one that a rasterizer or a loss drops on its way back is 0 there,
    whatever it is by the rendered image. That takes a backward pass for each term looked at, so it is done rarely:
    every `EVERY` iterations until the term has shown an effect, from then on every `EVERY_PROVEN`, and often again
    after a look that found none. Each look that finds none stands for `EVERY` iterations; at `PATIENCE` the run stops.

    A value of exactly 0 with a gradient of 0 is no fault: there is nothing to ask of this view (no valid depth, no
    needle). Such a look counts neither way. But a term that was 0 in every look of `IDLE` iterations is worth one
    warning: it may never do anything.
    """

    PATIENCE = 100  # iterations
    EVERY = 20
    EVERY_PROVEN = 200
    IDLE = 1000

    def __init__(self, flags: Mapping[str, str] | None = None) -> None:
        """`flags`: term -> the setting that is its weight, as the message is to name it."""
        self.flags = dict(flags or {})
        self.silent: dict[str, int] = {}  # term -> iterations without effect so far; a proven term has 0
        self.idle: dict[str, int] = {}  # term -> iterations at 0, until its first other value

    def look(
        self,
        iteration: int,
        terms: Mapping[str, Tensor],
        weights: Mapping[str, float],
        parameters: Mapping[str, Tensor],
        camera: str,
    ) -> list[str]:
        """After the forward pass of each iteration, before `retain_grad` and the backward pass; returns warnings.

        Iterations count from 1. `grad` and the graph stay as they are. UserError when a term has no effect.
        """
        due = [name for name in terms if weights[name] > 0 and self._due(name, iteration)]
        warnings = []
        for name in due:
            if any(each is not None and bool(each.any()) for each in _gradients(terms[name], parameters)):
                self.silent[name] = 0
                self.idle[name] = -1
            elif terms[name].item() == 0:
                warnings += self._note_idle(name, weights[name])
            else:
                self._note_silent(name, weights[name], terms[name].item(), iteration, camera)
        return warnings

    def _due(self, name: str, iteration: int) -> bool:
        proven = self.silent.get(name) == 0
        return iteration % (self.EVERY_PROVEN if proven else self.EVERY) == 0

    def _note_silent(self, name: str, weight: float, value: float, iteration: int, camera: str) -> None:
        self.silent[name] = self.silent.get(name, 0) + self.EVERY
        if self.silent[name] >= self.PATIENCE:
            raise UserError(
                f"{self._setting(name)} = {weight:g} has no effect: the term {name} is {value:.4g} (iteration "
                f"{iteration}, photo {camera}), but for {self.silent[name]} iterations its gradient by every parameter "
                "has been exactly 0; it is lost on the way back through the loss or the rasterizer"
            )

    def _note_idle(self, name: str, weight: float) -> list[str]:
        if self.idle.get(name, 0) < 0:
            return []
        self.idle[name] = self.idle.get(name, 0) + self.EVERY
        if self.idle[name] != self.IDLE:
            return []
        return [
            f"{self._setting(name)} = {weight:g}, but the term {name} was 0 whenever it was looked at for "
            f"{self.IDLE} iterations: nothing in these views calls for it, or its data are missing"
        ]

    def _setting(self, name: str) -> str:
        return self.flags.get(name, f"the weight of {name}")


# ---- what is not finite


def check_finite(
    terms: Mapping[str, Tensor],
    parameters: Mapping[str, Tensor],
    iteration: int,
    camera: str,
    *,
    images: Mapping[str, Tensor] | None = None,
    terms_again: Callable[[], Mapping[str, Tensor]] | None = None,
) -> dict[str, float]:
    """The terms as numbers, once they and the parameters' gradients are known to be finite: after the backward pass.

    Otherwise UserError, before the optimizer loses every parameter to it, naming the term, the iteration, the camera
    and the first offending tensor of the step: a parameter, one of `images` (name -> what was rendered), a term, a
    gradient. `terms_again` renders the same view again: with it the term is found whose gradient is not finite though
    its value is.
    """
    values = {name: term.item() for name, term in terms.items()}
    gradients = {name: each.grad for name, each in parameters.items() if each.grad is not None}
    bad_terms = [name for name, value in values.items() if not math.isfinite(value)]
    # A sum is not finite where an element is not, and takes less time than a look at each.
    if not bad_terms and all(math.isfinite(each.sum().item()) for each in gradients.values()):
        return values
    tensors = {
        **{f"the parameter {name}": each for name, each in parameters.items()},
        **{f"the rendered {name}": each for name, each in (images or {}).items()},
        **{f"the term {name}": each for name, each in terms.items()},
        **{f"the gradient by {name}": each for name, each in gradients.items()},
    }
    offending = next(_offending(tensors), None)
    if offending is None:  # large numbers whose sum overflows
        return values
    named = bad_terms or _terms_with_bad_gradients(terms_again() if terms_again else {}, parameters)
    whose = f"the term {named[0]}" if named else "the loss"
    what = f"is {values[named[0]]}" if bad_terms else "has a gradient that is not finite"
    raise UserError(
        f"iteration {iteration}: {whose} {what} for the photo {camera}; the first tensor that is not finite is "
        f"{offending}; --detect_anomaly names the operation that made it so"
    )


def _offending(tensors: Mapping[str, Tensor]) -> Iterator[str]:
    for name, tensor in tensors.items():
        bad = int((~torch.isfinite(tensor.detach())).sum())
        if bad:
            yield f"{name} ({bad:,} of {tensor.numel():,} values)"


def _terms_with_bad_gradients(terms: Mapping[str, Tensor], parameters: Mapping[str, Tensor]) -> list[str]:
    return [
        name
        for name, term in terms.items()
        if any(each is not None and not torch.isfinite(each).all() for each in _gradients(term, parameters))
    ]


# ---- balance


class BalanceWatch:
    """Warns, once for each, of a weighted term that is over `BALANCE` times the photometric ones together."""

    def __init__(self, photometric: Collection[str] = PHOTOMETRIC) -> None:
        self.photometric = photometric
        self.warned: set[str] = set()

    def look(self, iteration: int, weighted: Mapping[str, float]) -> list[str]:
        """The new warnings. `weighted`: term -> weight · value, better as means over some iterations than of one."""
        whole = sum(weighted.get(name, 0.0) for name in self.photometric)
        ruling = [
            name
            for name, value in weighted.items()
            if name not in self.photometric and name not in self.warned and abs(value) > BALANCE * whole
        ]
        self.warned.update(ruling)
        return [
            f"iteration {iteration}: the weighted term {name} is {weighted[name]:.4g}, over {BALANCE:g} times the "
            f"photometric one ({whole:.4g}): it rules the training; check its unit, or lower its weight"
            for name in ruling
        ]


# ---- the line about distortion


def distortion_line(iteration: int, mean: float, largest: float, lambda_dist: float, depth_l1_mult: float) -> str:
    """The line of every 100 iterations that shows whether the distortion falls (`mean`, `largest`: in extents²)."""
    return (
        f"[Iter {iteration}] Depth Distortion Stats: mean={mean:.6f}, max={largest:.6f}, "
        f"lambda_dist={lambda_dist:.2f}, depth_l1_mult={depth_l1_mult:.2f}"
    )
