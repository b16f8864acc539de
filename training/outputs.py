"""What a run leaves on its way and at its end: previews, evaluations, point clouds, checkpoints, pages."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import torch
from torch import Tensor

from arguments import RunOptions
from gaussian_renderer import RenderSettings
from gaussian_renderer.render_views import measure, render_views
from scene.io import write_gaussians
from scene.loading.image_cache import ViewCache
from scene.types import Scene, View
from training.checkpoint import checkpoint_path, save_checkpoint
from training.monitor import Step
from training.run_logger import RunLogger
from training.state import TrainingState
from utils import output_dir
from utils.errors import UserError
from utils.metrics import image as metrics
from utils.metrics import renders
from utils.reporting.html_report import write_summary


class RunOutputs:
    """The files of a run in its model folder. Leaves a checkpoint when the run ends for want of memory.

    Views are measured before `background`, (3,), as `settings` says for an iteration.
    """

    def __init__(
        self,
        run: RunOptions,
        scene: Scene,
        state: TrainingState,
        report: RunLogger,
        folder: Path,
        *,
        background: Tensor,
        settings: Callable[[int], RenderSettings],
    ) -> None:
        self.run, self.scene, self.state = run, scene, state
        self.report, self.folder = report, folder
        self.background, self.settings = background, settings
        self.device = state.gaussians.device
        self.test = ViewCache(scene.test, self.device)

    def __enter__(self) -> RunOutputs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and _is_out_of_memory(error):
            self._out_of_memory(error)

    def due(self, iteration: int) -> bool:
        """Whether more than a preview comes of this step."""
        run = self.run
        steps = (*run.test_iterations, *run.save_iterations, *run.checkpoint_iterations, run.iterations)
        return iteration in steps

    def after_step(self, step: Step) -> None:
        """Whatever is due."""
        run, iteration = self.run, step.iteration
        last = iteration == run.iterations
        if self.report.preview_due(iteration):
            self.report.preview(iteration, step.output.color, step.photo.color, step.photo.camera.name)
        if iteration in run.test_iterations and len(self.test) and not last:
            scores = measure(self.state.gaussians, self.test, self.background, self.settings(iteration))
            self.report.evaluation(iteration, "test", scores, len(self.test))
        if iteration in run.save_iterations or last:
            path = output_dir.point_cloud_path(self.folder, iteration)
            write_gaussians(path, self.state.gaussians.to_arrays())
            self.report.saved(path)
        if iteration in run.checkpoint_iterations:
            self.save_checkpoint()

    def save_checkpoint(self) -> Path:
        """Keep the state as it is."""
        path = checkpoint_path(self.folder, self.state.iteration)
        save_checkpoint(path, self.state.to_checkpoint())
        self.report.saved(path)
        return path

    def interrupted(self) -> None:
        """Keep the state, and say how to go on."""
        if self.state.iteration not in self.run.checkpoint_iterations:
            self.save_checkpoint()
        self.report.outcome("interrupted")
        self.report.event(f"stopped; go on with: {self._resume}")

    def finish(self) -> None:
        """Render and measure the held-out views, and draw the pages that sum the run up."""
        iteration = self.run.iterations
        part, views = _shown_views(self.scene)
        rendered = self.folder / part / f"ours_{iteration}"
        photos = ViewCache(views, self.device)
        settings = self.settings(iteration)
        for _ in render_views(self.state.gaussians, photos, rendered, self.background, settings):
            pass
        scores = renders.evaluate_model(self.folder)[rendered.name]
        shown = {name: scores[name] for name in metrics.NAMES} | {"depth_MAE": scores.get("depth", {}).get("MAE")}
        self.report.evaluation(iteration, part, shown, len(views))
        self.report.summary(write_summary(self.folder))

    @property
    def _resume(self) -> str:
        return f"python train.py -m {shlex.quote(str(self.folder))} --resume"

    def _out_of_memory(self, error: BaseException) -> None:
        """What changes the state does so whole or not at all, so it is that after a step wherever memory ran out."""
        count, done = len(self.state.gaussians), self.state.iteration
        text = (
            f"out of memory after {done} iterations, with {count:,} Gaussians; less is needed with --max_gaussians, "
            "smaller photos (-r) and --data_device cpu"
        )
        if done:
            text += f"; {self.save_checkpoint()} holds these: {self._resume} --max_gaussians {count}"
        raise UserError(text) from error


def _is_out_of_memory(error: BaseException) -> bool:
    """torch's own error, or what becomes of it on its way out of an extension."""
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error)


def _shown_views(scene: Scene) -> tuple[str, tuple[View, ...]]:
    """What is rendered at the end: the test views, or every 8th training view where there are none."""
    return ("test", scene.test) if scene.test else ("train", scene.train[::8])
