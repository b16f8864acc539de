"""The photos in memory, on their way to the device, and the order in which they are looked at."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from scene.depth.maps import load_depth, z_of
from scene.images import load_image
from scene.loading.prefetch import Tensors, Upload, Uploader, to_device
from scene.types import Camera, View
from utils.cores import usable_cores
from utils.distributed import ONE, Ranks
from utils.errors import DamagedFile, UserError, reason

MOST_DECODERS = 8
CORES_EACH = 4  # of the processor for each decoder: others compute

Arrays = tuple[np.ndarray | None, ...]
Photo = TypeVar("Photo")


class LoadedView(NamedTuple):
    """One photo as a training step uses it."""

    camera: Camera
    color: Tensor  # (3,H,W) float32 in [0,1]
    mask: Tensor | None  # (1,H,W) float32 in [0,1], the weight of each pixel; None where all count
    alpha: Tensor | None = None  # (1,H,W) float32 in [0,1] of a transparent rendering, already over `gray` in `color`
    gray: float = 0.0
    depth: Tensor | None = None  # (1,H,W) float32 z in world units, 0 where it is not known; None without a depth map
    depth_valid: Tensor | None = None  # (1,H,W) bool, where it is known
    depth_measured: bool = False  # by a sensor; not guessed from the photo
    viewmat: Tensor | None = None  # (4,4) float32 refined world to camera, in its graph; None: the camera's

    def center(self, like: Tensor) -> Tensor:
        """(3,) the camera's position in the world; see `center_of`."""
        return center_of(self.camera, self.viewmat, like)

    def over(self, background: Tensor) -> Tensor:
        """(3,H,W): the photo with what is transparent in it over `background`, (3,), if its alpha is known."""
        if self.alpha is None:
            return self.color
        return self.color + (background[:, None, None] - self.gray) * (1 - self.alpha)


def center_of(camera: Camera, viewmat: Tensor | None, like: Tensor) -> Tensor:
    """(3,) a camera's position in the world, at `viewmat` where that is given; dtype and device are those of `like`."""
    if viewmat is None:
        return torch.from_numpy(camera.center).to(like, non_blocking=True)
    return -(viewmat[:3, :3].T @ viewmat[:3, 3])


