"""Draw the views of a trained scene: color, depth and distortion, beside the photos; or a flight through it.

python render.py -m output/garden
python render.py -m output/garden --path orbit --video garden.mp4
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from arguments import ModelOptions, TrainOptions, graphdeco
from gaussian_renderer import RenderSettings, background_color, settings_of
from gaussian_renderer.device import use_device
from gaussian_renderer.exposures import Exposures
from gaussian_renderer.render_path import SHOWN, frame_path, render_path
from gaussian_renderer.render_views import DrawnView, render_views
from gaussian_renderer.trained import add_model_flags, load_trained_scene, read_options
from scene.gaussians.model import Gaussians
from scene.io import read_gaussians
from scene.loading.image_cache import readable
from scene.paths import FPS, SECONDS, PathRequest, camera_path
from scene.refined_poses import with_refined_poses
from scene.types import Scene
from utils.console import Parser, progress, run_script, say
from utils.errors import UserError
from utils.image_io import read_png
from utils.output_dir import config_path, find_iteration, point_cloud_path
from utils.text import count_text
from utils.video import check_video_path, write_video

MIN_SIZE, MAX_SIZE = 16, 16_384  # pixels, on a side of a frame
MAX_FPS, MAX_SECONDS = 240.0, 3_600.0
OF_A_PATH = ("size", "fps", "seconds", "show", "video")  # flags that mean nothing without --path


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = Parser(prog="render.py", description="Render the views of a trained scene.")
    add_model_flags(parser, "are rendered")
    parser.add_argument(
        "--splats",
        type=Path,
        metavar="FILE",
        help="file of Gaussians of any format that export.py reads, in the frame of the dataset, that is rendered "
        "instead of the model's; without a model, -s names the dataset and -m a folder for the pictures",
    )
    parser.add_argument("--skip_train", action="store_true", help="renders no training views")
    parser.add_argument("--skip_test", action="store_true", help="renders no test views")
    parser.add_argument("--skip_far", action="store_true", help="renders no far views (test_far/, docs/datasets.md)")
    _add_path_flags(parser)
    parser.add_argument("--quiet", action="store_true", help="prints nothing but errors")
    graphdeco.accept(parser, graphdeco.RENDER)
    return parser.parse_args(arguments)


def _add_path_flags(parser: argparse.ArgumentParser) -> None:
    flags = parser.add_argument_group("A flight through the scene")
    flags.add_argument(
        "--path",
        metavar="orbit|spline|FILE.json",
        help="renders a camera path instead of the views, to path/ours_<N>/ in the model folder: orbit goes about what "
        "the training cameras look at, spline past these cameras, a file has a path exported by nerfstudio's viewer",
    )
    flags.add_argument(
        "--size",
        metavar="WxH",
        help="size of the frames in pixels (default: that of the photos in training, or the file)",
    )
    flags.add_argument("--fps", type=float, metavar="X", help=f"frames per second (default: {FPS:g}, or the file's)")
    flags.add_argument(
        "--seconds", type=float, metavar="X", help=f"duration of orbit and spline (default: {SECONDS:g})"
    )
    flags.add_argument("--show", choices=SHOWN, help="what the frames show; both: side by side (default: color)")
    flags.add_argument(
        "--video", type=Path, metavar="FILE", help="writes the frames to a video, too, an .mp4 (default: none)"
    )


def path_request(values: argparse.Namespace) -> PathRequest | None:
    """The path that is asked for, if any. UserError for a flag that is out of range, or means nothing."""
    if values.path is None:
        given = [f"--{name}" for name in OF_A_PATH if getattr(values, name) is not None]
        if given:
            raise UserError(f"{', '.join(given)}: only a camera path has that; --path chooses one")
        return None
    for name, value, most in (("fps", values.fps, MAX_FPS), ("seconds", values.seconds, MAX_SECONDS)):
        if value is not None and not 0 < value <= most:
            raise UserError(f"--{name} must be above 0 and at most {most:g}, not {value:g}")
    if values.video is not None:
        check_video_path(values.video)
    size = None if values.size is None else frame_size(values.size)
    return PathRequest(values.path, size, values.fps, values.seconds)


def frame_size(text: str) -> tuple[int, int]:
    """Width and height of the text "1280x720". UserError for any other."""
    match = re.fullmatch(r"(\d{1,5})[xX×](\d{1,5})", text)
    width, height = map(int, match.groups()) if match else (0, 0)
    if not (MIN_SIZE <= width <= MAX_SIZE and MIN_SIZE <= height <= MAX_SIZE):
        raise UserError(
            f"--size {text}: it must be widthxheight with {MIN_SIZE} to {MAX_SIZE} pixels each, as in 1280x720"
        )
    return width, height


def options_of(values: argparse.Namespace) -> TrainOptions:
    """The settings of the model, or the defaults where --splats and -s name all that is needed."""
    if values.splats and values.source_path and not config_path(values.model_path).exists():
        return TrainOptions(model=ModelOptions(source_path=values.source_path))
    return read_options(values.model_path)


def gaussians_of(values: argparse.Namespace) -> tuple[Path, str]:
    """The file that is rendered, and the folder of its pictures in train/ and test/: ours_<N> is the model's."""
    if values.splats is None:
        iteration = find_iteration(values.model_path, values.iteration)
        return point_cloud_path(values.model_path, iteration), f"ours_{iteration}"
    if values.iteration != -1:
        raise UserError("--iteration chooses from the model's Gaussians; --splats names others")
    return values.splats, f"splats_{values.splats.name.partition('.')[0]}"


