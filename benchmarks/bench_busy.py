"""How much longer a training step takes beside other programs: with none, one and two that compute all the time.

    python benchmarks/bench_busy.py [--gaussians 3000] [--size 320x192] [--repeats 9] [--steps 10]

One training, by the loop of train.py and its defaults. Every few steps other processes of equal priority are stopped or
go on, so that each number of neighbours is measured in turn, in one run. JSON lines: the median seconds of a step, and
the median of its ratio to the step without neighbours in the same turn. On 2 cores a fair share is 1.5 and 2 times as
long.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from bench_step import run, write_scene
from torch import Tensor

from diff_gaussian_rasterization import get_num_threads
from scene.loading.image_cache import LoadedView
from scene.types import Camera
from training.state import TrainingState
from utils.cores import usable_cores

NEIGHBOURS = (0, 1, 2)
COMPUTE = "import os, sys\nwhile os.getppid() == int(sys.argv[1]): sum(range(100_000))"  # as long as there is a parent
WARM_UP = 30  # steps


class Neighbours:
    """Processes that compute all the time, as many of them as are let."""

    def __init__(self, most: int) -> None:
        command = [sys.executable, "-c", COMPUTE, str(os.getpid())]
        self.processes = [subprocess.Popen(command) for _ in range(most)]
        self.let(0)

    def let(self, count: int) -> None:
        """Let `count` of them compute, and stop the others."""
        for index, process in enumerate(self.processes):
            process.send_signal(signal.SIGCONT if index < count else signal.SIGSTOP)

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


@contextmanager
def blocks(neighbours: Neighbours, steps: int) -> Iterator[dict[int, list[float]]]:
    """Seconds of a step, by the number of neighbours that it had, in turn."""
    found: dict[int, list[float]] = {count: [] for count in NEIGHBOURS}
    next_batch, started = TrainingState.next_batch, 0.0

    def noting(state: TrainingState, count: int) -> list[tuple[Camera, Tensor | None, LoadedView | None]]:
        nonlocal started
        block, place = divmod(state.iteration - WARM_UP, steps)
        if place == 0 and block >= 0:
            if block > 0:
                found[NEIGHBOURS[(block - 1) % len(NEIGHBOURS)]].append((time.perf_counter() - started) / steps)
            neighbours.let(NEIGHBOURS[block % len(NEIGHBOURS)])
            started = time.perf_counter()
        return next_batch(state, count)

    with mock.patch.object(TrainingState, "next_batch", noting):
        yield found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gaussians", type=int, default=3_000, help="in the scene")
    parser.add_argument("--size", default="320x192", help="of the photos, WIDTHxHEIGHT")
    parser.add_argument("--repeats", type=int, default=9, help="turns whose median is taken")
    parser.add_argument("--steps", type=int, default=10, help="of a turn, with each number of neighbours")
    arguments = parser.parse_args()
    width, height = (int(side) for side in arguments.size.split("x"))
    total = WARM_UP + arguments.repeats * len(NEIGHBOURS) * arguments.steps + 1
    neighbours = Neighbours(max(NEIGHBOURS))
    try:
        with tempfile.TemporaryDirectory() as folder, blocks(neighbours, arguments.steps) as found:
            write_scene(Path(folder) / "scene", arguments.gaussians, width, height, depth=False)
            run(Path(folder), total)
    finally:
        neighbours.end()
    for count, seconds in found.items():
        ratios = [one / alone for one, alone in zip(seconds, found[0], strict=True)]
        line = {"neighbours": count, "step_s": round(statistics.median(seconds), 5)}
        line |= {"of_alone": round(statistics.median(ratios), 2), "cores": usable_cores()}
        print(json.dumps(line | {"threads": get_num_threads()}), flush=True)


if __name__ == "__main__":
    main()
