"""What a training step costs the host, whatever the kernels do: on a scene so small that they have nothing to do.

    python benchmarks/bench_step.py [--gaussians 32] [--size 24x16] [--steps 400]

Trains by color alone and with depth, by the loop of train.py and its defaults. A JSON line for each: milliseconds of a
step by the clock and of its thread's processor time, which other programs take nothing of (medians), and how many
operations of a step start work on a device, counted by the dispatcher. `--operations` lists those.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import train  # noqa: E402
from scene.loading.image_cache import LoadedView  # noqa: E402
from scene.readers.colmap import write_model  # noqa: E402
from scene.types import Camera, PointCloud  # noqa: E402
from training.state import TrainingState  # noqa: E402

VIEWS, DISTANCE = 8, 3.0
COUNTED = 10  # steps whose operations are counted, once each photo has been looked at
MAKE_NO_WORK = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "detach", "alias"}
WARM_UP = 50  # steps
AFTER_THE_END = 1000  # steps: growth would begin then, for which each step gathers statistics


class Launches(TorchDispatchMode):
    """Counts by name the operations that start work on a device: all but views and new memory without values."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, operator: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        name = operator.overloadpacket.__name__
        if not operator.is_view and name not in MAKE_NO_WORK:
            self.counts[name] += 1
        return operator(*arguments, **(named or {}))


def write_scene(folder: Path, gaussians: int, width: int, height: int, depth: bool) -> None:
    """Views around a few points, in COLMAP's files; every photo with a depth map if asked for."""
    generator = np.random.default_rng(0)
    cameras = [
        Camera(f"{i}.png", width, height, width, width, width / 2, height / 2, looking_at_origin(i))
        for i in range(VIEWS)
    ]
    positions = generator.normal(scale=0.5, size=(gaussians, 3)).astype(np.float32)
    colors = generator.uniform(size=(gaussians, 3)).astype(np.float32)
    write_model(folder / "sparse" / "0", cameras, PointCloud(positions, colors))
    for name in ("images", "depth"):
        (folder / name).mkdir(parents=True)
    for camera in cameras:
        photo = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
        assert cv2.imwrite(str(folder / "images" / camera.name), photo)
        if depth:
            millimetres = np.full((height, width), 1000 * DISTANCE, dtype=np.uint16)
            assert cv2.imwrite(str(folder / "depth" / camera.name), millimetres)


def looking_at_origin(index: int) -> np.ndarray:
    """(4, 4) camera_from_world."""
    angle = 2 * np.pi * index / VIEWS
    pose = np.eye(4)
    pose[0, :3], pose[2, :3] = [np.cos(angle), 0, np.sin(angle)], [-np.sin(angle), 0, np.cos(angle)]
    pose[2, 3] = DISTANCE
    return pose


@contextmanager
def beginnings() -> Iterator[list[tuple[float, float]]]:
    """When each step begins, by the clock and by the thread's processor time."""
    times: list[tuple[float, float]] = []
    next_batch = TrainingState.next_batch

    def noting(state: TrainingState, count: int) -> list[tuple[Camera, Tensor | None, LoadedView | None]]:
        times.append((time.perf_counter(), time.thread_time()))
        return next_batch(state, count)

    with mock.patch.object(TrainingState, "next_batch", noting):
        yield times


@contextmanager
def operations() -> Iterator[list[Counter[str]]]:
    """The operations of the last few steps."""
    steps: list[Counter[str]] = []
    next_batch = TrainingState.next_batch
    with Launches() as launches:

        def noting(state: TrainingState, count: int) -> list[tuple[Camera, Tensor | None, LoadedView | None]]:
            launches.counts = Counter()
            steps.append(launches.counts)
            return next_batch(state, count)

        with mock.patch.object(TrainingState, "next_batch", noting):
            yield steps


def run(folder: Path, steps: int, flags: Sequence[str] = ()) -> None:
    """Train without a change of the Gaussians' number; statistics are gathered all the same."""
    growth = ["--densify_from_iter", str(steps), "--densify_until_iter", str(steps + AFTER_THE_END)]
    words = ["-s", str(folder / "scene"), "-m", str(folder / "out"), "--overwrite", "--quiet"]
    train.main([*words, "--iterations", str(steps), *growth, *flags])


def measure(folder: Path, steps: int, flags: Sequence[str] = ()) -> dict[str, Any]:
    """Medians over the steps, and the operations of a usual step of the first half: the median by their number."""
    with operations() as counted:
        run(folder, 2 * (VIEWS + COUNTED + 2), flags)
    usual = sorted(counted[VIEWS + 1 :][:COUNTED], key=lambda counts: counts.total())[COUNTED // 2]
    with beginnings() as times:
        run(folder, steps, flags)
    wall, host = ([b - a for a, b in pairwise(each)][WARM_UP:] for each in zip(*times, strict=True))
    return {
        "wall_ms": round(1e3 * statistics.median(wall), 3),
        "host_ms": round(1e3 * statistics.median(host), 3),
        "launches": usual.total(),
        "operations": dict(usual.most_common()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gaussians", type=int, default=32, help="in the scene")
    parser.add_argument("--size", default="24x16", help="of the photos, WIDTHxHEIGHT")
    parser.add_argument("--steps", type=int, default=400, help="that are timed")
    parser.add_argument("--operations", action="store_true", help="list them by name")
    arguments = parser.parse_args()
    width, height = (int(side) for side in arguments.size.split("x"))
    for depth in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            write_scene(Path(folder) / "scene", arguments.gaussians, width, height, depth)
            found = measure(Path(folder), arguments.steps)
        if not arguments.operations:
            del found["operations"]
        print(json.dumps({"case": "depth" if depth else "color", "threads": torch.get_num_threads(), **found}))


if __name__ == "__main__":
    main()
