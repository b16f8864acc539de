"""Adaptive density control, the growing half: section 5.2 of 3DGS (Kerbl et al. 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from scene.gaussians.model import PARAMETERS, Gaussians
from scene.gaussians.optimizer import Optimizer, edit_rows
from training.strategies.rule_log import RuleLog, note
from training.strategies.split_longest import SplitShape, split_longest
from utils.quaternion import rotate
from utils.selection import top_k

SPLIT_CHILDREN = 2
SPLIT_SHRINK = 0.8 * SPLIT_CHILDREN  # the children's scales are the parent's divided by this (phi = 1.6 in the paper)

GRAD_THRESHOLD = 2e-4  # of the paper, whose photos have about ...
FULL_SIZE = 1e6  # ... this many pixels
SIZE_EXPONENT = 0.2

DENSITY_ROWS = ("grad_sum", "views", "screen_size")


def default_grad_threshold(pixels: float) -> float:
    """The gradient threshold for photos of this many pixels: the paper's, but more for photos under a megapixel.

    The gradient, in half image sizes, hardly depends on the resolution, so one threshold gives small photos as many
    Gaussians as large ones. With an exponent of 0.6 their number goes with that of the pixels, which starved small
    photos: at a quarter of a megapixel and less it cost 0.3 to 2.4 dB on five of seven scenes. With 0.2 they are within
    0.4 dB of the paper's threshold without pruning, with half to three quarters of its Gaussians
    (docs/experiments/defaults.md).
    """
    return GRAD_THRESHOLD * max(1.0, FULL_SIZE / pixels) ** SIZE_EXPONENT


class DensityStatistics:
    """What the views since the last reset have shown of each Gaussian.

    rows: grad_sum (N,) the sum, over the views that saw it, of the norm of the loss's gradient by its center in the
    image, in half image sizes (so that the threshold does not depend on the resolution); views (N,) how many saw it;
    screen_size (N,) its largest radius in the image, in parts of the image's larger side.
    """

    def __init__(self, count: int, device: str | torch.device = "cpu") -> None:
        self.rows = {name: torch.zeros(count, device=device) for name in DENSITY_ROWS}

    @torch.no_grad()
    def observe(self, means2d_grad: Tensor, radii: Tensor, width: int, height: int) -> None:
        """Add one view of `width` × `height` pixels. `means2d_grad`: (N,2) per pixel; `radii`: (N,) pixels, 0 unseen.

        `means2d_grad` is signed or absolute, whichever the threshold is meant for.
        """
        seen, sizes = radii > 0, radii / max(width, height)
        x, y = means2d_grad.unbind(1)
        self.rows["grad_sum"].addcmul_(seen, torch.hypot(x * (width / 2), y * (height / 2)))
        self.rows["views"] += seen
        torch.maximum(self.rows["screen_size"], sizes, out=self.rows["screen_size"])

    def mean_gradient(self) -> Tensor:
        """(N,) the mean over the views that saw a Gaussian; 0 where none did."""
        return self.rows["grad_sum"] / self.rows["views"].clamp(min=1)

    def reset(self) -> None:
        """Forget the views. To be called after everything that uses them, never before."""
        for name in DENSITY_ROWS:
            self.rows[name].zero_()

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint keeps."""
        return dict(self.rows)

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` returned."""
        self.rows = dict(state)


class Densified(NamedTuple):
    """How many Gaussians were cloned and split."""

    cloned: int
    split: int


@torch.no_grad()
def densify(
    gaussians: Gaussians,
    optimizer: Optimizer,
    statistics: DensityStatistics,
    *,
    grad_threshold: float,
    clone_below: float,
    max_gaussians: int,
    generator: torch.Generator,
    shape: SplitShape | None = None,
    log: RuleLog | None = None,
) -> Densified:
    """Clone the small and split the large Gaussians whose mean view-space gradient is over `grad_threshold`.

    Small: longest standard deviation at most `clone_below` (world units). A clone is an exact copy; a split one is
    replaced by two drawn from it (with `generator`, on the CPU), 1.6 × smaller, or by two along its longest axis where
    a `shape` is given. Each adds one Gaussian; where `max_gaussians` (0: no limit) leaves no room for all, those with
    the highest gradient go first. `log` receives the gradients that were compared.
    """
    gradient = statistics.mean_gradient()
    note(log, "gradient", gradient, grad_threshold, gaussians)
    candidates = gradient > grad_threshold
    if max_gaussians:
        candidates = top_k_mask(gradient, candidates, max_gaussians - gaussians.total, gaussians)
    small = gaussians.activated_scales.amax(dim=1) <= clone_below
    clone, split = candidates & small, candidates & ~small
    clones = {name: gaussians.parameters[name].detach()[clone] for name in PARAMETERS}
    children = split_longest(gaussians, split, shape) if shape else _children(gaussians, split, generator)
    added = {name: torch.cat([clones[name], children[name]]) for name in PARAMETERS}
    parents = [clone.nonzero().squeeze(1), *[split.nonzero().squeeze(1)] * SPLIT_CHILDREN]
    counts = gaussians.ranks.sum_(torch.stack([clone.sum(), split.sum()])).tolist()
    edit_rows(gaussians, optimizer, statistics, ~split, added, parents)
    return Densified(*counts)


@torch.no_grad()
def reset_opacities(gaussians: Gaussians, optimizer: Optimizer, ceiling: float = 0.01) -> None:
    """Lower every opacity to at most `ceiling`, so that what no view needs stays low and is pruned."""
    highest = torch.logit(torch.tensor(ceiling)).item()
    gaussians.opacities.clamp_(max=highest)
    optimizer.forget("opacities")


def top_k_mask(values: Tensor, candidates: Tensor, count: int, gaussians: Gaussians) -> Tensor:
    """The `count` candidates with the highest values, of those on all ranks, ties by index: (N,) bool."""
    if gaussians.shard is not None:
        return top_k(values, candidates, count, gaussians.shard.ids, gaussians.ranks)
    order = torch.where(candidates, values, -torch.inf).argsort(descending=True, stable=True)
    chosen = torch.zeros_like(candidates)
    chosen[order[: max(count, 0)]] = True
    return chosen & candidates


def _noise(gaussians: Gaussians, parents: Tensor, generator: torch.Generator) -> Tensor:
    """(C,3) normal numbers for the children of `parents`, (N,) bool: those that they would get on one rank."""
    places, count = gaussians.places(parents.nonzero().squeeze(1))
    every = torch.randn(SPLIT_CHILDREN, count, 3, generator=generator)
    return every[:, places.cpu()].flatten(0, 1)


def _children(gaussians: Gaussians, parents: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    """The raw parameters of two children for each of the `parents`, (N,) bool."""
    children = {
        name: values.detach()[parents].repeat(SPLIT_CHILDREN, *[1] * (values.dim() - 1))
        for name, values in gaussians.parameters.items()
    }
    noise = _noise(gaussians, parents, generator).to(children["scales"])
    offsets = rotate(children["quats"], noise * children["scales"].exp())
    children["means"] = children["means"] + offsets
    children["scales"] = children["scales"] - torch.log(children["scales"].new_tensor(SPLIT_SHRINK))
    return children
