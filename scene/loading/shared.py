"""Views that all ranks look at together: one decodes each, and tells the others what they need of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from scene.loading.image_cache import LoadedView, ViewCache
from scene.types import View
from utils.distributed import Ranks


def surveyed(photos: ViewCache, order: Sequence[int], ranks: Ranks) -> Iterator[LoadedView]:
    """The undamaged photos of these indices, one after the other. On several ranks they come without color and mask,
    and with their depth. A call of all ranks."""
    if ranks.size == 1:
        yield from photos.undamaged(order)
        return
    for place, index in enumerate(order):
        source = place % ranks.size
        photo = photos.find(index) if source == ranks.rank else None
        photos.share_damaged(ranks)
        if index not in photos.damaged:
            yield _told(photos.views[index], photo, source, ranks)


def _told(view: View, photo: LoadedView | None, source: int, ranks: Ranks) -> LoadedView:
    camera, nothing = view.camera, torch.empty(3, 0, 0, device=ranks.device)
    if view.depth is None:
        return LoadedView(camera, nothing, None)
    shape = (2, camera.height, camera.width)
    both = _depth_of(photo) if photo is not None else torch.empty(shape, device=ranks.device)
    depth, valid = ranks.show(both, source)[:, None].unbind(0)
    measured = view.depth.kind == "sensor"
    return LoadedView(camera, nothing, None, depth=depth, depth_valid=valid > 0, depth_measured=measured)


def _depth_of(photo: LoadedView) -> Tensor:
    assert photo.depth is not None and photo.depth_valid is not None
    return torch.cat([photo.depth, photo.depth_valid.to(photo.depth.dtype)]).contiguous()
