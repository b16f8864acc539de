"""Write the Gaussians of a trained scene to a file, in the format of its suffix.

python export.py -m output/garden garden.ply
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from scene.io import FORMATS, format_of, read_gaussians
from utils.console import Parser, run_script, say
from utils.output_dir import find_iteration, point_cloud_path


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = Parser(prog="export.py", description="Write the Gaussians of a trained scene to a file.")
    parser.add_argument("file", type=Path, help=f"file to write, of the suffix {' or '.join(sorted(FORMATS))}")
    parser.add_argument("-m", "--model_path", type=Path, required=True, help="folder of the model that train.py wrote")
    parser.add_argument(
        "--iteration",
        type=int,
        default=-1,
        metavar="N",
        help="iteration whose saved Gaussians are written (default: the last)",
    )
    parser.add_argument("--quiet", action="store_true", help="prints nothing but errors")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    values = parse(arguments)
    target = format_of(values.file)  # before anything is read, which may take a while
    path = point_cloud_path(values.model_path, find_iteration(values.model_path, values.iteration))
    gaussians = read_gaussians(path)
    target.write(values.file, gaussians)
    say(f"{values.file}: {len(gaussians.means):,} Gaussians of {path}", values.quiet)


if __name__ == "__main__":
    run_script(main)
