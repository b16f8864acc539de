"""How long training steps take: some are made with copies of the Gaussians, before the first that counts."""

from __future__ import annotations

import time
from statistics import median
from typing import NamedTuple

import torch
from torch import Tensor

from gaussian_renderer import RenderSettings, render
from scene.gaussians.model import PARAMETERS, Gaussians
from scene.gaussians.optimizer import Optimizer
from scene.loading.image_cache import LoadedView, ViewCache
from training.loss import Loss
from training.plan import Speed
from training.state import TrainingState
from training.strategies.split_longest import SplitShape, split_longest
from utils.losses.photometric import backward_weighted_sum

WARM_UP, STEPS = 2, 10
PART_OF_TIME = 0.02  # that measuring one number of Gaussians takes at most
SEEN_AT = 3_000  # the step whose settings are used: most of a run has all harmonics


class Probe(NamedTuple):
    """What a training step that is measured is made with."""

    objective: Loss
    settings: RenderSettings
    background: Tensor  # (3,)

    def speed(self, state: TrainingState, seconds: float) -> Speed:
        """Of steps with the Gaussians as they are, and with as many as the strategy expects at the end of a run of
        `seconds`. The state stays as it is, to the bit."""
        gaussians, limit = _copy(state.gaussians), PART_OF_TIME * seconds
        few = (float(len(gaussians)), self._step_seconds(gaussians, state, limit))
        target = round(state.strategy.expected_count(1.0))
        if target <= 1.2 * len(gaussians):
            return Speed.through(few, few)
        larger = _grown(gaussians, target)
        return Speed.through(few, (float(target), self._step_seconds(larger, state, limit)))

    def _step_seconds(self, gaussians: Gaussians, state: TrainingState, limit: float) -> float:
        """The median over a few photos, evenly chosen."""
        optimizer = Optimizer(gaussians, state.optimizer.rates, state.optimizer.visible_only)
        photos: ViewCache = state.photos.photos
        weights, times = self.objective.weights(1), list[float]()
        begun = time.perf_counter()
        for step in range(WARM_UP + STEPS):
            photo = _from(photos, step * len(photos) // (WARM_UP + STEPS))
            start = time.perf_counter()
            sensor = self.objective.sensor(photo, weights)
            settings = self.objective.drawn(self.settings, weights)
            output = render(gaussians, photo.camera, self.background, settings, sensor=sensor)
            terms = self.objective.terms(output, photo, self.background, gaussians, weights)
            backward_weighted_sum([(terms, weights)])
            optimizer.step(output.radii > 0)
            if gaussians.device.type == "cuda":
                torch.cuda.synchronize(gaussians.device)
            times.append(time.perf_counter() - start)
            if len(times) > WARM_UP and time.perf_counter() - begun > limit:
                break
        return median(times[WARM_UP:])


def _from(photos: ViewCache, index: int) -> LoadedView:
    """The first undamaged photo from `index` on. Raises: UserError where there is none at all."""
    found = (photos.find((index + step) % len(photos)) for step in range(len(photos)))
    return next(photo for photo in found if photo is not None)


def _copy(gaussians: Gaussians) -> Gaussians:
    return Gaussians({name: gaussians.parameters[name].detach().clone() for name in PARAMETERS})


def _grown(gaussians: Gaussians, count: int) -> Gaussians:
    """Split until there are `count`."""
    grown = _copy(gaussians)
    while len(grown) < count:
        parents = torch.arange(len(grown), device=grown.device) < count - len(grown)
        pair = split_longest(grown, parents, SplitShape())
        rest = {name: grown.parameters[name].detach()[~parents] for name in PARAMETERS}
        grown = Gaussians({name: torch.cat([rest[name], pair[name]]) for name in PARAMETERS})
    return grown
