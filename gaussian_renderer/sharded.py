"""Drawing Gaussians that are spread over ranks: each rank projects its own, whoever draws a camera gets the splats.

Only splats that can touch a pixel travel, and gradients come home the same way. Each picture is made from all its
splats in the order of their ids, so it does not depend on how many ranks there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from diff_gaussian_rasterization import RasterOutput, Splats, Statistics
from gaussian_renderer.stages import RenderSettings, SensorDepth, activate, blend, project
from scene.gaussians.gather import joined, parts
from scene.gaussians.model import Gaussians
from scene.types import Camera, GaussianArrays
from utils.distributed import Exchange, on_all

WITH_GRADIENT = ("means2d", "inv_cov_factor", "opacities", "colors", "depths", "depth_slopes", "features")
NOTHING = torch.zeros(())  # where nothing is exchanged


class Request(NamedTuple):
    """A camera to be drawn."""

    camera: Camera
    background: Tensor  # (3,)
    settings: RenderSettings
    sensor: SensorDepth | None = None  # known to who draws it
    viewmat: Tensor | None = None


class Seen(NamedTuple):
    """What a camera sees of the rank's own Gaussians; as in `RasterOutput`."""

    radii: Tensor  # (N,)
    means2d: Tensor  # (N, 2)
    num_nonfinite: Tensor  # ()


class BatchView(NamedTuple):
    """A camera of a batch."""

    seen: Seen | RasterOutput
    output: RasterOutput | None  # on the rank that draws it
    share: float  # of the Gaussians that it sees, those of this rank


class Batch(NamedTuple):
    """The cameras of a batch, and () 0, a term of every rank's loss: by its gradient all ranks come to the exchange.
    On one rank it has no gradient."""

    views: list[BatchView]
    anchor: Tensor


def render_batch(gaussians: Gaussians, requests: Sequence[Request]) -> Batch:
    """Draw cameras, the b-th of them on rank b modulo the number of ranks. A call of all ranks, and so is the backward
    pass of their losses, which must be made once."""
    activated = activate(gaussians)
    splats = [
        project(
            gaussians,
            each.camera,
            each.settings,
            viewmat=each.viewmat,
            activated=activated,
        )
        for each in requests
    ]
    if gaussians.shard is None:
        outputs = [
            blend(each, request.camera, request.background, request.settings, request.sensor)
            for each, request in zip(splats, requests, strict=True)
        ]
        return Batch([BatchView(output, output, 1.0) for output in outputs], NOTHING)
    ranks = gaussians.ranks
    drawn_by = [index % ranks.size for index in range(len(requests))]
    sharing = Sharing(gaussians, splats, drawn_by, requests[0].settings)
    drawn = {index: sharing.draw(index, requests[index]) for index in sharing.own}
    views = [
        BatchView(Seen(each.radii, each.means2d, each.num_nonfinite), drawn.get(index), sharing.share(index))
        for index, each in enumerate(splats)
    ]
    return Batch(views, sharing.anchor)


