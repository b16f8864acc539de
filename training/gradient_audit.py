"""The audit of the loss: what each term alone does to each parameter.

A term is a scalar tensor in the graph, before its weight. Parameters are the leaves that the optimizer moves, by name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

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


def audit(
    terms: Mapping[str, Tensor], weights: Mapping[str, float], parameters: Mapping[str, Tensor]
) -> list[AuditRow]:
    """A row for each term, by a backward pass for each; the graph and all `grad` stay as they are.

    To be called before `retain_grad` of any tensor inside the graph, which would gather these passes too.
    """
    groups = {group: names for group, names in GROUPS.items() if not parameters.keys().isdisjoint(names)}
    values = {name: term.item() for name, term in terms.items()}
    parts = {name: abs(weights[name] * value) for name, value in values.items()}
    norms = {name: _group_norms(term, weights[name], parameters, groups) for name, term in terms.items()}
    totals = {group: sum(norms[name][group] for name in terms) for group in groups}
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
    head = ["term", "value", "weight", "of the loss", *(rows[0].gradients if rows else GROUPS)]
    return table([head, *(_cells(row) for row in rows)])


def audit_entry(rows: Sequence[AuditRow]) -> dict[str, Any]:
    """The same for metrics.jsonl: term -> value, weight, share, gradients, gradient_shares."""
    return {row.term: {key: value for key, value in row._asdict().items() if key != "term"} for row in rows}


def _cells(row: AuditRow) -> list[str]:
    norms = [f"{norm:.2e} {row.gradient_shares[group]:4.0%}" for group, norm in row.gradients.items()]
    return [row.term, f"{row.value:.4g}", f"{row.weight:.4g}", f"{row.share:.1%}", *norms]


def _group_norms(
    term: Tensor, weight: float, parameters: Mapping[str, Tensor], groups: Mapping[str, Sequence[str]]
) -> dict[str, float]:
    gradients = dict(zip(parameters, gradients_of(term, parameters), strict=True))
    squares = {name: 0.0 if each is None else each.double().square().sum().item() for name, each in gradients.items()}
    return {group: weight * math.sqrt(sum(squares.get(name, 0.0) for name in names)) for group, names in groups.items()}


def gradients_of(term: Tensor, parameters: Mapping[str, Tensor]) -> Sequence[Tensor | None]:
    """By each parameter; None where the term does not depend on it."""
    if not term.requires_grad:
        return [None] * len(parameters)
    return torch.autograd.grad(term, list(parameters.values()), retain_graph=True, allow_unused=True)


def _part(value: float, total: float) -> float:
    return value / total if total > 0 else 0.0
