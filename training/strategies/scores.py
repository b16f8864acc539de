"""How much error and how much detail of the photos each Gaussian stands for: by whom growth is needed most."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from scene.loading.image_cache import LoadedView, ViewCache
from scene.loading.shared import in_turns
from training.strategies.base import Draw, Look
from utils.distributed import Ranks
from utils.losses.photometric import select
from utils.neighbours import largest_about

LUMA = (0.299, 0.587, 0.114)  # of red, green, blue: ITU-R BT.601
SOBEL = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))


class ViewScores(NamedTuple):
    """(N,) each, in units of what a Gaussian that a view shows has there in the mean."""

    error: Tensor  # its largest share, over the views, of the absolute difference from the photo
    edge: Tensor  # its mean share of the photos' edges


def score(draw: Draw, photos: ViewCache, order: Sequence[int], ranks: Ranks) -> ViewScores:
    """The scores of the rank's Gaussians over the photos of these indices. A call of all ranks."""
    views = list[Tensor]()
    for turns in in_turns(photos, order, ranks):
        looks = [
            Look(turn.camera, turn.rank, None if turn.photo is None else partial(_maps, turn.photo, draw.background))
            for turn in turns
        ]
        views += [_normalized(sums[:, :2], ranks) for sums in draw.pixel_sums(looks)]
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


def _maps(photo: LoadedView, background: Tensor, picture: Tensor) -> Tensor:
    """(3,H,W) the error of a rendered picture of the photo, the edges of the photo, and 0."""
    target = photo.over(background)
    error = (picture - target).abs().mean(dim=0)
    maps = torch.stack([error, edges(target), torch.zeros_like(error)])
    if photo.mask is not None:
        maps = select(maps, photo.mask) * photo.mask
        maps[1] = select(maps[1], -largest_about(-photo.mask)[0])  # what looks beyond the mask
    return maps


def _normalized(sums: Tensor, ranks: Ranks) -> Tensor:
    """Each column by the mean of what is positive in it on all ranks, so that every view counts the same.

    In float64, and rounded then: the order in which ranks are added up does not show.
    """
    positive = sums > 0
    total = torch.where(positive, sums, 0.0).double().sum(dim=0)
    total, count = ranks.sum_(torch.cat([total, positive.sum(dim=0).double()])).chunk(2)
    mean = total / count.clamp(min=1)
    return torch.where(positive, sums, 0.0) / torch.where(mean > 0, mean, 1.0).to(sums.dtype)
