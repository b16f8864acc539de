"""The live viewer of a run: what is trained, in a browser, with buttons that pause it, step it and end it early."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from gaussian_renderer import RenderSettings
from gaussian_renderer.live.server import address_text, start_server
from gaussian_renderer.live.viewer import LiveViewer
from scene.gaussians.model import Gaussians
from scene.types import Scene
from training.run_logger import RunLogger

SHOWING = "showing the live viewer"
TICK = 0.02  # seconds between two looks at the wishes of a paused run
STATUS_EVERY = 0.5  # seconds


class TrainingViewer:
    """The viewer between two steps. Whatever fails in it is a warning, and the run goes on without."""

    def __init__(self, server: Any, viewer: LiveViewer, report: RunLogger, finish: Callable[[], None]) -> None:
        self.viewer, self.report = viewer, report
        self._finish = finish
        self._paused, self._single, self._finishing = False, False, False
        self._said = 0.0
        with server.gui.add_folder("Training"):
            self._status = server.gui.add_markdown("")
            self._pause = server.gui.add_button("Pause")
            step = server.gui.add_button("Step", hint="makes one step and pauses")
            end = server.gui.add_button("Finish now", hint="takes all schedules to their ends and ends the run")
        self._pause.on_click(lambda _: self.pause(not self._paused))
        step.on_click(lambda _: self.step())
        end.on_click(lambda _: self.finish())

    def pause(self, paused: bool) -> None:
        """Stop before the next step, or go on."""
        self._paused = paused
        self._pause.label = "Continue" if paused else "Pause"

    def step(self) -> None:
        """Make one step more, and pause."""
        self.pause(True)
        self._single = True

    def finish(self) -> None:
        """End the run early."""
        self._finishing = True
        self._finish()

    def after_step(
        self, gaussians: Gaussians, settings: RenderSettings, iteration: int, stopped: Callable[[], bool]
    ) -> None:
        """Show what there is; in a paused run until it is to go on, or `stopped` says so."""
        if SHOWING in self.report.chatter.failed:
            return
        with self.report.chatter.attempt(SHOWING):
            self._say(gaussians, iteration)
            self.viewer.show(gaussians, settings, iteration)
            while self._paused and not (self._single or self._finishing or stopped()):
                time.sleep(TICK)
                self.viewer.show(gaussians, settings, iteration)
            self._single = False

    def _say(self, gaussians: Gaussians, iteration: int) -> None:
        if self._paused or time.monotonic() - self._said > STATUS_EVERY:
            self._status.content = (
                f"iteration {iteration:,} of {self.report.iterations:,}, {len(gaussians):,} Gaussians"
            )
            self._said = time.monotonic()


@contextmanager
def live_viewer(
    wanted: bool, scene: Scene, gaussians: Gaussians, background: Tensor, report: RunLogger, finish: Callable[[], None]
) -> Iterator[TrainingViewer | None]:
    """The viewer of a run where it is wanted; None where it is not, or where no server can be had. UserError without
    viser."""
    server = None
    if wanted:
        with report.chatter.attempt(SHOWING):
            server = start_server()
    if server is None:
        yield None
        return
    cameras = [view.camera for view in scene.train]
    viewer = LiveViewer(server, cameras, background, scene.extent, gaussians.sh_degree)
    try:
        viewer.load_photos(scene.train)
        report.event(address_text(server.get_port()))
        yield TrainingViewer(server, viewer, report, finish)
    finally:
        viewer.close()
