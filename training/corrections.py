"""What a run learns of each training photo beside the Gaussians: its exposure, its pose, both or none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from diff_gaussian_rasterization import RasterOutput
from gaussian_renderer import RenderSettings, SensorDepth, render
from gaussian_renderer.exposures import Exposures
from scene.gaussians.model import Gaussians
from scene.loading.image_cache import LoadedView, ViewCache
from scene.types import Camera
from training.checkpoint_checks import check_count, check_like
from training.exposure import Exposure
from training.pose_refinement import PoseRefinement
from utils.distributed import ONE, Ranks
from utils.errors import UserError

MAX_STEPS = 2**31 - 1
FLAGS = {"exposure": "--exposure on", "poses": "--refine_poses"}


class Corrections:
    """The exposures and poses of the training photos, where a run learns them."""

    def __init__(self, exposure: Exposure | None = None, poses: PoseRefinement | None = None, reason: str = "") -> None:
        """`reason`: why exposures are learned, or not, where the run has decided that by itself."""
        self.exposure, self.poses, self.reason = exposure, poses, reason
        both = {"exposure": exposure, "poses": poses}
        self._learned = {name: each for name, each in both.items() if each is not None}

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        """What is learned, by name, a row for each training photo."""
        return {name: value for each in self._learned.values() for name, value in each.parameters.values.items()}

    def viewmat(self, camera: Camera) -> Tensor | None:
        """(4,4) the refined pose of a training photo, in the graph; None where poses are as they are."""
        return None if self.poses is None else self.poses.viewmat(camera.name)

    def render(
        self,
        gaussians: Gaussians,
        photo: LoadedView,
        background: Tensor,
        settings: RenderSettings,
        sensor: SensorDepth | None = None,
    ) -> RasterOutput:
        """What a training photo should show: from its pose, in its exposure."""
        output = render(gaussians, photo.camera, background, settings, viewmat=photo.viewmat, sensor=sensor)
        return self.exposed(output, photo.camera)

    def exposed(self, output: RasterOutput, camera: Camera) -> RasterOutput:
        """A training photo's rendering in its exposure."""
        if self.exposure is None:
            return output
        return output._replace(color=self.exposure.apply(output.color, camera.name))

    def placed(self, photos: ViewCache) -> ViewCache:
        """Photos, the training ones each with its camera where the refinement has it when it is asked for."""
        return photos if self.poses is None else photos.placed(self.poses.camera)

    def exposures(self) -> Exposures | None:
        """By which renders are compared with photos, those held out too; None where no exposure is learned."""
        return None if self.exposure is None else Exposures(self.exposure.learned())

    def step(self, iteration: int, iterations: int, finite: Tensor, images: int = 1, ranks: Ranks = ONE) -> None:
        """Move all along their gradients after step `iteration` of `iterations`; see `ViewParameters.step`. Each rank
        has all of them, and gradients of the photos that it draws: they are added up."""
        for each in self._learned.values():
            each.parameters.add_up(ranks)
            each.step(iteration, iterations, finite, images)

    def write(self, folder: Path) -> None:
        """exposure.json and poses_refined.json in the model folder."""
        for each in self._learned.values():
            each.write(folder)

    def facts(self) -> dict[str, Any]:
        """What of it is learned, and why, for run.json."""
        return {**{name: name in self._learned for name in FLAGS}, "reason": self.reason}

    def opening(self) -> str:
        """What of it is learned, for people; "" where nothing is to be said."""
        lines = [self.reason]
        if self.exposure is not None and not self.reason:
            lines.append("a color transform is learned for each photo (exposure.json)")
        if self.poses is not None:
            lines.append("the poses of the training photos are refined (poses_refined.json)")
        return "; ".join(line for line in lines if line)

    def fault(self) -> str | None:
        """Why there is no going on from this, in words; None where there is."""
        spoilt = [name for name, each in self._learned.items() if not each.parameters.is_finite()]
        return f"the {spoilt[0]} of the photos are not all finite" if spoilt else None

    # ---- checkpoints

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps; empty where nothing is learned."""
        return {name: each.parameters.state() for name, each in self._learned.items()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned for the same photos."""
        for name, each in self._learned.items():
            each.parameters.load_state(state[name])

    def check(self, stored: Any) -> None:
        """UserError unless a checkpoint's entry is one of the same kind."""
        if not isinstance(stored, Mapping):
            raise UserError("corrections of the checkpoint must hold what was learned of each photo")
        for name, flag in FLAGS.items():
            if name in self._learned and name not in stored:
                without = "--exposure off" if name == "exposure" else "no --refine_poses"
                raise UserError(
                    f"{flag}: the checkpoint was made without, perhaps by an older version; go on with {without}, or "
                    "start again by --overwrite"
                )
            if name in stored and name not in self._learned:
                raise UserError(f"the checkpoint was made with {flag}; go on with that, or start again by --overwrite")
        check_like(stored, self.state(), "corrections")
        for name, each in stored.items():
            check_count(each["steps"], f"corrections.{name}.steps", MAX_STEPS)
            if any((second < 0).any() for second in each["second"].values()):
                raise UserError(f"corrections.{name} of the checkpoint has mean squares under 0")


def learned_in(checkpoint: Mapping[str, Any]) -> Iterator[str]:
    """What of it a checkpoint has: "exposure", "poses"."""
    stored = checkpoint.get("corrections", {})
    return (name for name in FLAGS if isinstance(stored, Mapping) and name in stored)
