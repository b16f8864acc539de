"""The audit of the loss: what each term alone does to each parameter.

A term is a scalar tensor in the graph, before its weight. Parameters are the leaves that the optimizer moves, by name.
On several ranks each has a part of a term, or none; all of them take its gradient together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gaussian_renderer.sharded import NOTHING
from scene.gaussians.model import PARAMETERS
from utils.distributed import ONE, Ranks
from utils.text import table

GROUPS = {  # as they are shown -> parameters
    "xyz": ("means",),
    "scaling": ("scales",),
    "rotation": ("quats",),
    "opacity": ("opacities",),
    "features": ("shs_dc", "shs_rest"),
    "exposure": ("exposures",),  # these two where a run learns them
    "pose": ("translations", "rotations"),
}


class AuditRow(NamedTuple):
    """What one term does in one step."""

    term: str
    value: float  # before its weight
    weight: float
    share: float  # of the loss: |weight · value| over the sum of those of all terms
    gradients: dict[str, float]  # group -> norm of the weighted term's gradient
    gradient_shares: dict[str, float]  # group -> that norm over the sum of those of all terms


class Together(NamedTuple):
    """How the ranks take gradients of a photo's terms: all of them, in the same order."""

    ranks: Ranks = ONE
    anchor: Tensor = NOTHING  # of `Batch`: a term of every rank, by which all come to the exchange

    def names(self, terms: Mapping[str, Tensor]) -> list[str]:
        """Of the terms that some rank has a part in; the one that draws the photo has a part in all of them."""
        return max(self.ranks.objects(list(terms)), key=len)

    def value(self, term: Tensor | None) -> Tensor:
        """() the whole term, of the part that each rank has."""
        if self.ranks.size == 1:
            assert term is not None
            return term
        own = torch.zeros((), device=self.ranks.device) if term is None else term.detach().clone()
        return self.ranks.sum_(own)

    def gradients(self, term: Tensor | None, parameters: Mapping[str, Tensor]) -> list[Tensor | None]:
        """By each parameter; None where the term does not depend on it. Of what a rank owns they are whole, of what all
        have each has a part."""
        parts = [each for each in (term, self.anchor) if each is not None and each.requires_grad]
        if not parts:
            return [None] * len(parameters)
        leaves = list(parameters.values())
        return list(torch.autograd.grad(parts, leaves, retain_graph=True, allow_unused=True))


ALONE = Together()


def audit(
    terms: Mapping[str, Tensor],
    weights: Mapping[str, float],
    parameters: Mapping[str, Tensor],
    together: Together = ALONE,
) -> list[AuditRow]:
    """A row for each term, by a backward pass for each; the graph and all `grad` stay as they are.

    To be called before `retain_grad` of any tensor inside the graph, which would gather these passes too.
    """
    groups = {group: names for group, names in GROUPS.items() if not parameters.keys().isdisjoint(names)}
    names = together.names(terms)
    values = {name: together.value(terms.get(name)).item() for name in names}
    parts = {name: abs(weights[name] * value) for name, value in values.items()}
    norms = {name: _group_norms(terms.get(name), weights[name], parameters, groups, together) for name in names}
    totals = {group: sum(norms[name][group] for name in names) for group in groups}
    return [
        AuditRow(
            name,
            values[name],
            weights[name],
            _part(parts[name], sum(parts.values())),
            norms[name],
            {group: _part(norm, totals[group]) for group, norm in norms[name].items()},
        )
        for name in names
    ]


def audit_table(rows: Sequence[AuditRow]) -> str:
    """What `--audit_gradients` says: the norm of each weighted term's gradient by each group, and its share there."""
    head = ["term", "value", "weight", "of the loss", *(rows[0].gradients if rows else GROUPS)]
    return table([head, *(_cells(row) for row in rows)])


def audit_entry(rows: Sequence[AuditRow]) -> dict[str, Any]:
    """The same for metrics.jsonl: term -> value, weight, share, gradients, gradient_shares."""
    return {row.term: {key: value for key, value in row._asdict().items() if key != "term"} for row in rows}


def _cells(row: AuditRow) -> list[str]:
    norms = [f"{norm:.2e} {row.gradient_shares[group]:4.0%}" for group, norm in row.gradients.items()]
    return [row.term, f"{row.value:.4g}", f"{row.weight:.4g}", f"{row.share:.1%}", *norms]


def _group_norms(
    term: Tensor | None,
    weight: float,
    parameters: Mapping[str, Tensor],
    groups: Mapping[str, Sequence[str]],
    together: Together,
) -> dict[str, float]:
    gradients = zip(parameters.items(), together.gradients(term, parameters), strict=True)
    squares = {name: _square(name, leaf, gradient, together.ranks) for (name, leaf), gradient in gradients}
    return {group: weight * math.sqrt(sum(squares.get(name, 0.0) for name in names)) for group, names in groups.items()}


def _square(name: str, leaf: Tensor, gradient: Tensor | None, ranks: Ranks) -> float:
    """Of the norm of the whole gradient: its rows are the ranks' own, or each has a part of all of them."""
    if ranks.size == 1 and gradient is None:
        return 0.0
    own = (torch.zeros_like(leaf) if gradient is None else gradient).double()
    if name in PARAMETERS:
        return ranks.sum_(own.square().sum()).item()
    return ranks.sum_(own).square().sum().item()


def _part(value: float, total: float) -> float:
    return value / total if total > 0 else 0.0
