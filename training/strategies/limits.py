"""Between which steps and up to which number a strategy adds Gaussians, as given or as fits the run and the photos."""

from __future__ import annotations

from arguments import DensificationOptions
from scene.coverage import photos_to_cover
from scene.gaussians.model import Gaussians
from scene.types import Scene
from utils.errors import UserError

LEAST_EVENTS = 8  # densifications that a budget is reached by, in a run of a few hundred steps too
LEAST_INTERVAL = 10  # steps, or too few photos have said what is needed where
ROOM = 1.5  # times the points that a scene starts from: the least that a derived limit allows
PER_PIXEL_SHOWN = 0.08  # of the default budget: Gaussians for a pixel of the photos that it takes to show the scene ...
LEAST_PHOTOS = 2.5  # ... of which there are as many at least
MOST_BY_PHOTOS = 2_000_000  # Gaussians, 2 GB of memory: more only where someone asks for them


def growth_steps(given: DensificationOptions, iterations: int, part: float = 0.5) -> tuple[int, int]:
    """(start, stop): Gaussians are added after `start` and before `stop`, at `part` of a run of `iterations`."""
    start = min(500, iterations // 10) if given.densify_from_iter is None else given.densify_from_iter
    stop = int(iterations * part) if given.densify_until_iter is None else given.densify_until_iter
    return start, stop


def growth_interval(given: DensificationOptions, start: int, stop: int) -> int:
    """How many steps from one addition to the next, after `start` and before `stop`, for what grows by a part at a
    time."""
    if given.densification_interval is not None:
        return given.densification_interval
    return min(given.interval, max(LEAST_INTERVAL, (stop - start) // LEAST_EVENTS))


def photo_pixels(scene: Scene) -> float:
    """The mean number of pixels of a training photo."""
    return sum(view.camera.width * view.camera.height for view in scene.train) / len(scene.train)


def budget_per_pixel(scene: Scene) -> float:
    """Gaussians for each pixel of one photo that a budget has by default.

    Photos that all show the same thing need no more for being many; a drone's photos of a village show ever new
    ground, and each needs Gaussians of its own.
    """
    photos = photos_to_cover([view.camera for view in scene.train], scene.points)
    most = max(LEAST_PHOTOS * PER_PIXEL_SHOWN, MOST_BY_PHOTOS / photo_pixels(scene))
    return min(PER_PIXEL_SHOWN * max(LEAST_PHOTOS, photos), most)


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
