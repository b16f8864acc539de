"""How much error and how much detail of the photos each Gaussian stands for: by whom growth is needed most."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import conv2d, max_pool2d, pad

from scene.loading.image_cache import LoadedView
from training.strategies.base import Draw
from utils.losses.photometric import select

LUMA = (0.299, 0.587, 0.114)  # of red, green, blue: ITU-R BT.601
SOBEL = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))


class ViewScores(NamedTuple):
    """(N,) each, in units of what a Gaussian that a view shows has there in the mean."""

    error: Tensor  # its largest share, over the views, of the absolute difference from the photo
    edge: Tensor  # its mean share of the photos' edges


def score(draw: Draw, photos: Iterable[LoadedView], count: int) -> ViewScores:
    """The scores of `count` Gaussians over some photos."""
    views = [_normalized(_weighted_sums(draw, photo, count)) for photo in photos]
    error, edge = torch.stack(views).unbind(2)
    return ViewScores(error.amax(dim=0), edge.mean(dim=0))


def combined(scores: ViewScores, edge_weight: float) -> Tensor:
    """(N,) error · (1 + edge_weight · edge / its median over the Gaussians that have any); ≥ 0."""
    some = scores.edge[scores.edge > 0]
    median = some.median() if len(some) else scores.edge.new_tensor(1.0)
    return scores.error * (1 + edge_weight * scores.edge / median)


def edges(image: Tensor) -> Tensor:
    """(H,W) the gradient of the luminance of a (3,H,W) image, by Sobel; the border repeats."""
    across = image.new_tensor(SOBEL)
    kernels = torch.stack([across, across.T])[:, None]
    luminance = torch.einsum("c,chw->hw", image.new_tensor(LUMA), image)[None, None]
    return conv2d(pad(luminance, (1, 1, 1, 1), mode="replicate"), kernels)[0].norm(dim=0)


def _weighted_sums(draw: Draw, photo: LoadedView, count: int) -> Tensor:
    """(N,2) the sum over the pixels of a Gaussian's weight times the error there, and times the edge.

    The color of a pixel is Σ w·c, so the gradient by c of the sum of all pixels, each times e, is Σ w·e: the sums are
    the backward pass of a rendering with colors of their own.
    """
    target = photo.over(draw.background)
    with torch.no_grad():
        shown = draw.exposed(draw.plain(photo.camera), photo.camera).color
        error = (shown - target).abs().mean(dim=0)
    maps = torch.stack([error, edges(target), torch.zeros_like(error)])
    if photo.mask is not None:
        maps = select(maps, photo.mask) * photo.mask
        maps[1] = select(maps[1], -max_pool2d(-photo.mask, 3, stride=1, padding=1)[0])  # what looks beyond the mask
    colors = target.new_zeros(count, 3, requires_grad=True)
    output = draw.plain(photo.camera, colors=colors)
    (sums,) = torch.autograd.grad(output.color, colors, maps)
    return sums[:, :2]


def _normalized(sums: Tensor) -> Tensor:
    """Each column by the mean of what is positive in it, so that every view counts the same."""
    positive = sums > 0
    mean = torch.where(positive, sums, 0.0).double().sum(dim=0) / positive.sum(dim=0).clamp(min=1)
    return torch.where(positive, sums, 0.0) / torch.where(mean > 0, mean, 1.0).to(sums.dtype)
