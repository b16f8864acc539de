"""`python -m scene.synthetic OUT`: makes the synthetic RGB-D scene."""

from __future__ import annotations

import argparse
from pathlib import Path

from scene.synthetic.write import write_scene
from utils.report import run_script, say


def main() -> None:
    """Parse the arguments and write the scene."""
    parser = argparse.ArgumentParser(
        prog="python -m scene.synthetic",
        description="Make a synthetic RGB-D scene: photos, a depth camera's maps, a COLMAP model and the exact truth.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write; replaced if it is such a scene already")
    parser.add_argument("--views", type=int, default=60, help="number of photos")
    parser.add_argument("--width", type=int, default=480, help="pixels")
    parser.add_argument("--height", type=int, default=360, help="pixels")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the room, the camera path and the depth camera's faults"
    )
    options = parser.parse_args()
    write_scene(options.out, options.views, options.width, options.height, options.seed)
    say(f"{options.out}: {options.views} photos with depth, {options.width} × {options.height}")


if __name__ == "__main__":
    run_script(main)
