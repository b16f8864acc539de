"""What a training run says: to people on the screen, and to the files of its model folder."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from torch import Tensor
from tqdm import tqdm

from training import run_info
from training.chatter import Chatter
from training.tensorboard import EventFile
from utils.console import is_terminal, say
from utils.files import atomic_write, write_json
from utils.image_io import to_bytes, write_png
from utils.metrics_log import TermMeans, earlier_sessions, read_log
from utils.reporting import figures
from utils.text import count_text, duration_text, score_text

LOG_EVERY = 100  # steps per line of metrics.jsonl
LINE_SECONDS = 15.0  # between progress lines where there is no terminal
PREVIEWS = (10, 100)  # steps with a picture, and every
PREVIEW_EVERY = 500
FINISHED = "finished"  # the status of a run with all its files
WRITING_EVENTS = "writing to tensorboard/"
WRITING_LOG, WRITING_RUN, DRAWING_BAR = "writing metrics.jsonl", "writing run.json", "drawing the progress bar"
SHOWN = {"loss": "Loss", "depth": "Depth", "distortion": "Dist"}  # terms on the progress bar


class RunLogger:
    """Progress of a training run on the screen, and in metrics.jsonl, run.json and preview.png of its folder.

    With `tensorboard` the same numbers go to an event file in tensorboard/, and pictures beside them.
    `first` steps were done by earlier sessions of the run: their lines in metrics.jsonl stay, later ones go, and the
    clock goes on from there. `facts` are further entries of run.json. `quiet` is for the screen only. `to_go` says how
    many seconds are left, where that is known. Once entered, it ends no run: what cannot be written or shown is one
    warning.
    """

    def __init__(
        self,
        folder: Path,
        iterations: int,
        *,
        first: int = 0,
        quiet: bool = False,
        facts: Mapping[str, Any] | None = None,
        tensorboard: bool = False,
        to_go: Callable[[], float | None] = lambda: None,
    ) -> None:
        self.tensorboard, self.to_go = tensorboard, to_go
        self._events: EventFile | None = None
        self.folder, self.iterations, self.quiet = folder, iterations, quiet
        self.first = self.iteration = self._shown = first
        self.gaussians = 0
        self.scores: dict[str, Mapping[str, Any]] = {}  # "test" or "train" -> newest evaluation
        self.paths: list[Path] = []  # worth naming at the end
        self._window = TermMeans()
        self._schedules: dict[str, float] = {}
        self._run = run_info.describe_run() | dict(facts or {})
        self._status = "running"
        self._warnings: list[str] = []
        self.chatter = Chatter(self.warning)

    def __enter__(self) -> RunLogger:
        self.folder.mkdir(parents=True, exist_ok=True)
        before = read_log(self.folder / "metrics.jsonl") if self.first else []
        lines = [line for line in before if line["iteration"] <= self.first]
        self._seconds_before = max((line["seconds"] for line in lines), default=0.0)
        self._run |= earlier_sessions(self.folder / "run.json") if self.first else {}
        with atomic_write(self.folder / "metrics.jsonl") as file:
            file.write("".join(json.dumps(line) + "\n" for line in lines).encode())
        self._log = open(self.folder / "metrics.jsonl", "a")
        self._start = self._shown_at = time.perf_counter()
        if self.tensorboard:
            with self.chatter.attempt(WRITING_EVENTS):
                self._events = EventFile(self.folder / "tensorboard", self.first)
        self._write_run()
        terminal = not self.quiet and is_terminal(sys.stderr)
        self._bar = tqdm(
            total=self.iterations,
            initial=self.first,
            disable=not terminal,
            dynamic_ncols=True,
            unit="it",
            mininterval=0.2,
        )
        self._lines = not self.quiet and not terminal
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close_bar()
        self._log_window()
        with self.chatter.attempt(WRITING_LOG):
            self._log.close()
        if self._events is not None:
            with self.chatter.attempt(WRITING_EVENTS):
                self._events.close()
        if kind is not None:
            self._status = f"failed: {kind.__name__}: {error}" if issubclass(kind, Exception) else "interrupted"
        elif self._status == "running":
            self._status = FINISHED
        with self.chatter.attempt(WRITING_RUN):
            self._write_run()

    @property
    def seconds(self) -> float:
        """Since the start of the run, without the time between its sessions."""
        return self._seconds_before + time.perf_counter() - self._start

    def step(
        self, iteration: int, terms: Mapping[str, float], gaussians: int, schedules: Mapping[str, float] | None = None
    ) -> None:
        """After each training step. `terms["loss"]` is what is minimised; the other terms are its parts, unweighted.

        `schedules` are what changes by plan: the weights of the terms, the learning rate of the means.
        """
        self.iteration, self.gaussians, self._schedules = iteration, gaussians, dict(schedules or {})
        self._window.add(terms)
        with self.chatter.attempt(DRAWING_BAR):
            self._bar.update(1)
            if not self._bar.disable:
                self._bar.set_postfix(self._postfix(), refresh=False)
        if self._lines and time.perf_counter() - self._shown_at > LINE_SECONDS:
            self._say_progress()
        if iteration % LOG_EVERY == 0 or iteration == self.iterations:
            self._log_window()

    def opening(self, summary: str, warnings: Iterable[str]) -> None:
        """The first lines: what was found in the dataset, and what of it is probably not as it should be."""
        self.event(summary)
        for text in warnings:
            self.warning(text)

    def lengthened(self, iteration: int, iterations: int, facts: Mapping[str, Any]) -> None:
        """From `iteration` on the run has another number of steps; `facts` of its plan replace those in run.json."""
        self.event(f"[Iter {iteration}] now {iterations:,} steps, instead of {self.iterations:,}")
        self.iterations = self._bar.total = iterations
        self._run["plan"] = dict(facts)
        with self.chatter.attempt(WRITING_RUN):
            self._write_run()

    def event(self, text: str) -> None:
        """Something worth a line."""
        say(text, self.quiet)

    def warning(self, text: str) -> None:
        """Something that is probably not as it should be; run.json keeps it."""
        self._warnings.append(text)
        say(f"warning: {text}", self.quiet)

    def warn_once(self, text: str) -> None:
        """The same, unless it has been said already."""
        if text not in self._warnings:
            self.warning(text)

    def record(self, iteration: int, entry: Mapping[str, Any], text: str = "") -> None:
        """A line of metrics.jsonl with further entries; `text` says the same on the screen."""
        self._write_line({"iteration": iteration, "seconds": round(self.seconds, 2), **entry})
        if text:
            self.event(text)

    def preview_due(self, iteration: int) -> bool:
        """Whether a picture is to be shown after this step: the first within seconds."""
        return iteration - self.first in PREVIEWS or iteration % PREVIEW_EVERY == 0

    def preview(self, iteration: int, image: Tensor, target: Tensor, name: str) -> None:
        """Write preview.png: the photo `name`, (3,H,W) in [0,1], beside its render."""
        with self.chatter.attempt("writing preview.png"):
            sheet = figures.preview(to_bytes(target), to_bytes(image), f"Iteration {iteration:,}", name)
            write_png(self.folder / "preview.png", sheet)
        if iteration - self.first == PREVIEWS[0]:
            self.event(f"First picture: {self.folder / 'preview.png'}, kept up to date while training")

    def picture(self, name: str, picture: np.ndarray) -> None:
        """Something to look at in TensorBoard, (H,W,3) uint8 RGB, where that is asked for."""
        if self._events is not None:
            with self.chatter.attempt(WRITING_EVENTS):
                self._events.picture(name, picture, self.iteration)

    def evaluation(self, iteration: int, where: str, scores: Mapping[str, float | None], views: int) -> None:
        """The mean metrics of the `where` ("test", "train") views after `iteration` steps."""
        self.scores[where] = {**scores, "views": views}
        self._write_line({"iteration": iteration, "seconds": round(self.seconds, 2), where: self.scores[where]})
        self.event(f"[Iter {iteration}] {where}: {score_text(scores)} ({count_text(views, 'view')})")

    def saved(self, path: Path) -> None:
        """A file worth naming now and at the end."""
        self.paths.append(path)
        self.event(f"[Iter {self.iteration}] wrote {path}")

    def outcome(self, status: str) -> None:
        """How the run ended, for run.json, when it is not simply "finished": "interrupted", for example."""
        self._status = status

    def summary(self, pages: Sequence[Path] = ()) -> None:
        """The last lines: how many Gaussians, how long, how good, where. `pages` are named beside what was saved."""
        self._close_bar()
        self._log_window()
        speed = (self.iteration - self.first) / max(time.perf_counter() - self._start, 1e-9)
        time_text = f"{duration_text(self.seconds)} ({speed:.1f} it/s, evaluation included)"
        self.event(f"\n{self.iteration:,} iterations in {time_text}, {self.gaussians:,} Gaussians")
        for where, scores in self.scores.items():
            self.event(f"{where:5}  {score_text(scores)}  ({count_text(scores['views'], 'view')})")
        for path in dict.fromkeys([*self.paths, *pages]):
            self.event(f"  {path}")
        for path in pages:
            if path.suffix == ".html":
                self.event(f"open {path}")

    # ---- the screen

    def _close_bar(self) -> None:
        with self.chatter.attempt(DRAWING_BAR):
            self._bar.close()

    def _postfix(self) -> dict[str, str]:
        means = self._window.recent
        return {label: f"{means[name]:.4f}" for name, label in SHOWN.items() if name in means} | {
            "N": f"{self.gaussians:,}"
        }

    def _say_progress(self) -> None:
        now = time.perf_counter()
        speed = (self.iteration - self._shown) / (now - self._shown_at)
        left = self.to_go() or (self.iterations - self.iteration) / speed
        shown = "  ".join(f"{label} {value}" for label, value in self._postfix().items())
        self.event(f"[Iter {self.iteration}/{self.iterations}] {shown}  {speed:.1f} it/s  {duration_text(left)} left")
        self._shown, self._shown_at = self.iteration, now

    # ---- the files

    def _log_window(self) -> None:
        """A line of metrics.jsonl with the means since the last one."""
        if self._window.steps == 0:
            return
        means = {name: float(f"{value:.6g}") for name, value in self._window.means().items()}
        line: dict[str, Any] = {
            "iteration": self.iteration,
            "seconds": round(self.seconds, 2),
            **means,
            "gaussians": self.gaussians,
        }
        if self._schedules:
            line["schedules"] = {name: float(f"{value:.6g}") for name, value in self._schedules.items()}
        self._write_line(line)
        self._window.restart()

    def _write_line(self, line: Mapping[str, Any]) -> None:
        with self.chatter.attempt(WRITING_LOG):
            self._log.write(json.dumps(line) + "\n")
            self._log.flush()
        if self._events is not None:
            with self.chatter.attempt(WRITING_EVENTS):
                self._events.line(line)

    def _write_run(self) -> None:
        ended = {} if self._status == "running" else {"end": run_info.now()}
        state = {
            "status": self._status,
            "iterations": self.iteration,
            "gaussians": self.gaussians,
            "seconds": round(self.seconds, 2),
            "peak_memory_mib": run_info.peak_memory_mib(),
            "peak_gpu_memory_mib": run_info.peak_gpu_memory_mib(),
            "warnings": self._warnings,
        }
        write_json(self.folder / "run.json", self._run | ended | state)
