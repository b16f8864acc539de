"""What a strategy may render between two steps, on one rank or by all ranks together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import cycle

import torch
from torch import Tensor

from diff_gaussian_rasterization import RasterOutput, Splats
from gaussian_renderer import RenderSettings, render
from gaussian_renderer.sharded import Request, Sharing, render_shared
from gaussian_renderer.stages import blend, project
from scene.gaussians.model import Gaussians
from scene.types import Camera
from training.corrections import Corrections
from training.strategies.base import Draw, Look


def draw_of(gaussians: Gaussians, corrections: Corrections, background: Tensor, settings: RenderSettings) -> Draw:
    """Drawing the Gaussians as they are when it is asked for; several ranks take turns with the cameras of a survey."""
    turns = cycle(range(gaussians.ranks.size))
    surveyed = partial(_surveyed, gaussians, background, settings, turns)
    return Draw(surveyed, partial(_pixel_sums, gaussians, corrections, background, settings), background)


def _surveyed(
    gaussians: Gaussians, background: Tensor, settings: RenderSettings, turns: Iterator[int], camera: Camera
) -> RasterOutput:
    settings = replace(settings, statistics=True)  # here, since most steps survey nothing
    if gaussians.shard is None:
        return render(gaussians, camera, background, settings)
    return render_shared(gaussians, Request(camera, background, settings), next(turns))


@torch.no_grad()
def _pixel_sums(
    gaussians: Gaussians,
    corrections: Corrections,
    background: Tensor,
    settings: RenderSettings,
    looks: Sequence[Look],
) -> list[Tensor]:
    how = corrections, background, settings
    seen = [project(gaussians, look.camera, settings) for look in looks]
    if gaussians.shard is None:
        return [_sums(splats, look, *how) for splats, look in zip(seen, looks, strict=True)]
    shared = [Sharing(gaussians, [splats], [look.drawn_by], settings) for splats, look in zip(seen, looks, strict=True)]
    found = [  # between two exchanges: each rank draws while the others do
        {0: _sums(each.splats(0)[0], look, *how)} if each.own else {} for each, look in zip(shared, looks, strict=True)
    ]
    return [each.home(0, 3, sums) for each, sums in zip(shared, found, strict=True)]


def _sums(splats: Splats, look: Look, corrections: Corrections, background: Tensor, settings: RenderSettings) -> Tensor:
    """(M,3) of some splats, on the rank that draws the look.

    The color of a pixel is Σ w·c, so the gradient by c of the sum of all pixels, each times e, is Σ w·e: the sums are
    the backward pass of a rendering with colors of their own.
    """
    assert look.maps is not None
    colors = splats.colors.detach().requires_grad_()
    with torch.enable_grad():
        output = blend(splats._replace(colors=colors), look.camera, background, settings)
    maps = look.maps(corrections.exposed(output, look.camera).color)
    (sums,) = torch.autograd.grad(output.color, colors, maps)
    return sums