@dataclass(frozen=True)
class Trained:
    """A model, the scene it was trained on, and how to draw it."""

    folder: Path
    place: str  # of its pictures in train/, test/, path/: ours_<N> is the model's
    scene: Scene
    gaussians: Gaussians
    background: Tensor
    settings: RenderSettings
    exposures: Exposures | None
    quiet: bool

    def draw_views(self, skipped: Collection[str]) -> None:
        """All views but of the `skipped` parts, to train/, test/ and far/."""
        refined = with_refined_poses(self.folder, self.scene.train)
        parts = {"train": refined, "test": self.scene.test, "far": self.scene.far}
        how = self.background, self.settings, self.exposures, self.scene.meters_per_unit
        for part, views in parts.items():
            folder = self.folder / part / self.place
            if views and part not in skipped:
                photos, faults = readable(views, self.gaussians.device)
                for name, fault in faults.items():
                    self._warn(f"{name} is not rendered: {fault}")
                drawn = render_views(self.gaussians, photos, folder, *how)
                self._warn(nonfinite_text(list(progress(drawn, f"Rendering {folder}", len(photos), self.quiet))))

    def draw_path(self, request: PathRequest, show: str, video: Path | None) -> None:
        """A flight, to path/ and to a video."""
        points = self.scene.measured if len(self.scene.measured) else self.scene.points
        path = camera_path(request, [view.camera for view in self.scene.train], points, self.scene.extent)
        folder = self.folder / "path" / self.place
        count = len(path.cameras)
        say(f"Path: {path.text}; {count_text(count, 'frame')}, {count / path.fps:.3g} s", self.quiet)
        self._warn(path.warning)
        drawn = render_path(self.gaussians, path.cameras, folder, self.background, self.settings, show)
        self._warn(nonfinite_text(list(progress(drawn, f"Rendering {folder}", count, self.quiet))))
        if video is not None:
            frames = (read_png(frame_path(folder, index)) for index in range(count))
            shown = progress(frames, f"Writing {video}", count, self.quiet)
            say(f"{video}: {write_video(video, shown, path.fps)}", self.quiet)

    def _warn(self, text: str) -> None:
        if text:
            say(f"warning: {text}", self.quiet)


def load(values: argparse.Namespace) -> Trained:
    """What the command line names. UserError where it is not there."""
    device = use_device(values.device)
    options = options_of(values)
    path, place = gaussians_of(values)
    scene = load_trained_scene(values.model_path, options.model, values.source_path, values.quiet)
    gaussians = Gaussians.from_arrays(read_gaussians(path), device)
    say(f"{path}: {len(gaussians):,} Gaussians", values.quiet)
    background = background_color(options.model.white_background, device)
    settings = settings_of(scene.near, gaussians.sh_degree, options.pipeline)
    exposures = Exposures.read(values.model_path)
    return Trained(values.model_path, place, scene, gaussians, background, settings, exposures, values.quiet)


def main(arguments: Sequence[str] | None = None) -> None:
    values = parse(arguments)
    for line in graphdeco.lines(values, graphdeco.RENDER):
        say(line, values.quiet)
    request = path_request(values)
    trained = load(values)
    if request is None:
        trained.draw_views([part for part in ("train", "test", "far") if vars(values)[f"skip_{part}"]])
    else:
        trained.draw_path(request, values.show or "color", values.video)


def nonfinite_text(views: Sequence[DrawnView]) -> str:
    """A line on Gaussians that were culled because a value of theirs is not finite; "" where none was."""
    worst = max(views, key=lambda view: view.num_nonfinite)
    count = sum(view.num_nonfinite > 0 for view in views)
    if count == 0:
        return ""
    return (
        f"{count_text(worst.num_nonfinite, 'Gaussian')} not drawn in {worst.name}, the most of {count} of {len(views)} "
        "views: a value of theirs is NaN or infinite (num_nonfinite)"
    )


if __name__ == "__main__":
    run_script(main)