class Sharing:
    """The splats of some cameras, brought from who owns them to who draws them: `drawn_by`, a rank for each camera."""

    def __init__(
        self, gaussians: Gaussians, splats: Sequence[Splats], drawn_by: Sequence[int], settings: RenderSettings
    ) -> None:
        """`settings`: of all cameras, as far as they say which columns are sent."""
        shard = gaussians.shard
        assert shard is not None
        self.ranks, self.count = shard.ranks, len(gaussians)
        self.own = [index for index, rank in enumerate(drawn_by) if rank == self.ranks.rank]
        self.rows = [each.radii.nonzero().squeeze(1) for each in splats]
        self.counts = self.ranks.counts([len(rows) for rows in self.rows])  # rank -> a number for each camera
        self._order = sorted(range(len(splats)), key=lambda index: drawn_by[index])  # as rows are sent
        sent_to = [0] * self.ranks.size
        for index, rank in enumerate(drawn_by):
            sent_to[rank] += len(self.rows[index])
        came_from = [sum(counts[index] for index in self.own) for counts in self.counts]
        self.exchange = Exchange(self.ranks, sent_to, came_from)
        self.widths = widths_of(splats[0].colors.shape[1], settings)
        table = torch.cat([self._table(splats[index], self.rows[index]) for index in self._order])
        self.came = self.exchange.send(table, sum(self.widths))
        ids = self.ranks.all_to_all(torch.cat([shard.ids[self.rows[i]] for i in self._order]), sent_to, came_from)
        self.places = {index: self._places_of(index, ids) for index in self.own}

    @property
    def anchor(self) -> Tensor:
        """() 0 that depends on all that came: by its gradient a rank without a picture comes to the exchange."""
        return self.came[:0].sum()

    def share(self, index: int) -> float:
        """Of the Gaussians that a camera sees, those that this rank owns."""
        return len(self.rows[index]) / max(sum(counts[index] for counts in self.counts), 1)

    def splats(self, index: int) -> tuple[Splats, Tensor | None]:
        """Those of a camera that is drawn here, by id; and what receives their absolute gradients, if asked for."""
        table = self.came[self.places[index]]
        *columns, cutoff_sigmas, radii = table.split([*self.widths, 1, 1], dim=1)
        columns = [each.contiguous() for each in columns]
        means2d, inv_cov_factor, opacities, colors, depths, slopes, features, *receiver = columns
        nonfinite = torch.zeros((), dtype=torch.int64, device=table.device)
        splats = Splats(
            means2d, inv_cov_factor, opacities.squeeze(1), colors, depths.squeeze(1),
            slopes if slopes.shape[1] else slopes.new_empty(0, 2),
            cutoff_sigmas.detach().squeeze(1).contiguous(), radii.detach().squeeze(1).int().contiguous(), nonfinite,
            features if features.shape[1] else None,
        )  # fmt: skip
        return splats, receiver[0] if receiver else None

    def draw(self, index: int, request: Request) -> RasterOutput:
        """The picture of a camera that is drawn here."""
        splats, receiver = self.splats(index)
        return blend(splats, request.camera, request.background, request.settings, request.sensor, receiver)

    def home(self, index: int, columns: int, values: Mapping[int, Tensor]) -> Tensor:
        """(N, columns): what was found out about the splats of camera `index`, on the ranks that own them; 0 for those
        that it does not see. `values`: (M, columns) by camera, for those that are drawn here. A call of all ranks.
        """
        rows = self.came.new_zeros(len(self.came), columns)
        for camera, each in values.items():
            rows[self.places[camera]] = each
        home = self.exchange.send_home(rows)
        first = sum(len(self.rows[i]) for i in self._order[: self._order.index(index)])
        whole = home.new_zeros(self.count, columns)
        whole[self.rows[index]] = home[first : first + len(self.rows[index])]
        return whole

    def _table(self, splats: Splats, rows: Tensor) -> Tensor:
        """(M, C) all that is sent of some rows of splats."""
        sent = [getattr(splats, name) for name in WITH_GRADIENT]
        if len(self.widths) > len(WITH_GRADIENT):
            sent.append(_receiver(splats.means2d))
        columns = [each[rows].reshape(len(rows), width) for each, width in zip(sent, self.widths, strict=True) if width]
        others = (splats.cutoff_sigmas, splats.radii.to(splats.means2d.dtype))
        return torch.cat([*columns, *(each[rows][:, None] for each in others)], dim=1)

    def _places_of(self, index: int, ids: Tensor) -> Tensor:
        """(M,) where the rows of a camera lie among those that came, in the order of their ids."""
        found, first = [], 0
        for counts in self.counts:
            for each in self.own:
                if each == index:
                    found.append(torch.arange(first, first + counts[each], device=ids.device))
                first += counts[each]
        places = torch.cat(found)
        return places[ids[places].argsort()]


def widths_of(channels: int, settings: RenderSettings) -> list[int]:
    """Columns of the table that is sent and has a gradient: of each of `WITH_GRADIENT`, and of what receives the
    absolute gradients. Two more, without gradient, and an id of 8 bytes go with them."""
    slopes, features = 2 if settings.depth_model == "ray" else 0, 1 if settings.ray_variance else 0
    return [2, 3, 1, channels, 1, slopes, features, *([2] if settings.absgrad else [])]


def _receiver(means2d: Tensor) -> Tensor:
    """(N, 2) whose gradient becomes `means2d.absgrad`."""
    receiver = torch.zeros_like(means2d, requires_grad=True)
    receiver.register_post_accumulate_grad_hook(lambda each: setattr(means2d, "absgrad", each.grad))
    return receiver


