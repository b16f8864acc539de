"""Look at a trained scene in a browser.

python view.py -m output/garden
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from arguments import ModelOptions
from gaussian_renderer import background_color, settings_of
from gaussian_renderer.device import use_device
from gaussian_renderer.live.server import address_text, require_viser, start_server
from gaussian_renderer.live.viewer import LiveViewer
from gaussian_renderer.trained import add_model_flags, load_trained_scene, read_options
from scene.camera_list import read_cameras
from scene.extent import measure_extent
from scene.gaussians.model import Gaussians
from scene.io import read_gaussians
from scene.types import PointCloud, View
from utils.console import Parser, run_script, say
from utils.errors import UserError, reason
from utils.output_dir import find_iteration, point_cloud_path

TICK = 0.02  # seconds between two looks at the wishes of those who look


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = Parser(prog="view.py", description="Look at a trained scene in a browser, until Ctrl-C.")
    add_model_flags(parser, "are shown")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None, stopped: Callable[[], bool] = lambda: False) -> None:
    """Until `stopped` says so, or Ctrl-C."""
    values = parse(arguments)
    require_viser()
    device = use_device(values.device)
    options = read_options(values.model_path)
    path = point_cloud_path(values.model_path, find_iteration(values.model_path, values.iteration))
    gaussians = Gaussians.from_arrays(read_gaussians(path), device)
    cameras = read_cameras(values.model_path / "cameras.json")
    extent, near, _ = measure_extent(cameras, PointCloud(gaussians.means.detach().cpu().numpy(), np.empty((0, 3))))
    settings = settings_of(near, gaussians.sh_degree, options.pipeline)
    background = background_color(options.model.white_background, device)
    views = photos_of(values.model_path, options.model, values.source_path)
    shown = [view.camera for view in views] or cameras
    server = start_server()
    viewer = LiveViewer(server, shown, background, extent, gaussians.sh_degree)
    try:
        if views:
            viewer.load_photos(views)
        say(f"{path}: {len(gaussians):,} Gaussians\n{address_text(server.get_port())}\nCtrl-C ends it")
        while not stopped():
            viewer.show(gaussians, settings, 0)
            time.sleep(TICK)
    finally:
        viewer.close()


def photos_of(model: Path, options: ModelOptions, source: str) -> list[View]:
    """The views of the dataset; none, and a line that says why, where it cannot be read any more."""
    try:
        scene = load_trained_scene(model, options, source)
    except (UserError, OSError) as error:
        say(f"without photos: {reason(error)}")
        return []
    return [*scene.train, *scene.test]


if __name__ == "__main__":
    run_script(main)
