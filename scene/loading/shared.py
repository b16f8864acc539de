"""Views that all ranks look at together: one decodes each, and tells the others what they need of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from scene.loading.image_cache import LoadedView, ViewCache
from scene.types import Camera, View
from utils.distributed import Ranks


class Turn(NamedTuple):
    """A view that one rank draws."""

    view: View
    camera: Camera  # the view's; refined, where poses are
    rank: int
    photo: LoadedView | None  # on that rank


def in_turns(photos: ViewCache, order: Sequence[int], ranks: Ranks) -> Iterator[list[Turn]]:
    """The undamaged photos of these indices, as many at once as there are ranks: each decodes and draws one. A call of
    all ranks."""
    for first in range(0, len(order), ranks.size):
        group = order[first : first + ranks.size]
        photo = photos.find(group[ranks.rank]) if ranks.rank < len(group) else None
        photos.share_damaged(ranks)
        coming = order[first + ranks.size + ranks.rank :: ranks.size]
        photos.expect(coming[:1], coming[1 : photos.ahead])
        yield [
            Turn(photos.views[index], photos.camera(index), rank, photo if rank == ranks.rank else None)
            for rank, index in enumerate(group)
            if index not in photos.damaged
        ]


def surveyed(photos: ViewCache, order: Sequence[int], ranks: Ranks) -> Iterator[LoadedView]:
    """The undamaged photos of these indices, one after the other. On several ranks they come without color and mask,
    and with their depth. A call of all ranks."""
    if ranks.size == 1:
        yield from photos.undamaged(order)
        return
    for turns in in_turns(photos, order, ranks):
        for turn in turns:
            yield _told(turn, ranks)


def _told(turn: Turn, ranks: Ranks) -> LoadedView:
    camera, known, nothing = turn.camera, turn.view.depth, torch.empty(3, 0, 0, device=ranks.device)
    if known is None:
        return LoadedView(camera, nothing, None)
    shape = (2, camera.height, camera.width)
    both = _depth_of(turn.photo) if turn.photo is not None else torch.empty(shape, device=ranks.device)
    depth, valid = ranks.show(both, turn.rank)[:, None].unbind(0)
    measured = known.kind == "sensor"
    return LoadedView(camera, nothing, None, depth=depth, depth_valid=valid > 0, depth_measured=measured)


def _depth_of(photo: LoadedView) -> Tensor:
    assert photo.depth is not None and photo.depth_valid is not None
    return torch.cat([photo.depth, photo.depth_valid.to(photo.depth.dtype)]).contiguous()
