"""What is left of a run that ends before its last step: its last good state, and the line that goes on from it."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import torch

from scene.camera_list import write_cameras
from scene.gaussians.gather import parts
from scene.io import write_ply_of
from training.checkpoint import checkpoint_path, latest_checkpoint, save_checkpoint, sharded_path, step_of
from training.distributed.checkpoint import save_sharded
from training.run_logger import RunLogger
from training.state import TrainingState
from utils import output_dir
from utils.errors import UserError, reason

NO_MEMORY = ("out of memory", "can't allocate memory", "bad_alloc", "not enough memory")  # as torch and C++ say it


class Rescue:
    """Writes the state of a run, each file once for each iteration, on its way and whatever ends it."""

    def __init__(self, state: TrainingState, report: RunLogger, folder: Path, iterations: int) -> None:
        self.state, self.report, self.folder, self.iterations = state, report, folder, iterations
        self.done = False  # the run has ended, and all was said about what is left
        self.failed = False  # there was a state to keep, and it could not be written
        self._first = state.iteration
        self._written: set[Path] = set()

    def save_checkpoint(self) -> Path:
        """Keep the state as it is. UserError for one that is not finite."""
        shard = self.state.gaussians.shard
        if shard is None:
            path = checkpoint_path(self.folder, self.state.iteration)
            return self._once(path, lambda: save_checkpoint(path, self.state.to_checkpoint()))
        path = sharded_path(self.folder, self.state.iteration)
        return self._once(path, lambda: save_sharded(path, self.state.to_checkpoint(), shard))

    def save_point_cloud(self) -> Path:
        """Keep the Gaussians as they are. UserError for some that are not finite."""
        path = output_dir.point_cloud_path(self.folder, self.state.iteration)
        return self._once(path, lambda: self._write_model(path))

    def _write_model(self, path: Path) -> None:
        gaussians = self.state.gaussians
        cloud = parts(gaussians)
        try:
            if gaussians.ranks.leads:
                write_ply_of(cloud, path, gaussians.total, gaussians.shs_rest.shape[1] + 1)
        finally:
            for _ in cloud:  # the other ranks send what they have, whether or not it can be written
                pass
        if not gaussians.ranks.leads:
            return
        self.state.corrections.write(self.folder)
        if self.state.corrections.poses is not None:
            scene, place = self.state.strategy.inputs.scene, self.state.corrections.poses.camera
            write_cameras(self.folder, [place(view.camera) for view in (*scene.test, *scene.train)])

    def leave(self, flags: str = "") -> str:
        """Keep the state if it is a good one; a sentence on what there is to go on from. `flags` are for doing so."""
        self.done, count = True, self.state.iteration
        result = output_dir.point_cloud_path(self.folder, self.iterations)
        if count == self.iterations and result.is_file():
            return f"{result} is the result; its pages are finished by: {self._resume}"
        if count == self._first:
            return self._from_before(flags)
        fault = self.state.gaussians.ranks.agree(self._fault())
        if fault is not None:
            return f"the state after {count} iterations was not kept, since {fault}; {self._from_before(flags)}"
        failures = self._try_all(self.save_checkpoint, self.save_point_cloud)
        written = [path for path in self._written if path.parent == self.folder and step_of(path) == count]
        if not written:
            self.failed = True
            return f"the state after {count} iterations could not be kept ({failures}); {self._from_before(flags)}"
        more = f" ({failures})" if failures else ""
        return f"{written[0]} holds the state{more}; go on with: {self._resume}{flags}"

    def left_before(self) -> str:
        """What there is to go on from where the state cannot be kept, since not all ranks are there to do it."""
        self.done = True
        return self._from_before("")

    def after_out_of_memory(self) -> str:
        """What changes the state does so whole or not at all, so it is that after a step wherever memory ran out."""
        count, done = len(self.state.gaussians), self.state.iteration
        text = (
            f"out of memory after {done} iterations, with {count:,} Gaussians; less is needed with --max_gaussians, "
            "smaller photos (-r) and --data_device cpu"
        )
        return "; ".join(filter(None, (text, self.leave(f" --max_gaussians {count}"))))

    def _fault(self) -> str | None:
        try:
            self.state.forget_nonfinite_statistics()
            return self.state.fault()
        except Exception:  # no memory to look, or no device any more; whoever loads the checkpoint looks again
            return None

    @property
    def _resume(self) -> str:
        return f"python train.py -m {shlex.quote(str(self.folder))} --resume"

    def _from_before(self, flags: str) -> str:
        newest = latest_checkpoint(self.folder)
        if newest is None:
            return "there is no earlier checkpoint to go on from" if self.state.iteration else ""
        return f"the newest checkpoint is {newest}; go on with: {self._resume}{flags}"

    def _once(self, path: Path, write: Callable[[], None]) -> Path:
        if self.state.gaussians.ranks.any(path not in self._written):
            fault = None if self.done else self.state.gaussians.ranks.agree(self.state.fault())
            if fault is not None:
                raise UserError(f"iteration {self.state.iteration}: {fault}; learning rates that are too high do this")
            write()
            self._written.add(path)
            self.report.saved(path)
        return path

    def _try_all(self, *writers: Callable[[], Path]) -> str:
        """Write what can be written; what cannot, in words."""
        failures = []
        for write in writers:
            try:
                write()
            except Exception as error:  # each file is worth an attempt, and none hides why the run has ended
                failures.append(reason(error))
        return "; ".join(failures)


def is_out_of_memory(error: BaseException) -> bool:
    """torch's own error, Python's, or what becomes of one on its way out of an extension."""
    known = (torch.OutOfMemoryError, MemoryError)
    return isinstance(error, known) or any(text in str(error) for text in NO_MEMORY)
