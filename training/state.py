"""Everything that changes during a run, and its way into a checkpoint and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from scene.gaussians.model import PARAMETERS, Gaussians
from scene.gaussians.optimizer import Optimizer
from scene.loading.image_cache import LoadedView, ShuffledViews
from scene.types import Camera
from training.checkpoint_checks import (
    check_count,
    check_generator,
    check_like,
    check_order,
    check_scene,
    check_settings,
    fingerprint,
)
from training.corrections import Corrections
from training.distributed.balance import is_uneven, rebalance
from training.strategies import make_strategy
from training.strategies.base import Strategy, StrategyInputs
from utils.errors import UserError

ENTRIES = ("iteration", "scene", "settings", "gaussians", "optimizer", "strategy", "photos", "generator")
MAX_ITERATION = 2**31 - 1


@dataclass
class TrainingState:
    """The state after `iteration` steps. With the same settings it determines all that follows, to the bit."""

    gaussians: Gaussians
    optimizer: Optimizer
    strategy: Strategy
    photos: ShuffledViews
    generator: torch.Generator  # on the CPU; every random number of the run comes from it
    fixed: Mapping[str, Any]  # settings by flag that a run cannot go on without: others could only be ignored
    corrections: Corrections = field(default_factory=Corrections)  # of the training photos
    iteration: int = 0
    _images: int = 1  # of the step that is being made
    _begun: dict[str, Any] | None = None  # what chance had in store before the step that is being made

    @classmethod
    def start(
        cls, inputs: StrategyInputs, fixed: Mapping[str, Any], corrections: Corrections | None = None
    ) -> TrainingState:
        """The state before the first step, with the strategy made from `inputs`."""
        corrections, photos = corrections or Corrections(), ShuffledViews(inputs.photos, inputs.generator)
        inputs = inputs._replace(photos=corrections.placed(inputs.photos))
        strategy = make_strategy(inputs.densification.strategy, inputs)
        return cls(inputs.gaussians, inputs.optimizer, strategy, photos, inputs.generator, fixed, corrections)

    @property
    def strategy_name(self) -> str:
        """By which `make_strategy` made the strategy."""
        return self.strategy.inputs.densification.strategy

    def next_batch(self, count: int) -> list[tuple[Camera, Tensor | None, LoadedView | None]]:
        """Begin a step with the photos that it is to look at: for each the camera, its refined pose in the graph, where
        poses are refined, and the photo with that on the rank that renders it; see `ShuffledViews.next_batch`."""
        self._begun, self._images = self._chance(), count
        batch = self.photos.next_batch(count, self.gaussians.ranks)
        cameras = [self.photos.photos.views[index].camera for index, _ in batch]
        viewmats = [self.corrections.viewmat(camera) for camera in cameras]
        photos = [
            photo if photo is None or viewmat is None else photo._replace(viewmat=viewmat)
            for (_, photo), viewmat in zip(batch, viewmats, strict=True)
        ]
        return list(zip(cameras, viewmats, photos, strict=True))

    def step_done(self) -> None:
        """The Gaussians have moved: the step's photos count."""
        self.iteration += self._images
        self._begun = None

    def average(self, part: float, iterations: int) -> None:
        """Average the Gaussians over the last `part` of a run of `iterations`; at its end they become their average."""
        if self.iteration > (1 - part) * iterations:
            self.optimizer.follow()
        else:  # also where the run has become longer
            self.optimizer.average = None
        if self.iteration >= iterations:
            self.optimizer.settle()

    def to_checkpoint(self) -> dict[str, Any]:
        """What `restore` needs; shares memory with the state. A step that is not done has not begun."""
        return {
            "iteration": self.iteration,
            "scene": fingerprint(self.strategy.inputs.scene),
            "settings": {"strategy": self.strategy_name, **self.fixed},
            "gaussians": {name: self.gaussians.parameters[name].detach() for name in PARAMETERS},
            **({} if (shard := self.gaussians.shard) is None else {"ids": shard.ids, "created": shard.created}),
            "optimizer": self.optimizer.state(),
            "strategy": {"name": self.strategy_name, "state": self.strategy.state_dict()},
            **({"corrections": learned} if (learned := self.corrections.state()) else {}),
            **(self._begun or self._chance()),
        }

    def take_result(self, gaussians: Gaussians, iteration: int) -> None:
        """Become the end of a run, after which nothing is trained: these Gaussians, and nothing for them to move."""
        for name in PARAMETERS:
            self.gaussians.replace(name, gaussians.parameters[name])
        self.iteration = iteration

    def restore(self, checkpoint: Mapping[str, Any]) -> None:
        """Become the state that `to_checkpoint` described. UserError, before anything is changed, when it is of another
        scene or other settings, or not made as a state is made."""
        self._check(checkpoint)
        if self.gaussians.shard is not None:
            self.gaussians.shard.take(checkpoint["ids"], checkpoint["created"])
        self.photos.load_state(checkpoint["photos"])
        self.iteration = checkpoint["iteration"]
        for name in PARAMETERS:
            self.gaussians.replace(name, checkpoint["gaussians"][name])
        self.optimizer.load_state(checkpoint["optimizer"])
        self.strategy.load_state_dict(checkpoint["strategy"]["state"])
        self.corrections.load_state(checkpoint.get("corrections", {}))
        self.generator.set_state(checkpoint["generator"].cpu())

    def _check(self, checkpoint: Mapping[str, Any]) -> None:
        like = self.to_checkpoint()
        like["optimizer"] = self.optimizer.state(averaged=_has_average(checkpoint["optimizer"]))
        check_scene(checkpoint["scene"], like["scene"], self.strategy.inputs.scene)
        check_settings(checkpoint["settings"], like["settings"])
        self.corrections.check(checkpoint.get("corrections", {}))
        means = checkpoint["gaussians"].get("means") if isinstance(checkpoint["gaussians"], dict) else None
        count = len(means) if isinstance(means, torch.Tensor) and means.dim() else 0
        total = sum(each for (each,) in self.gaussians.ranks.counts([count]))
        if total == 0:
            raise UserError("the checkpoint has no Gaussians")
        rows = (len(self.gaussians), count)
        for name in ("gaussians", "optimizer", "strategy"):
            check_like(checkpoint[name], like[name], name, rows)
        for place, scales in _scales_of(checkpoint).items():
            if not scales.exp().square().isfinite().all():
                raise UserError(f"{place}.scales of the checkpoint holds scales whose squares are not finite")
        if _has_average(checkpoint["optimizer"]):
            check_count(checkpoint["optimizer"]["average"]["count"], "optimizer.average.count", MAX_ITERATION)
        if any((second < 0).any() for _, second in checkpoint["optimizer"]["moments"].values()):
            raise UserError("optimizer.moments of the checkpoint has mean squares under 0")
        steps = check_count(checkpoint["iteration"], "iteration", MAX_ITERATION)
        if checkpoint["optimizer"]["steps"] != steps:
            raise UserError(f"the checkpoint has {steps} iterations, but {checkpoint['optimizer']['steps']} steps")
        check_like(checkpoint["photos"], {"names": [], "waiting": []}, "photos")
        check_order(checkpoint["photos"]["waiting"], "photos.waiting", len(self.photos.photos))
        check_generator(checkpoint["generator"], "generator")
        most = self.strategy.inputs.densification.max_gaussians or 0
        if 0 < most < total:
            raise UserError(
                f"--max_gaussians {most}: the checkpoint has {total:,} already; give that, or 0 for no limit"
            )

    def balance(self) -> bool:
        """Spread the Gaussians evenly over the ranks, where some own many more than others; whether they moved."""
        shard = self.gaussians.shard
        if shard is None or not is_uneven(shard.counts):
            return False
        self.strategy.load_state_dict(rebalance(self.gaussians, self.optimizer, self.strategy.state_dict()))
        return True

    def fault(self) -> str | None:
        """Why there is no going on from this state, in words; None where there is."""
        values = self.gaussians.parameters
        if not self.gaussians.activated_scales.square().isfinite().all():
            return "the squares of the Gaussians' scales are not all finite"
        for name, moments in self.optimizer.moments.items():
            if not values[name].isfinite().all():
                return f"the {name} of the Gaussians are not all finite"
            if not all(moment.isfinite().all() for moment in moments):
                return f"the optimizer's moments of the {name} are not all finite"
            if any(moment.shape != values[name].shape for moment in moments):  # the second Ctrl-C came in between
                return f"the optimizer's moments are not those of the {len(self.gaussians):,} Gaussians"
        return self.corrections.fault()

    def forget_nonfinite_statistics(self) -> None:
        """Statistics to which a gradient that was not finite has been added start again from 0."""
        self.strategy.load_state_dict(_finite(self.strategy.state_dict()))

    def _chance(self) -> dict[str, Any]:
        return {"photos": self.photos.state(), "generator": self.generator.get_state()}


def _has_average(optimizer: Any) -> bool:
    return isinstance(optimizer, Mapping) and "average" in optimizer


def _scales_of(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Logarithms of scales by their place in a checkpoint."""
    found: dict[str, Tensor] = {"gaussians": checkpoint["gaussians"]["scales"]}
    if _has_average(checkpoint["optimizer"]):
        found["optimizer.average.values"] = checkpoint["optimizer"]["average"]["values"]["scales"]
    return found


def _finite(value: Any) -> Any:
    """`value`, made of tensors, dicts and lists, with 0 for every number that is not finite."""
    if isinstance(value, torch.Tensor) and value.is_floating_point():
        return value.nan_to_num(0.0, 0.0, 0.0)
    if isinstance(value, Mapping):
        return {name: _finite(each) for name, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list) else value
