"""Between which steps and up to which number a strategy adds Gaussians, as given or as fits the run and the photos."""

from __future__ import annotations

from arguments import DensificationOptions
from scene.gaussians.model import Gaussians
from scene.types import Scene
from utils.errors import UserError

ROOM = 1.5  # times the points that a scene starts from: the least that a derived limit allows


def growth_steps(given: DensificationOptions, iterations: int, part: float = 0.5) -> tuple[int, int]:
    """(start, stop): Gaussians are added after `start` and before `stop`, at `part` of a run of `iterations`."""
    start = min(500, iterations // 10) if given.densify_from_iter is None else given.densify_from_iter
    stop = int(iterations * part) if given.densify_until_iter is None else given.densify_until_iter
    return start, stop


def photo_pixels(scene: Scene) -> float:
    """The mean number of pixels of a training photo."""
    return sum(view.camera.width * view.camera.height for view in scene.train) / len(scene.train)


def gaussian_limit(given: DensificationOptions, scene: Scene, per_pixel: float, at_least: int) -> int:
    """How many Gaussians there may be, 0 for any number: `--max_gaussians`, or what fits the photos.

    That is `per_pixel` for each pixel of one photo, but not under `at_least`, nor under 1.5 times the points that the
    scene starts from.
    """
    if given.max_gaussians is not None:
        return given.max_gaussians
    return max(at_least, round(per_pixel * photo_pixels(scene)), round(ROOM * len(scene.points)))


def check_some_left(gaussians: Gaussians, iteration: int) -> None:
    """UserError when no Gaussian is left."""
    if gaussians.total == 0:
        raise UserError(f"iteration {iteration}: no Gaussian is left; all were too transparent or too large")
