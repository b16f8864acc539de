"""The training photos in memory, and the order in which they are looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from scene.depth import load_depth, z_of
from scene.images import load_image
from scene.types import Camera, View
from utils.errors import UserError


class Photo(NamedTuple):
    """One photo as a training step uses it."""

    camera: Camera
    color: Tensor  # (3,H,W) float32 in [0,1]
    mask: Tensor | None  # (1,H,W) float32 in [0,1], the weight of each pixel; None where all count
    alpha: Tensor | None = None  # (1,H,W) float32 in [0,1] of a transparent rendering, already over `grey` in `color`
    grey: float = 0.0
    depth: Tensor | None = None  # (1,H,W) float32 z in world units, 0 where it is not known; None without a depth map
    depth_valid: Tensor | None = None  # (1,H,W) bool, where it is known
    depth_measured: bool = False  # by a sensor; not guessed from the photo

    def over(self, background: Tensor) -> Tensor:
        """(3,H,W): the photo with what is transparent in it over `background`, (3,), if its alpha is known."""
        if self.alpha is None:
            return self.color
        return self.color + (background[:, None, None] - self.grey) * (1 - self.alpha)


class Photos:
    """Views, each decoded when first asked for and kept as bytes, depth as 16-bit numbers where the file has such: a
    quarter and half of the memory of float32.

    `with_alpha` keeps the alpha channels of transparent renderings, for training over changing backgrounds.
    """

    def __init__(self, views: Sequence[View], device: str | torch.device = "cpu", with_alpha: bool = False) -> None:
        self.views = views
        self.device = device
        self.with_alpha = with_alpha
        self._bytes: dict[int, tuple[Tensor | None, ...]] = {}  # color, mask, alpha; depth, as stored

    def __len__(self) -> int:
        return len(self.views)

    def __getitem__(self, index: int) -> Photo:
        if index not in self._bytes:
            self._bytes[index] = self._decode(self.views[index])
        view = self.views[index]
        *pixels, numbers = self._bytes[index]
        color, mask, alpha = (self._from_bytes(values) for values in pixels)
        assert color is not None
        depth, valid = self._depth(view, numbers)
        measured = view.depth is not None and view.depth.kind == "sensor"
        return Photo(view.camera, color, mask, alpha, view.alpha_background or 0.0, depth, valid, measured)

    def _decode(self, view: View) -> tuple[Tensor | None, ...]:
        loaded, alpha = load_image(view), None
        if self.with_alpha and view.alpha_background is not None and view.mask_path is None:
            alpha = load_image(replace(view, alpha_background=None)).mask  # so it takes alpha for a mask
        depth = load_depth(view)
        numbers = None if depth is None else torch.from_numpy(depth)
        return _to_bytes(loaded.color), _to_bytes(loaded.mask), _to_bytes(alpha), numbers

    def _depth(self, view: View, numbers: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        if numbers is None or view.depth is None:
            return None, None
        values = numbers.to(self.device).float()[None]
        valid = values > 0
        return torch.where(valid, z_of(values, view.depth), 0.0), valid

    def _from_bytes(self, values: Tensor | None) -> Tensor | None:
        return None if values is None else values.to(self.device).float() / 255


class ShuffledPhotos:
    """All photos in random order, then all in another, and so on without end."""

    def __init__(self, photos: Photos, generator: torch.Generator) -> None:
        self.photos = photos
        self.generator = generator
        self.waiting: list[int] = []

    def next(self) -> Photo:
        """The next photo; a new order is drawn when all have been looked at."""
        if not self.waiting:
            self.waiting = torch.randperm(len(self.photos), generator=self.generator).tolist()
        return self.photos[self.waiting.pop()]

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps; the generator is kept by its owner."""
        return {"names": self._names(), "waiting": list(self.waiting)}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned. UserError when the photos are not the same."""
        if state["names"] != self._names():
            raise UserError(
                f"the checkpoint was made with {len(state['names'])} training photos, and these {len(self.photos)} are "
                "not the same: use the dataset, --images, --eval and --test_images of that run"
            )
        self.waiting = list(state["waiting"])

    def _names(self) -> list[str]:
        return [view.camera.name for view in self.photos.views]


def _to_bytes(values: np.ndarray | None) -> Tensor | None:
    return None if values is None else torch.from_numpy((values * 255).round().clip(0, 255).astype(np.uint8))
