"""Nothing in the loss is without effect unseen: alarms for terms that do nothing, too much, or what is not finite.

A term is a scalar tensor in the graph, before its weight. Parameters are the leaves that the optimizer moves, by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from training.async_scalars import AsyncScalars
from training.gradient_audit import ALONE, Together
from utils.errors import UserError

PHOTOMETRIC = ("l1", "dssim")
BALANCE = 20.0  # times the photometric term: beyond that another one rules


# ---- terms without effect


class Look(NamedTuple):
    """At which term, and when."""

    term: str
    weight: float
    iteration: int
    camera: str


class ZeroGradientCheck:
    """Stops a run in which a term has a weight and a value, but a gradient of exactly 0.

    It is the gradient by the parameters that counts: one that a rasterizer or a loss drops on its way back is 0 there,
    whatever it is by the rendered image. That takes a backward pass for each term looked at, so it is done rarely:
    every `EVERY` iterations until the term has shown an effect, from then on every `EVERY_PROVEN`, and often again
    after a look that found none. Each look that finds none stands for `EVERY` iterations; at `PATIENCE` the run stops.

    A value of exactly 0 with a gradient of 0 is no fault: there is nothing to ask of this view (no valid depth, no
    needle). Such a look counts neither way. But a term that was 0 in every look of `IDLE` iterations is worth one
    warning: it may never do anything.

    What a look finds is judged when it has come from the device, for which nothing waits.
    """

    PATIENCE = 100  # iterations
    EVERY = 20
    EVERY_PROVEN = 200  # a multiple of EVERY
    IDLE = 1000

    def __init__(self, flags: Mapping[str, str] | None = None) -> None:
        """`flags`: term -> the setting that is its weight, as the message is to name it."""
        self.flags = dict(flags or {})
        self.silent: dict[str, int] = {}  # term -> iterations without effect so far; a proven term has 0
        self.idle: dict[str, int] = {}  # term -> iterations at 0, until its first other value
        self._looks: AsyncScalars[Look] = AsyncScalars()

    def look(
        self,
        iteration: int,
        terms: Mapping[str, Tensor],
        weights: Mapping[str, float],
        parameters: Mapping[str, Tensor],
        camera: str,
        together: Together = ALONE,
    ) -> list[str]:
        """After the forward pass of each iteration, before `retain_grad` and the backward pass; returns warnings.

        Iterations count from 1. `grad` and the graph stay as they are. UserError when a term has no effect. Several
        ranks look together, and judge the same.
        """
        if iteration % self.EVERY == 0:
            for name in together.names(terms):
                if weights[name] > 0 and self._due(name, iteration):
                    found = self._found(terms.get(name), parameters, together)
                    self._looks.put(Look(name, weights[name], iteration, camera), found)
        arrived = self._looks.arrived(wait=together.ranks.size > 1)
        return [text for look, found in arrived for text in self._judge(look, **found)]

    def _found(self, term: Tensor | None, parameters: Mapping[str, Tensor], together: Together) -> dict[str, Tensor]:
        """The value of a term, and whether some parameter has a gradient of it."""
        value = together.value(term)
        moved = [each.any() for each in together.gradients(term, parameters) if each is not None]
        effect = torch.stack(moved).any() if moved else torch.zeros_like(value)
        return {"value": value, "effect": together.ranks.max_(effect.to(value.dtype))}

    def _judge(self, look: Look, value: float, effect: float) -> list[str]:
        if effect:
            self.silent[look.term] = 0
            self.idle[look.term] = -1
        elif value == 0:
            return self._note_idle(look)
        else:
            self._note_silent(look, value)
        return []

    def _due(self, name: str, iteration: int) -> bool:
        proven = self.silent.get(name) == 0
        return iteration % (self.EVERY_PROVEN if proven else self.EVERY) == 0

    def _note_silent(self, look: Look, value: float) -> None:
        name = look.term
        self.silent[name] = self.silent.get(name, 0) + self.EVERY
        if self.silent[name] >= self.PATIENCE:
            raise UserError(
                f"{self._setting(name)} = {look.weight:g} has no effect: the term {name} is {value:.4g} (iteration "
                f"{look.iteration}, photo {look.camera}), but for {self.silent[name]} iterations its gradient by every "
                "parameter has been exactly 0; it is lost on the way back through the loss or the rasterizer"
            )

    def _note_idle(self, look: Look) -> list[str]:
        name = look.term
        if self.idle.get(name, 0) < 0:
            return []
        self.idle[name] = self.idle.get(name, 0) + self.EVERY
        if self.idle[name] != self.IDLE:
            return []
        return [
            f"{self._setting(name)} = {look.weight:g}, but the term {name} was 0 whenever it was looked at for "
            f"{self.IDLE} iterations: nothing in these views calls for it, or its data are missing"
        ]

    def _setting(self, name: str) -> str:
        return self.flags.get(name, f"the weight of {name}")


# ---- what is not finite


class Pass(NamedTuple):
    """What came of rendering a view: images and terms by name, in the graph."""

    images: Mapping[str, Tensor]
    terms: Mapping[str, Tensor]


def finite_numbers(terms: Mapping[str, Tensor], parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The numbers that are finite if a step is, after its backward pass: the terms, and the Euclidean norm of each
    gradient, taken of all gradients in one call. Adam squares gradients, so it must be able to.

    The largest absolute value would do as well, and takes torch 20 times as long.
    """
    gradients = {name: each.grad for name, each in parameters.items() if each.grad is not None and each.grad.numel()}
    names = [f"the gradient by {name}" for name in gradients]
    norms = torch._foreach_norm(list(gradients.values()), 2) if gradients else ()
    return {**terms, **dict(zip(names, norms, strict=True))}