class ViewCache:
    """Views, each decoded when first asked for and kept as bytes, depth as 16-bit numbers where the file has such: a
    quarter and half of the memory of float32.

    `device` is where they are used; `kept_there` keeps the bytes there too, otherwise they stay with the host and are
    copied each time. Neither decoding nor copying takes the caller's time for a photo that `prefetch` was told of
    early enough; up to `ahead` are decoded at once, since one of 12 megapixels takes longer than a step of a GPU.
    `with_alpha` keeps the alpha channels of transparent renderings, for training over changing backgrounds, and to
    compare alpha itself. `limit`: how many are kept at most, 0 for all; the one that is needed last goes first, and is
    decoded anew when it is needed. What a view shows does not depend on it.
    """

    def __init__(
        self,
        views: Sequence[View],
        device: str | torch.device = "cpu",
        with_alpha: bool = False,
        kept_there: bool = False,
        limit: int = 0,
    ) -> None:
        self.views = views
        self.limit = limit
        self.next_uses: Callable[[], Mapping[int, int]] = dict  # index -> how soon it is needed, of those known
        self.device = torch.device(device)
        self.with_alpha = with_alpha
        self.kept_there = kept_there
        self._uploader = Uploader(self.device)
        self.ahead = max(1, min(MOST_DECODERS, usable_cores() // CORES_EACH))
        self._decoder = ThreadPoolExecutor(self.ahead, thread_name_prefix="decoder")
        self._decoding: dict[int, Future[Arrays]] = {}
        self._bytes: dict[int, Tensors] = {}  # color, mask, alpha; depth, as stored
        self._coming: dict[int, Upload] = {}
        self._place: Callable[[Camera], Camera] | None = None
        self.damaged: dict[int, str] = {}  # views that `find` has given up, and why
        self._known_to_all: set[int] = set()  # of these, by all ranks

    def placed(self, place: Callable[[Camera], Camera]) -> ViewCache:
        """The same views, in the same memory, with `place(camera)` for each camera when a view is asked for."""
        other = copy.copy(self)
        other._place = place
        return other

    def __len__(self) -> int:
        return len(self.views)

    def __getitem__(self, index: int) -> LoadedView:
        self.prefetch(index)
        if index in self._decoding:
            self._store(index, self._decoding.pop(index).result())
        *pixels, numbers = self._coming.pop(index).arrived()
        view = self.views[index]
        color, mask, alpha = (_from_bytes(values) for values in pixels)
        assert color is not None
        depth, valid = _depth(view, numbers)
        measured = view.depth is not None and view.depth.kind == "sensor"
        return LoadedView(self.camera(index), color, mask, alpha, view.background or 0.0, depth, valid, measured)

    def camera(self, index: int) -> Camera:
        """Of a view, where the view would be shown from; nothing is decoded."""
        camera = self.views[index].camera
        return camera if self._place is None else self._place(camera)

    def kept(self) -> tuple[int, int]:
        """How many photos are decoded by now, and how many bytes these take."""
        arrays = [each for stored in self._bytes.values() for each in stored if each is not None]
        return len(self._bytes), sum(each.numel() * each.element_size() for each in arrays)

    def find(self, index: int) -> LoadedView | None:
        """The photo, or None where a file of it is damaged, which is then found in `damaged`.

        Raises: UserError when no undamaged photo is left.
        """
        if index in self.damaged:
            return None
        try:
            return self[index]
        except DamagedFile as error:
            self.damaged[index] = str(error)
        if len(self.damaged) == len(self):
            raise UserError(f"all {len(self)} photos are damaged: {self.damaged[index]}")
        return None

    def share_damaged(self, ranks: Ranks) -> None:
        """Let all ranks know what one has found damaged. Raises: UserError when no undamaged photo is left."""
        told = [count for (count,) in ranks.counts([len(self.damaged)])]
        if len(set(told)) > 1 or (len(told) > 1 and told[0] != len(self._known_to_all)):
            for damaged in ranks.objects(self.damaged):
                self.damaged |= damaged
            self._known_to_all = set(self.damaged)
        if len(self.damaged) == len(self):
            raise UserError(f"all {len(self)} photos are damaged: {next(iter(self.damaged.values()))}")

    def in_order(self, order: Sequence[int]) -> Iterator[LoadedView]:
        """The photos of these indices, one after the other; the next is on its way while one is used."""
        return self._each(order, self.__getitem__)

    def undamaged(self, order: Sequence[int]) -> Iterator[LoadedView]:
        """The same without those that `find` finds damaged."""
        return (photo for photo in self._each(order, self.find) if photo is not None)

    def _each(self, order: Sequence[int], get: Callable[[int], Photo]) -> Iterator[Photo]:
        for place, index in enumerate(order):
            photo = get(index)
            self.expect(order[place + 1 :][:1], order[place + 2 :][: self.ahead - 1])
            yield photo

    def expect(self, soon: Sequence[int], later: Sequence[int]) -> None:
        """Prefetch photos that are asked for next, and begin to decode those that come after them."""
        for index in soon:
            self.prefetch(index)
        for index in later:
            self._begin_to_decode(index)

    def prefetch(self, index: int) -> None:
        """Begin to decode a photo that will be asked for soon, or, if that is done, to bring it to the device."""
        if index not in self._bytes:
            self._begin_to_decode(index)
        elif index not in self._coming and index not in self.damaged:
            self._coming[index] = self._uploader.start(self._bytes[index])

    def _begin_to_decode(self, index: int) -> None:
        if not any(index in known for known in (self._bytes, self._decoding, self._coming, self.damaged)):
            self._decoding[index] = self._decoder.submit(self._decode, self.views[index])

    def _store(self, index: int, decoded: Arrays) -> None:
        stored = tuple(None if each is None else torch.from_numpy(each) for each in decoded)
        self._bytes[index] = to_device(stored, self.device) if self.kept_there else self._uploader.keep(stored)
        self._coming[index] = self._uploader.start(self._bytes[index])
        self._make_room(index)

    def _make_room(self, newest: int) -> None:
        """Let go of what is needed last, where there are more than may be."""
        while 0 < self.limit < len(self._bytes):
            uses = self.next_uses()
            others = [index for index in self._bytes if index != newest]
            del self._bytes[max(others, key=lambda index: uses.get(index, len(self.views)), default=newest)]

    def _decode(self, view: View) -> Arrays:
        loaded, alpha = load_image(view), None
        if self.with_alpha and view.background is not None and view.mask_path is None:
            alpha = load_image(replace(view, background=None)).mask  # so it takes alpha for a mask
        return _to_bytes(loaded.color), _to_bytes(loaded.mask), _to_bytes(alpha), load_depth(view)


def readable(views: Sequence[View], device: str | torch.device, limit: int = 0) -> tuple[ViewCache, dict[str, str]]:
    """Those of `views` whose files can be decoded, `limit` of them now in memory (0: all), and why others cannot, by
    name."""
    photos, faults = ViewCache(views, device, limit=limit), dict[str, str]()
    for index, view in enumerate(views):
        try:
            photos[index]
        except (UserError, OSError) as error:
            faults[view.camera.name] = reason(error)
    if not faults:
        return photos, faults
    return ViewCache([view for view in views if view.camera.name not in faults], device, limit=limit), faults


class ShuffledViews:
    """All photos in random order, then all in another, and so on without end."""

    def __init__(self, photos: ViewCache, generator: torch.Generator) -> None:
        self.photos = photos
        self.generator = generator
        self.waiting: list[int] = []
        self._ranks = ONE
        photos.next_uses = self._next_uses
        self._names = [view.camera.name for view in photos.views]

    def next_batch(self, count: int, ranks: Ranks = ONE) -> list[tuple[int, LoadedView | None]]:
        """The indices of the next photos, the same on all ranks, and on each rank the photos of every `ranks.size`-th:
        no other is decoded there.

        A new order is drawn when all have been looked at. Damaged ones are passed over, so the order of the others is
        that of whole files.

        Raises: UserError when no undamaged photo is left.
        """
        self._ranks, drawn = ranks, list[int]()
        found: dict[int, LoadedView | None] = {}
        while len(drawn) < count:
            new = [self._draw() for _ in range(count - len(drawn))]
            for place, index in enumerate(new, start=len(drawn)):
                if place % ranks.size == ranks.rank:
                    found[index] = self.photos.find(index)
            self.photos.share_damaged(ranks)
            drawn += [index for index in new if index not in self.photos.damaged]
            self._prefetch(count, ranks)
        return [(index, self._own(index, place, found, ranks)) for place, index in enumerate(drawn)]

    def _own(self, index: int, place: int, found: Mapping[int, LoadedView | None], ranks: Ranks) -> LoadedView | None:
        """The photo at a place of a batch, where it is this rank's. A damaged one before it may have moved it here."""
        if place % ranks.size != ranks.rank:
            return None
        return found[index] if index in found else self.photos.find(index)

    def _next_uses(self) -> dict[int, int]:
        """Of the photos that this rank will render before a new order is drawn: after how many others of the order."""
        coming = self.waiting[::-1]
        return {index: place for place, index in enumerate(coming) if place % self._ranks.size == self._ranks.rank}

    def _draw(self) -> int:
        if not self.waiting:
            self.waiting = torch.randperm(len(self.photos), generator=self.generator).tolist()
        return self.waiting.pop()

    def _prefetch(self, count: int, ranks: Ranks) -> None:
        """Begin with this rank's photos of the next batch, and of some more."""
        coming = self.waiting[: -count * (1 + self.photos.ahead) - 1 : -1]
        own = coming[ranks.rank :: ranks.size]
        soon = len(coming[:count][ranks.rank :: ranks.size])
        self.photos.expect(own[:soon], own[soon:][: self.photos.ahead - 1])

    @property
    def damaged(self) -> list[str]:
        """What was passed over, and why."""
        return list(self.photos.damaged.values())

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps; the generator is kept by its owner."""
        return {"names": list(self._names), "waiting": list(self.waiting)}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned. UserError when the photos are not the same."""
        if state["names"] != self._names:
            raise UserError(
                f"the checkpoint was made with {len(state['names'])} training photos, and these {len(self.photos)} are "
                "not the same: use the dataset, --images, --eval and --test_images of that run"
            )
        self.waiting = list(state["waiting"])


def _to_bytes(values: np.ndarray | None) -> np.ndarray | None:
    return None if values is None else (values * 255).round().clip(0, 255).astype(np.uint8)


def _from_bytes(values: Tensor | None) -> Tensor | None:
    return None if values is None else values / 255


def _depth(view: View, numbers: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """(1,H,W) z in world units, 0 where it is not known, and where it is."""
    if numbers is None or view.depth is None:
        return None, None
    values = numbers.float()[None]
    valid = values > 0
    z = z_of(values, view.depth)
    return z if view.depth.kind == "sensor" else torch.where(valid, z, 0.0), valid  # a sensor's unknown 0 is 0 as it is
