"""What a run leaves on its way and at its end: point clouds, checkpoints, evaluations, previews, pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from arguments import RunOptions
from gaussian_renderer import RenderSettings, render
from gaussian_renderer.render_views import measure, render_views, summarized
from gaussian_renderer.sharded import leading, whole_arrays
from gaussian_renderer.viewer_page import write_viewer_page
from scene.histograms import histograms
from scene.loading.contents import ContentCheck
from scene.loading.image_cache import ViewCache, readable
from scene.types import Scene, View
from training.batch import Step
from training.held_out_poses import HeldOutPoses
from training.rescue import Rescue, is_out_of_memory
from training.run_logger import RunLogger
from training.state import TrainingState
from utils.console import complain
from utils.errors import UserError, reason
from utils.files import write_json
from utils.image_io import to_bytes
from utils.metrics import image as metrics
from utils.metrics import renders
from utils.reporting.html_report import write_summary
from utils.sampling import subsample
from utils.text import score_text

SHOWN_VIEWS = 4  # in TensorBoard
MEASURING, PAGES, VIEWER = "measuring the renders", "writing the pages", "writing viewer.html"


class RunOutputs:
    """The files of a run in its model folder. Whatever ends the run early, it leaves the last good state.

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
        self.rescue = Rescue(state, report, folder, run.iterations)
        self._held_out: dict[str, ViewCache] = {}  # of the test views and the far ones, those that can be decoded
        self._contents = ContentCheck((*scene.test, *scene.train))

    def __enter__(self) -> RunOutputs:
        self._contents.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._contents.__exit__(kind, error, trace)
        if error is None or self.rescue.done:
            return
        if self.state.gaussians.shard is not None:  # who knows where the other ranks are
            text = "out of memory" if is_out_of_memory(error) else reason(error)
            kept = self.rescue.left_before()
            if isinstance(error, (UserError, OSError)) or is_out_of_memory(error):
                raise UserError("\n".join(filter(None, (text, kept)))) from error
            if kept and self.state.gaussians.ranks.leads:
                complain(kept)
            return
        if is_out_of_memory(error):
            raise UserError(self.rescue.after_out_of_memory()) from error
        kept = self.rescue.leave()
        if isinstance(error, (UserError, OSError)):
            raise UserError("\n".join(filter(None, (reason(error), kept)))) from error
        if kept:  # the traceback follows
            complain(kept)

    def lengthened(self, run: RunOptions) -> None:
        """The run, with another number of steps than before."""
        self.run, self.rescue.iterations = run, run.iterations

    def due(self, iteration: int) -> bool:
        """Whether more than a preview comes of this step."""
        run = self.run
        steps = (*run.test_iterations, *run.save_iterations, *run.checkpoint_iterations, run.iterations)
        return iteration in steps

    def after_step(self, steps: Sequence[Step]) -> None:
        """Whatever is due after the photos of a step: first what is kept, then what is measured and shown."""
        for step in steps:
            self._after_photo(step.iteration)
        shown = next((step for step in steps if step.output is not None), None)
        if shown is not None and shown.photo is not None and shown.output is not None:
            for step in steps:
                if self.report.preview_due(step.iteration):
                    pictures = shown.output.color, shown.photo.color
                    self.report.preview(step.iteration, *pictures, shown.camera.name)

    def _after_photo(self, iteration: int) -> None:
        run = self.run
        last = iteration == run.iterations
        for fault in (*self._contents.new_faults(), *self.state.photos.damaged):
            self.report.warn_once(f"{fault}; what it shows is left out")
        if iteration in run.save_iterations or last:
            self._save(self.rescue.save_point_cloud, needed=last)
        if iteration in run.checkpoint_iterations:
            self._save(self.rescue.save_checkpoint, needed=False)
        if iteration in run.test_iterations and (self.scene.test or self.scene.far) and not last:
            with leading(self.state.gaussians), self.report.chatter.attempt("measuring the test views"):
                self._evaluate(iteration)

    def interrupted(self) -> None:
        """Keep the state, and say how to go on."""
        self.report.outcome("interrupted")
        kept = self.rescue.leave()
        if self.rescue.failed:
            raise UserError(f"stopped; {kept}")
        self.report.event(f"stopped; {kept}")

    def goes_on(self) -> None:
        """The run that was interrupted is not to stop after all."""
        self.rescue.done = False
        self.report.outcome("running")

    def finish(self, stopped: Callable[[], bool]) -> bool:
        """Render and measure the held-out views, and draw the pages that sum the run up; False when `stopped` says so.

        What cannot be made is a warning: a resumed run makes up for it.
        """
        with leading(self.state.gaussians):
            return self._finish(stopped)

    def _finish(self, stopped: Callable[[], bool]) -> bool:
        pages: list[Path] = []
        chatter = self.report.chatter
        with chatter.attempt(MEASURING):
            self._render_views(stopped)
        if stopped():
            self.interrupted()
            return False
        with chatter.attempt(PAGES):
            shape = {"iteration": self.run.iterations, **histograms(whole_arrays(self.state.gaussians))}
            write_json(self.folder / "histograms.json", shape)
            pages = write_summary(self.folder)
        with chatter.attempt(VIEWER):
            pages += self._write_viewer()
        if chatter.failed & {MEASURING, PAGES, VIEWER}:
            self.report.outcome("finished, but for its pages")
        self.report.summary(pages)
        return True

    def _save(self, write: Callable[[], object], needed: bool) -> None:
        """A full disk may have room again by the time of the next one; what is `needed` ends the run."""
        try:
            write()
        except OSError as error:
            if needed:
                raise
            self.report.warning(
                f"iteration {self.state.iteration}: {reason(error)}; training goes on without this file"
            )

    def _evaluate(self, iteration: int) -> None:
        if not self._held_out:
            self._held_out = {"test": self._readable(self.scene.test), "far": self._readable(self.scene.far)}
        how = self.background, self.settings(iteration), self.state.corrections.exposures(), self.scene.meters_per_unit
        for where, photos in self._held_out.items():
            if len(photos):
                self.report.evaluation(iteration, where, measure(self.state.gaussians, photos, *how), len(photos))
                self._show(where, photos, iteration)

    def _render_views(self, stopped: Callable[[], bool]) -> None:
        iteration, shown = self.run.iterations, {}
        corrections, gaussians = self.state.corrections, self.state.gaussians
        settings, exposures = self.settings(iteration), corrections.exposures()
        how = self.background, settings, exposures, self.scene.meters_per_unit
        for part, views in _shown_views(self.scene).items():
            shown[part] = self._readable(views)
            folder = self.folder / part / f"ours_{iteration}"
            for _ in render_views(gaussians, corrections.placed(shown[part]), folder, *how):
                if stopped():
                    return
        if corrections.poses is not None:
            self.report.event(corrections.poses.text())
            if self.scene.test:
                fit = HeldOutPoses(gaussians, self.scene.extent, self.background, settings, exposures)
                fit.measure(shown["test"], self.folder / "test" / f"ours_{iteration}", stopped)
        scores = renders.evaluate_model(self.folder)[f"ours_{iteration}"]
        for part, photos in shown.items():
            self._report(iteration, part, scores["far"] if part == "far" else scores, photos)
        self._say_corrected(scores)

    def _report(self, iteration: int, part: str, scores: Mapping[str, Any], photos: ViewCache) -> None:
        if "views_hidden" in scores:
            self.report.warning(metrics.hidden_text(scores["views_hidden"], len(photos)))
        shown = {name: scores[name] for name in metrics.NAMES} | summarized(scores.get("depth", {}))
        self.report.evaluation(iteration, part, shown, len(photos))
        self._show(part, photos, iteration)

    @torch.no_grad()
    def _show(self, part: str, photos: ViewCache, iteration: int) -> None:
        """Some views in TensorBoard, where that is asked for: the photo on the left, the render on the right."""
        if not self.run.tensorboard:
            return
        for index in subsample(range(len(photos)), SHOWN_VIEWS):
            photo = photos[index]
            output = render(self.state.gaussians, photo.camera, self.background, self.settings(iteration))
            picture = np.hstack([to_bytes(photo.color), to_bytes(output.color)])
            self.report.picture(f"{part}/{photo.camera.name}", picture)

    def _write_viewer(self) -> list[Path]:
        """viewer.html, unless it is not wanted."""
        if self.run.viewer_html_mb == 0:
            return []
        path, cameras = self.folder / "viewer.html", [view.camera for view in self.scene.train]
        note = write_viewer_page(
            path,
            self.state.gaussians,
            cameras,
            self.settings(self.run.iterations),
            self.run.viewer_html_mb,
            background=self.background.tolist(),
        )
        if note:
            self.report.event(note)
        return [path] if path.exists() else []

    def _say_corrected(self, scores: Mapping[str, Any]) -> None:
        """The metrics that stand beside the plain ones where exposures or poses are learned."""
        learned, refined = self.state.corrections, scores.get("refined_poses", {})
        lines = {
            "with the colors fitted to each photo": scores if learned.exposure is not None else {},
            "with the poses fitted to each photo": refined,
            "with colors and poses fitted to each photo": refined if learned.exposure is not None else {},
        }
        for (what, found), prefix in zip(lines.items(), ("cc_", "", "cc_"), strict=True):
            if found.get(f"{prefix}PSNR") is not None:
                self.report.event(f"  {what}: {score_text({name: found[prefix + name] for name in ('PSNR', 'SSIM')})}")

    def _readable(self, views: Sequence[View]) -> ViewCache:
        """Those of `views` whose photos can be decoded, now in memory; each other one is a warning, once."""
        photos, faults = readable(views, self.device, self.state.photos.photos.limit)
        for name, fault in faults.items():
            self.report.warn_once(f"{name} is not measured: {fault}")
        return photos


def _shown_views(scene: Scene) -> dict[str, tuple[View, ...]]:
    """What is rendered at the end: the test views, or every 8th training view where there are none; the far views."""
    shown = {"test": scene.test} if scene.test else {"train": scene.train[::8]}
    return shown | ({"far": scene.far} if scene.far else {})
