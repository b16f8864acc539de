"""What the scripts that work on a trained model have in common: their flags, its settings and its scene."""

from __future__ import annotations

import argparse
from pathlib import Path

from arguments import BEST_DEVICE, DEVICE_HELP, ModelOptions, TrainOptions, from_json
from scene import load_scene
from scene.types import Scene
from utils.errors import UserError
from utils.output_dir import config_path


def add_model_flags(parser: argparse.ArgumentParser, used: str) -> None:
    """-m, -s, --iteration and --device. `used`: what happens to the Gaussians, as in "are rendered"."""
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
        help=f"iteration whose saved Gaussians {used} (default: the last)",
    )
    parser.add_argument("--device", default="", metavar="NAME", help=f"{DEVICE_HELP} (default: {BEST_DEVICE})")


def read_options(model: Path) -> TrainOptions:
    """The settings a model was trained with. UserError when there are none."""
    path = config_path(model)
    if not path.exists():
        raise UserError(f"{path} is not there; -m must name a folder that train.py left")
    return from_json(path.read_bytes(), str(path))


def load_trained_scene(model: Path, options: ModelOptions, source: str = "", quiet: bool = False) -> Scene:
    """The scene that the model in this folder was trained on; `source` is where it is now, if it was moved.

    What was made of the dataset then, as the poses of photos, is taken from the model folder, which may have been
    moved too. Raises: UserError as `load_scene` does.
    """
    arguments = options.scene_arguments() | {"workspace": model}
    return load_scene(Path(source or options.source_path), **arguments, quiet=quiet, guess_points=False)
