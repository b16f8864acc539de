"""`python -m scene.synthetic OUT`: makes a synthetic scene: an RGB-D room, an object as from Blender, the outdoors."""

from __future__ import annotations

import argparse
from pathlib import Path

from scene.synthetic.rooms import ROOMS
from scene.synthetic.write import write_scene
from scene.synthetic.write_open import write_object, write_outdoor
from utils.console import run_script, say


def main() -> None:
    """Parse the arguments and write the scene."""
    options = _parser().parse_args()
    given = {name: getattr(options, name) for name in ("views", "width", "height") if getattr(options, name)}
    if options.scene == "object":
        size = {"size": given.pop("width")} if "width" in given else {}
        given.pop("height", None)
        write_object(options.out, **given, **size, test_views=options.test_views, seed=options.seed)
    elif options.scene == "outdoor":
        write_outdoor(options.out, **given, seed=options.seed)
    else:
        write_scene(options.out, **given, seed=options.seed, far_views=not options.skip_far, room=options.scene)
    say(f"{options.out}: the synthetic {options.scene} scene")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m scene.synthetic",
        description="Make a synthetic scene. room: photos, a depth camera's maps, a COLMAP model and the exact truth. "
        "study: another room, scanned looking outward, with a stereo camera's maps. "
        "object: transparent renderings around an object, in the layout of Blender's NeRF scenes, without points. "
        "outdoor: photos of a lawn with a far background and a sky, and a COLMAP model with points near by alone.",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write; replaced if it is such a scene already")
    parser.add_argument(
        "--scene", choices=(*ROOMS, "object", "outdoor"), default="room", help="scene to make (default: room)"
    )
    parser.add_argument("--views", type=int, help="number of photos (default: 60; 90 to train on for object)")
    parser.add_argument(
        "--test_views", type=int, default=10, help="number of test photos of the scene object (default: 10)"
    )
    parser.add_argument(
        "--width",
        type=int,
        help="width of the photos in pixels (default: 480; 400 for object, whose photos are square)",
    )
    parser.add_argument("--height", type=int, help="height of the photos in pixels (default: 360; 320 for outdoor)")
    parser.add_argument(
        "--skip_far", action="store_true", help="makes no test_far/: views off the path of the photos, for the rooms"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of all random numbers of the scene (default: 0)")
    return parser


if __name__ == "__main__":
    run_script(main)
