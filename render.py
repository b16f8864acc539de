"""Draw the views of a trained scene: color, depth and distortion, beside the photos.

python render.py -m output/garden
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from arguments import BEST_DEVICE, DEVICE_HELP, TrainOptions, from_json, graphdeco
from gaussian_renderer import RenderSettings, background_color
from gaussian_renderer.device import use_device
from gaussian_renderer.render_views import DrawnView, render_views
from scene import load_scene
from scene.gaussians.model import Gaussians
from scene.io import read_gaussians
from scene.loading.image_cache import readable
from utils.console import Parser, progress, run_script, say
from utils.errors import UserError
from utils.output_dir import config_path, find_iteration, point_cloud_path
from utils.text import count_text


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = Parser(prog="render.py", description="Render the views of a trained scene.")
    parser.add_argument("-m", "--model_path", type=Path, required=True, help="folder of the model that train.py wrote")
    parser.add_argument(
        "-s",
        "--source_path",
        default="",
        help="folder of the dataset; give it if it was moved (default: the folder it had at training)",
    )
    parser.add_argument(
        "--iteration",
        type=int,
        default=-1,
        metavar="N",
        help="iteration whose saved Gaussians are rendered (default: the last)",
    )
    parser.add_argument("--skip_train", action="store_true", help="renders no training views")
    parser.add_argument("--skip_test", action="store_true", help="renders no test views")
    parser.add_argument("--device", default="", metavar="NAME", help=f"{DEVICE_HELP} (default: {BEST_DEVICE})")
    parser.add_argument("--quiet", action="store_true", help="prints nothing but errors")
    graphdeco.accept(parser, graphdeco.RENDER)
    return parser.parse_args(arguments)


def read_options(model: Path) -> TrainOptions:
    """The settings a model was trained with. UserError when there are none."""
    path = config_path(model)
    if not path.exists():
        raise UserError(f"{path} is not there; -m must name a folder that train.py left")
    return from_json(path.read_bytes(), str(path))


def main(arguments: Sequence[str] | None = None) -> None:
    values = parse(arguments)
    for line in graphdeco.lines(values, graphdeco.RENDER):
        say(line, values.quiet)
    device = use_device(values.device)
    options = read_options(values.model_path)
    iteration = find_iteration(values.model_path, values.iteration)
    model = options.model
    scene = load_scene(Path(values.source_path or model.source_path), **model.scene_arguments())
    path = point_cloud_path(values.model_path, iteration)
    gaussians = Gaussians.from_arrays(read_gaussians(path), device)
    say(f"{path}: {len(gaussians):,} Gaussians", values.quiet)
    background = background_color(model.white_background, device)
    settings = RenderSettings(scene.near, gaussians.sh_degree, options.pipeline.antialiasing)
    parts = {"train": () if values.skip_train else scene.train, "test": () if values.skip_test else scene.test}
    for part, views in parts.items():
        folder = values.model_path / part / f"ours_{iteration}"
        if views:
            photos, faults = readable(views, device)
            for name, fault in faults.items():
                say(f"warning: {name} is not rendered: {fault}", values.quiet)
            drawn = render_views(gaussians, photos, folder, background, settings)
            shown = progress(drawn, f"Rendering {folder}", len(photos), values.quiet)
            text = nonfinite_text(list(shown))
            if text:
                say(f"warning: {text}", values.quiet)


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
