"""What a run leaves on its way and at its end: point clouds, checkpoints, evaluations, previews, pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from torch import Tensor

from arguments import RunOptions
from gaussian_renderer import RenderSettings
from gaussian_renderer.render_views import measure, render_views
from scene.loading.contents import ContentCheck
from scene.loading.image_cache import ViewCache, readable
from scene.types import Scene, View
from training.monitor import Step
from training.rescue import Rescue, is_out_of_memory
from training.run_logger import RunLogger
from training.state import TrainingState
from utils.console import complain
from utils.errors import UserError, reason
from utils.metrics import image as metrics
from utils.metrics import renders
from utils.reporting.html_report import write_summary

MEASURING, PAGES = "measuring the renders", "writing the pages"


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
        self._test: ViewCache | None = None
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

    def after_step(self, step: Step) -> None:
        """Whatever is due: first what is kept, then what is measured and shown."""
        run, iteration = self.run, step.iteration
        last = iteration == run.iterations
        for fault in (*self._contents.new_faults(), *self.state.photos.damaged):
            self.report.warn_once(f"{fault}; what it shows is left out")
        if iteration in run.save_iterations or last:
            self._save(self.rescue.save_point_cloud, needed=last)
        if iteration in run.checkpoint_iterations:
            self._save(self.rescue.save_checkpoint, needed=False)
        if iteration in run.test_iterations and self.scene.test and not last:
            with self.report.chatter.attempt("measuring the test views"):
                self._evaluate(iteration)
        if self.report.preview_due(iteration):
            self.report.preview(iteration, step.output.color, step.photo.color, step.photo.camera.name)

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
        pages: list[Path] = []
        chatter = self.report.chatter
        with chatter.attempt(MEASURING):
            self._render_views(stopped)
        if stopped():
            self.interrupted()
            return False
        with chatter.attempt(PAGES):
            pages = write_summary(self.folder)
        if chatter.failed & {MEASURING, PAGES}:
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
        if self._test is None:
            self._test = self._readable(self.scene.test)
        if len(self._test):
            scores = measure(self.state.gaussians, self._test, self.background, self.settings(iteration))
            self.report.evaluation(iteration, "test", scores, len(self._test))

    def _render_views(self, stopped: Callable[[], bool]) -> None:
        iteration = self.run.iterations
        part, views = _shown_views(self.scene)
        photos = self._readable(views)
        rendered = self.folder / part / f"ours_{iteration}"
        for _ in render_views(self.state.gaussians, photos, rendered, self.background, self.settings(iteration)):
            if stopped():
                return
        scores = renders.evaluate_model(self.folder)[rendered.name]
        shown = {name: scores[name] for name in metrics.NAMES} | {"depth_MAE": scores.get("depth", {}).get("MAE")}
        if "views_hidden" in scores:
            self.report.warning(metrics.hidden_text(scores["views_hidden"], len(photos)))
        self.report.evaluation(iteration, part, shown, len(photos))

    def _readable(self, views: Sequence[View]) -> ViewCache:
        """Those of `views` whose photos can be decoded, now in memory; each other one is a warning, once."""
        photos, faults = readable(views, self.device)
        for name, fault in faults.items():
            self.report.warn_once(f"{name} is not measured: {fault}")
        return photos


def _shown_views(scene: Scene) -> tuple[str, tuple[View, ...]]:
    """What is rendered at the end: the test views, or every 8th training view where there are none."""
    return ("test", scene.test) if scene.test else ("train", scene.train[::8])