def all_finite(numbers: Tensor) -> Tensor:
    """() bool, on the device: whether all of (K,) numbers are. `isfinite` and `all` would be five operations."""
    largest: Tensor = torch.linalg.vector_norm(numbers, math.inf)
    return largest < math.inf


def check_finite(
    numbers: Mapping[str, float],
    iteration: int,
    camera: str,
    parameters: Mapping[str, Tensor],
    again: Callable[[], Pass],
) -> None:
    """UserError unless all `finite_numbers` of a step are finite.

    It names the term, the iteration, the camera and the first offending tensor: a parameter, a rendered image, a term,
    a gradient. To find them the step is made `again`, which the parameters must not have moved since.
    """
    bad = [name for name, value in numbers.items() if not math.isfinite(value)]
    if not bad:
        return
    images, terms = again()
    gradients = {name: _named_gradients(term, parameters) for name, term in terms.items()}
    at_fault = [name for name in terms if name in bad] or [name for name in terms if any(_offending(gradients[name]))]
    tensors = {
        **{f"the parameter {name}": each for name, each in parameters.items()},
        **{f"the rendered {name}": each for name, each in images.items()},
        **{f"the term {name}": each for name, each in terms.items()},
        **(gradients[at_fault[0]] if at_fault else {}),
    }
    offending = next(_offending(tensors), bad[0])  # the latter where the fault does not come again
    whose = f"the term {at_fault[0]}" if at_fault else "the loss"
    what = f"is {numbers[bad[0]]}" if bad[0] in terms else "has a gradient that is not finite, or whose square is not"
    raise UserError(
        f"iteration {iteration}: {whose} {what} for the photo {camera}; the first tensor that is not finite is "
        f"{offending}; --detect_anomaly names the operation that made it so"
    )


def check_drawn(count: int, iteration: int, camera: str, parameters: Mapping[str, Tensor]) -> None:
    """UserError when the rasterizer left out `count` Gaussians, above 0, since a value of theirs is not finite.

    To train on would be to take an empty picture for a result.
    """
    if count == 0:
        return
    tensors = {f"the parameter {name}": each for name, each in parameters.items()}
    first = next(_offending(tensors), "the square of a scale, which float32 cannot hold")
    raise UserError(
        f"iteration {iteration}: {count:,} Gaussians were not drawn in {camera}, since a value of theirs is NaN or "
        f"infinite; the first tensor that is not finite is {first}; learning rates that are too high do this"
    )


def _named_gradients(term: Tensor, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    gradients = zip(parameters, ALONE.gradients(term, parameters), strict=True)
    return {f"the gradient by {name}": each for name, each in gradients if each is not None}


def _offending(tensors: Mapping[str, Tensor]) -> Iterator[str]:
    for name, tensor in tensors.items():
        bad = int((~torch.isfinite(tensor.detach())).sum())
        if bad:
            yield f"{name} ({bad:,} of {tensor.numel():,} values)"


# ---- balance


class DominanceCheck:
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
