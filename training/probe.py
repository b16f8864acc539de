"""How long training steps take: some are made with copies of the Gaussians, before the first that counts."""

from __future__ import annotations

import time
from statistics import median
from typing import NamedTuple

import torch
from torch import Tensor

from gaussian_renderer import RenderSettings
from scene.gaussians.model import PARAMETERS, Gaussians
from scene.gaussians.optimizer import Optimizer
from scene.gaussians.shard import Shard
from scene.loading.image_cache import ShuffledViews
from training.batch import Shot, forward
from training.corrections import Corrections
from training.loss import Loss
from training.plan import Speed, most_expected
from training.state import TrainingState
from training.strategies.split_longest import SplitShape, split_longest
from utils.distributed import Ranks

WARM_UP, STEPS = 2, 10
PART_OF_TIME = 0.02  # that measuring one number of Gaussians takes at most
SEEN_AT = 3_000  # the step whose settings are used: most of a run has all harmonics


class Probe(NamedTuple):
    """What a training step that is measured is made with."""

    objective: Loss
    settings: RenderSettings
    background: Tensor  # (3,)
    photos: int  # of a step

    def speed(self, state: TrainingState, seconds: float) -> Speed:
        """Of steps with the Gaussians as they are, and with as many as the strategy expects at most in a run of
        `seconds`, for each photo. The state stays as it is, to the bit. A call of all ranks, who learn what rank 0 has
        measured."""
        gaussians, limit = _copy(state.gaussians), PART_OF_TIME * seconds
        few = (float(gaussians.total), self._step_seconds(gaussians, state, limit))
        target = most_expected(state.strategy.expected_count)
        if target <= 1.2 * gaussians.total:
            return Speed.through(few, few)
        larger = _grown(gaussians, target)
        return Speed.through(few, (float(target), self._step_seconds(larger, state, limit)))

    def _step_seconds(self, gaussians: Gaussians, state: TrainingState, limit: float) -> float:
        """Of a photo, the median over a few steps."""
        optimizer = Optimizer(gaussians, state.optimizer.rates, state.optimizer.visible_only)
        # the same photos in the same memory, in an order that is not the run's
        views = ShuffledViews(state.photos.photos.placed(lambda camera: camera), torch.Generator().manual_seed(0))
        ranks, times = gaussians.ranks, list[float]()
        begun = time.perf_counter()
        for _ in range(WARM_UP + STEPS):
            shots = self._shots(views, ranks)
            start = time.perf_counter()
            made = forward(gaussians, Corrections(), self.objective, shots)
            made.backward()
            optimizer.step(made.visible, images=self.photos)
            if gaussians.device.type == "cuda":
                torch.cuda.synchronize(gaussians.device)
            now = time.perf_counter()
            taken, since = ranks.tell((now - start, now - begun))
            times.append(taken / self.photos)
            if len(times) > WARM_UP and since > limit:
                break
        return median(times[WARM_UP:])

    def _shots(self, views: ShuffledViews, ranks: Ranks) -> list[Shot]:
        """Photos of a step. Raises: UserError where there is no undamaged one."""
        weights = self.objective.weights(1)
        settings, cameras = self.objective.drawn(self.settings, weights), [each.camera for each in views.photos.views]
        return [
            Shot(1, cameras[index], None, photo, self.background, settings, weights)
            for index, photo in views.next_batch(self.photos, ranks)
        ]


def _copy(gaussians: Gaussians) -> Gaussians:
    return Gaussians({name: gaussians.parameters[name].detach().clone() for name in PARAMETERS}, gaussians.shard)


def _grown(gaussians: Gaussians, count: int) -> Gaussians:
    """Split until there are about `count` on all ranks, on each its part of them."""
    grown, count = _copy(gaussians), round(count * len(gaussians) / gaussians.total)
    while len(grown) < count:
        parents = torch.arange(len(grown), device=grown.device) < count - len(grown)
        pair = split_longest(grown, parents, SplitShape())
        rest = {name: grown.parameters[name].detach()[~parents] for name in PARAMETERS}
        grown = Gaussians({name: torch.cat([rest[name], pair[name]]) for name in PARAMETERS})
    if gaussians.shard is not None:
        ranks = gaussians.ranks
        ids = torch.arange(len(grown), device=grown.device) * ranks.size + ranks.rank
        grown.shard = Shard(ranks, ids, created=ranks.size * count)
    return grown
