"""The photos of one training step: drawn by all ranks together, rendered by one rank each, their losses added up.

On one rank with one photo this is a training step as it always was, to the bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from diff_gaussian_rasterization import RasterOutput
from gaussian_renderer import RenderSettings
from gaussian_renderer.sharded import Request, Seen, render_batch
from scene.gaussians.model import Gaussians
from scene.loading.image_cache import LoadedView, center_of
from scene.types import Camera
from training.corrections import Corrections
from training.loss import Loss, in_order
from utils.losses.photometric import backward_weighted_sum


class Shot(NamedTuple):
    """A photo that a step looks at, and how."""

    iteration: int  # of the run, which counts photos
    camera: Camera
    viewmat: Tensor | None  # (4,4) its refined pose in the graph, on all ranks; None: the camera's
    photo: LoadedView | None  # on the rank that renders it
    background: Tensor
    settings: RenderSettings
    weights: dict[str, float]


class Step(NamedTuple):
    """A photo of a training step from its forward pass on."""

    iteration: int
    camera: Camera
    photo: LoadedView | None  # this and `output`: on the rank that renders it
    background: Tensor
    settings: RenderSettings
    seen: Seen | RasterOutput  # of the rank's own Gaussians
    output: RasterOutput | None
    terms: dict[str, Tensor]  # of the loss, without their weights, as far as this rank has a part in them
    weights: dict[str, float]


class Forward(NamedTuple):
    """A training step after its forward pass."""

    steps: list[Step]  # one for each photo
    visible: Tensor  # (N,) bool: the rank's Gaussians that some photo sees
    anchor: Tensor  # of `Batch`

    def backward(self) -> None:
        """Leave the gradients of the rank's part of the loss, which is the sum over the photos. A call of all ranks."""
        backward_weighted_sum([(step.terms, step.weights) for step in self.steps], self.anchor)


def forward(gaussians: Gaussians, corrections: Corrections, objective: Loss, shots: Sequence[Shot]) -> Forward:
    """Render the photos and take the terms of their loss. A call of all ranks."""
    requests = [_request(shot, objective) for shot in shots]
    views, anchor = render_batch(gaussians, requests)
    visible = [view.seen.radii > 0 for view in views]
    steps = []
    for shot, (seen, output, share), shown in zip(shots, views, visible, strict=True):
        terms = {}
        if output is not None and shot.photo is not None:
            output = corrections.exposed(output, shot.camera)
            terms = objective.image_terms(output, shot.photo, shot.background, shot.weights)
        terms |= objective.row_terms(
            gaussians,
            shown,
            partial(center_of, shot.camera, shot.viewmat, gaussians.means),
            shot.weights,
            seen_here=share,
            owned_here=len(gaussians) / max(gaussians.total, 1),
        )
        seen = output if isinstance(seen, RasterOutput) and output is not None else seen
        of_shot = shot.iteration, shot.camera, shot.photo, shot.background, shot.settings
        steps.append(Step(*of_shot, seen=seen, output=output, terms=in_order(terms), weights=shot.weights))
    return Forward(steps, visible[0] if len(visible) == 1 else torch.stack(visible).any(dim=0), anchor)


def _request(shot: Shot, objective: Loss) -> Request:
    sensor = None if shot.photo is None else objective.sensor(shot.photo, shot.weights)
    return Request(shot.camera, shot.background, shot.settings, sensor, shot.viewmat)