def render_shared(gaussians: Gaussians, request: Request, drawn_by: int) -> RasterOutput:
    """The picture of a camera on all ranks, drawn by one of them; `radii`, `means2d` and `statistics` are of the rank's
    own Gaussians. Without gradient. A call of all ranks."""
    splats = project(gaussians, request.camera, request.settings, viewmat=request.viewmat)
    sharing = Sharing(gaussians, [splats], [drawn_by], request.settings)
    camera, channels = request.camera, splats.colors.shape[1]
    images, found = splats.means2d.new_empty(channels + 4, camera.height, camera.width), {}
    if 0 in sharing.own:
        output = sharing.draw(0, request)
        images = torch.cat([output.color, output.inv_depth, output.depth, output.alpha, output.distortion])
        if output.statistics is not None:
            found[0] = torch.stack(list(output.statistics), dim=1)
    gaussians.ranks.show(images, drawn_by)
    statistics = None
    if request.settings.statistics:
        statistics = Statistics(*sharing.home(0, len(Statistics._fields), found).unbind(1))
    color, inv_depth, depth, alpha, distortion = images.split([channels, 1, 1, 1, 1])
    own = splats.radii, splats.means2d, splats.num_nonfinite
    return RasterOutput(color, inv_depth, depth, alpha, distortion, *own, statistics)


# ---- rank 0 draws what it likes, the others follow


class _Draw(NamedTuple):
    camera: Camera
    settings: RenderSettings
    viewmat: Tensor | None  # on the host
    moves: bool  # its gradient may be asked for


class _Back(NamedTuple):
    """The backward pass of what was drawn last."""


class _Part(NamedTuple):
    """All Gaussians, part by part."""


@contextmanager
def leading(gaussians: Gaussians) -> Iterator[None]:
    """While entered, on rank 0: `gaussian_renderer.render` and `whole_arrays` have all Gaussians at their disposal.
    The others are in `follow` until it ends. On one rank it is nothing."""
    if gaussians.shard is None:
        yield
        return
    try:
        yield
    finally:
        gaussians.ranks.tell(None)


def follow(gaussians: Gaussians) -> None:
    """Help rank 0 with what it does inside of `leading`."""
    wish: _Draw | _Back | _Part | None
    go_back: Callable[[], object] | None = None
    while (wish := gaussians.ranks.tell(None)) is not None:
        if isinstance(wish, _Draw):
            go_back = _help_to_draw(gaussians, wish)
        elif isinstance(wish, _Back):
            assert go_back is not None, "what was drawn last has no gradient"
            go_back()
        else:
            for _ in parts(gaussians):
                pass


def lead_render(gaussians: Gaussians, request: Request) -> RasterOutput:
    """On rank 0: the picture of a camera; `radii`, `means2d` and `statistics` are of what it sees.

    Without gradient, but for that by `viewmat` where it requires one: by one backward pass, before anything else is
    drawn.
    """
    viewmat, ranks = request.viewmat, gaussians.ranks
    assert ranks.leads, "render is rank 0's; render_batch and render_shared are for all ranks"
    moves = viewmat is not None and viewmat.requires_grad and torch.is_grad_enabled()
    ranks.tell(_Draw(request.camera, request.settings, None if viewmat is None else viewmat.detach().cpu(), moves))
    with torch.set_grad_enabled(moves):
        sharing, nonfinite = _lent(gaussians, request)
        if moves:
            sharing.came.register_hook(lambda _: _tell_back(gaussians))
        return sharing.draw(0, request)._replace(num_nonfinite=nonfinite)


def _tell_back(gaussians: Gaussians) -> None:
    gaussians.ranks.tell(_Back())


def _help_to_draw(gaussians: Gaussians, wish: _Draw) -> Callable[[], object] | None:
    """On the other ranks: what `lead_render` does on rank 0. Returns its backward pass, if it has one."""
    viewmat = None if wish.viewmat is None else wish.viewmat.to(gaussians.device).requires_grad_(wish.moves)
    with torch.set_grad_enabled(wish.moves):
        sharing, _ = _lent(gaussians, Request(wish.camera, NOTHING, wish.settings, viewmat=viewmat))
        return partial(torch.autograd.grad, sharing.anchor, viewmat) if wish.moves and viewmat is not None else None


def _lent(gaussians: Gaussians, request: Request) -> tuple[Sharing, Tensor]:
    """The splats of a camera, brought to rank 0, and how many Gaussians of all ranks are not finite."""
    ranks, viewmat = gaussians.ranks, request.viewmat
    if viewmat is not None:
        viewmat = on_all(viewmat, ranks)
    splats = project(gaussians, request.camera, request.settings, viewmat=viewmat)
    nonfinite = ranks.sum_(splats.num_nonfinite.reshape(1))
    return Sharing(gaussians, [splats], [0], request.settings), nonfinite[0]


def whole_arrays(gaussians: Gaussians) -> GaussianArrays:
    """All Gaussians on the host of rank 0, those that rank 0 owns first."""
    if gaussians.shard is None:
        return gaussians.to_arrays()
    gaussians.ranks.tell(_Part())
    return joined(list(parts(gaussians)))
