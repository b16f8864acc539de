"""What a run will take, before its first step: minutes and memory, from steps that were measured."""

from __future__ import annotations

from arguments import RunOptions
from scene.types import Scene
from training import run_info
from training.pace import expected_seconds
from training.plan import Speed, most_expected
from training.probe import PART_OF_TIME
from training.state import TrainingState
from utils.text import about_text, count_text, duration_text

PROBE_SECONDS = 10.0 / PART_OF_TIME  # of a run whose probe takes 10 s at most for each number of Gaussians
NOTHING_WRITTEN = "Nothing was written (--dry_run)"
FULL = 0.9  # of the machine's memory: a run that needs more is warned of


def forecast(run: RunOptions, scene: Scene, state: TrainingState, speed: Speed, loaded: float) -> list[str]:
    """Lines for people. `speed` was measured just now, in this process, up to the number of Gaussians that is
    expected: the memory that it took is that of the run, but for the photos that it has not decoded. `loaded` are the
    seconds that the dataset took."""
    expected, now = state.strategy.expected_count, state.gaussians.total
    most, then = most_expected(expected), round(expected(1.0))
    steps = run.iterations - state.iteration
    seconds = loaded + expected_seconds(run, scene, state, speed)
    first, slowest = (f"{1000 * speed.seconds(count):.3g} ms" for count in (now, most))
    at_the_end = f" and {about_text(then)} at the end" if state.strategy.count_is_known else ""
    lines = [
        f"{count_text(now, 'Gaussian')} at the start; about {about_text(most)} are expected at most{at_the_end}",
        f"Time: about {duration_text(seconds)}, loading and evaluation included; {count_text(steps, 'step')} of "
        f"{first} at the start and {slowest} with the most Gaussians",
    ]
    return [*lines, *_memory(scene, state), NOTHING_WRITTEN]


def _memory(scene: Scene, state: TrainingState) -> list[str]:
    """Of the host, and of the GPU where one is used."""
    cache, ranks = state.photos.photos, state.gaussians.ranks.size
    decoded, size = cache.kept()
    photos = min(len(scene.train), cache.limit or len(scene.train)) + len(scene.test)
    of_photos = size / max(decoded, 1) / 2**20  # MiB each
    peak, gpu = run_info.peak_memory_mib(), run_info.peak_gpu_memory_mib()
    lines = []
    if peak is not None:
        needed = peak + (photos - decoded) * of_photos
        who = "Memory" if ranks == 1 else "Memory of each rank"
        lines.append(f"{who}: about {needed / 1024:.2g} GiB, of which {photos * of_photos / 1024:.2g} GiB are photos")
        there = run_info.machine()["memory_gib"]
        if there is not None and needed / 1024 > FULL * there:
            lines.append(
                f"warning: this machine has {there:.3g} GiB; smaller photos (-r) and --max_gaussians need less"
            )
    if gpu is not None:
        lines.append(f"GPU memory: about {gpu / 1024:.2g} GiB")
    return lines
