"""What the ranks other than 0 do where rank 0 speaks, measures and writes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

from torch import Tensor
from tqdm import tqdm

from gaussian_renderer.sharded import follow
from training.batch import Step
from training.outputs import RunOutputs
from training.run_logger import RunLogger


class SilentLogger(RunLogger):
    """Says nothing and writes nothing."""

    def __enter__(self) -> SilentLogger:
        self._seconds_before, self._lines = 0.0, False
        self._start = self._shown_at = time.perf_counter()
        self._bar = tqdm(disable=True)
        self.quiet = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def preview(self, iteration: int, image: Tensor, target: Tensor, name: str) -> None:
        """Rank 0's."""

    def _write_line(self, line: Mapping[str, Any]) -> None:
        return

    def _write_run(self) -> None:
        return


class FollowingOutputs(RunOutputs):
    """Sends rank 0 what it writes, and helps it to draw."""

    def __enter__(self) -> FollowingOutputs:
        return self

    def after_step(self, steps: Sequence[Step]) -> None:
        """As `RunOutputs`."""
        for step in steps:
            run, iteration = self.run, step.iteration
            last = iteration == run.iterations
            if iteration in run.save_iterations or last:
                self._save(self.rescue.save_point_cloud, needed=last)
            if iteration in run.checkpoint_iterations:
                self._save(self.rescue.save_checkpoint, needed=False)
            if iteration in run.test_iterations and (self.scene.test or self.scene.far) and not last:
                follow(self.state.gaussians)

    def finish(self, stopped: Callable[[], bool]) -> bool:
        """As `RunOutputs`."""
        follow(self.state.gaussians)
        return True
