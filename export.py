"""Write Gaussians to a file: of a trained scene or of another file, in any format, edited on the way.

python export.py -m output/garden garden.ply
python export.py -m garden.ply --format spz --crop -2 -2 -2 2 2 2 --max_gaussians 100000
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from gaussian_renderer import settings_of
from gaussian_renderer.contribution import contributions
from gaussian_renderer.device import use_device
from gaussian_renderer.trained import load_trained_scene, read_options
from scene.camera_list import read_cameras
from scene.editing import (
    Similarity,
    at_most,
    inside_box,
    inside_sphere,
    opacity_times_area,
    rows,
    transform,
    transform_camera,
    with_sh_degree,
)
from scene.gaussians.model import Gaussians
from scene.io import FORMATS, format_of, read_gaussians, suffix_of, viewer_html
from scene.io.checks import finite
from scene.spherical_harmonics import MAX_DEGREE, degree_of
from scene.types import Camera, GaussianArrays
from utils.console import Parser, progress, run_script, say
from utils.errors import UserError
from utils.output_dir import find_iteration, point_cloud_path
from utils.text import count_text

NAMES = {suffix[1:].replace(".", "-"): suffix for suffix in FORMATS}  # of --format


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = Parser(
        prog="export.py",
        description="Write Gaussians to a file. Edits apply in the order crop, max_gaussians, sh_degree, transform.",
    )
    parser.add_argument(
        "file",
        type=Path,
        nargs="?",
        help=f"file to write, of the suffix {' or '.join(sorted(FORMATS))} (default: the model's name, with --format)",
    )
    parser.add_argument(
        "-m",
        "--model_path",
        type=Path,
        required=True,
        metavar="MODEL",
        help="folder of the model that train.py wrote, or a file of Gaussians",
    )
    parser.add_argument("--format", choices=NAMES, help="format to write (default: that of the file's suffix)")
    parser.add_argument(
        "--iteration",
        type=int,
        default=-1,
        metavar="N",
        help="iteration whose saved Gaussians are written (default: the last)",
    )
    _add_edits(parser)
    parser.add_argument(
        "-s",
        "--source_path",
        default="",
        help="folder of the dataset, whose training views --max_gaussians looks at (default: that of the training)",
    )
    parser.add_argument("--device", default="", metavar="NAME", help="device that looks at them (default: the best)")
    parser.add_argument("--quiet", action="store_true", help="prints nothing but errors")
    return parser.parse_args(arguments)


def _add_edits(parser: argparse.ArgumentParser) -> None:
    edits = parser.add_argument_group("Edits")
    edits.add_argument(
        "--crop",
        type=float,
        nargs="+",
        metavar="X",
        help="keeps what lies in a box, x0 y0 z0 x1 y1 z1, or in a sphere, x y z radius, before --transform",
    )
    edits.add_argument(
        "--max_gaussians",
        type=int,
        metavar="N",
        help="keeps the N Gaussians that contribute most: of a model, by their blending weights in all pixels of the "
        "training views; of a file, by opacity times area",
    )
    edits.add_argument(
        "--sh_degree",
        type=int,
        choices=range(MAX_DEGREE + 1),
        help="highest degree of spherical harmonics that is written (default: that of the Gaussians)",
    )
    edits.add_argument(
        "--transform",
        nargs="+",
        metavar="X",
        help="4x4 matrix that moves the world, 16 numbers row by row, or a text file of them; it may rotate, mirror, "
        "move, and scale all axes alike",
    )
    edits.add_argument("--scale", type=float, metavar="X", help="factor that scales the world")
    edits.add_argument(
        "--rotate",
        type=float,
        nargs=3,
        metavar=("X", "Y", "Z"),
        help="degrees by which the world turns about the x axis, then the y axis, then the z axis, after --scale",
    )
    edits.add_argument(
        "--translate", type=float, nargs=3, metavar=("X", "Y", "Z"), help="way that the world moves, after --rotate"
    )


def source_path(values: argparse.Namespace) -> Path:
    """The file that is read."""
    model: Path = values.model_path
    if model.is_dir():
        return point_cloud_path(model, find_iteration(model, values.iteration))
    if not model.exists():
        raise UserError(f"{model} is not there; -m must name the folder of a model, or a file of Gaussians")
    if values.iteration != -1:
        raise UserError(f"--iteration chooses from the folder of a model; {model} is a file")
    return model


def target_path(values: argparse.Namespace) -> Path:
    """The file that is written. UserError where it is not known, or would be of two formats."""
    suffix = NAMES.get(values.format)
    if values.file is None:
        if suffix is None:
            raise UserError("there is no file to write to: give its name, or --format")
        name = values.model_path.resolve().name
        stem = name if values.model_path.is_dir() else name[: -len(suffix_of(Path(name)))]
        return Path(stem + suffix)
    path: Path = values.file
    if suffix is not None and suffix_of(path) != suffix:
        raise UserError(f"{path} has the suffix {suffix_of(path)}; --format {values.format} writes {suffix}")
    return path


def crop(gaussians: GaussianArrays, numbers: Sequence[float]) -> np.ndarray:
    """(N,) bool: which of the Gaussians --crop keeps."""
    strange = [number for number in numbers if not math.isfinite(number)]
    if strange:
        raise UserError(f"--crop has the number {strange[0]}; all of its numbers must be finite")
    if len(numbers) not in (4, 6):
        raise UserError(f"--crop has {len(numbers)} numbers; a box has 6, x0 y0 z0 x1 y1 z1, a sphere 4, x y z radius")
    corners = np.array(numbers)
    inside = inside_box(gaussians.means, corners) if len(numbers) == 6 else None
    kept = inside_sphere(gaussians.means, corners[:3], corners[3]) if inside is None else inside
    if not kept.any():
        raise UserError(f"--crop keeps none of {len(gaussians.means):,} Gaussians")
    return kept


def similarity_of(values: argparse.Namespace) -> Similarity | None:
    """What --transform, or --scale, --rotate and --translate ask for; None for nothing. UserError for both."""
    simple = (values.scale, values.rotate, values.translate)
    if values.transform is not None:
        if any(each is not None for each in simple):
            raise UserError("--transform and --scale, --rotate, --translate exclude each other")
        return Similarity.from_matrix(matrix_of(values.transform), "--transform")
    if all(each is None for each in simple):
        return None
    scale = 1.0 if values.scale is None else values.scale
    numbers = np.array([scale, *(values.rotate or (0, 0, 0)), *(values.translate or (0, 0, 0))], np.float64)
    if not np.isfinite(numbers).all() or scale <= 0:
        raise UserError(f"--scale {scale}, --rotate and --translate must be finite numbers, and the scale above 0")
    return Similarity(Rotation.from_euler("xyz", numbers[1:4], degrees=True).as_matrix(), numbers[4:], scale)


def matrix_of(words: Sequence[str]) -> np.ndarray:
    """(4, 4) float64 from 16 numbers, or from a text file of them."""
    texts: Sequence[str] = words
    if len(words) == 1 and Path(words[0]).is_file():
        texts = Path(words[0]).read_text(errors="replace").replace(",", " ").replace("[", " ").replace("]", " ").split()
    try:
        numbers = [float(text) for text in texts]
    except ValueError:
        numbers = []
    if len(numbers) != 16:
        raise UserError(f"--transform {' '.join(words)[:80]} is not 16 numbers, nor a text file of 16 numbers")
    return np.array(numbers).reshape(4, 4)


def importance(values: argparse.Namespace, gaussians: GaussianArrays) -> tuple[np.ndarray, str]:
    """(N,) what --max_gaussians goes by, and what that is in words."""
    model: Path = values.model_path
    if not model.is_dir():
        return opacity_times_area(gaussians), "by opacity times area"
    options = read_options(model)
    scene = load_trained_scene(model, options.model, values.source_path, values.quiet)
    device = use_device(values.device)
    degree = degree_of(gaussians.shs.shape[1])
    settings = settings_of(scene.near, degree, options.pipeline)
    cameras = [view.camera for view in scene.train]
    shown = progress(cameras, "Looking at the training views", len(cameras), values.quiet)
    weights = contributions(Gaussians.from_arrays(gaussians, device), shown, settings)
    return weights.cpu().numpy(), f"by their blending weights in {count_text(len(cameras), 'training view')}"


def edited(values: argparse.Namespace, gaussians: GaussianArrays) -> tuple[GaussianArrays, list[str]]:
    """The Gaussians as they are to be written, and what was done to them."""
    moved, done = similarity_of(values), []
    score, words = np.zeros(len(gaussians.means)), ""
    if values.max_gaussians is not None and values.max_gaussians < 1:
        raise UserError(f"--max_gaussians {values.max_gaussians}: it must be at least 1")
    if values.max_gaussians is not None and len(gaussians.means) > values.max_gaussians:
        score, words = importance(values, gaussians)
    if values.crop is not None:
        kept = crop(gaussians, values.crop)
        done.append(f"{int((~kept).sum()):,} outside the crop left out")
        gaussians, score = rows(gaussians, kept), score[kept]
    if words and len(gaussians.means) > values.max_gaussians:
        done.append(f"{len(gaussians.means) - values.max_gaussians:,} left out {words}")
        gaussians = at_most(gaussians, values.max_gaussians, score)
    if values.sh_degree is not None:
        found = degree_of(gaussians.shs.shape[1])
        kept_degree = min(found, values.sh_degree)
        done.append(f"spherical harmonics of degree {kept_degree} of {found}")
        gaussians = with_sh_degree(gaussians, kept_degree)
    if moved is not None:
        gaussians = transform(gaussians, moved)
    return finite(str(values.model_path), gaussians), done


def cameras_of(values: argparse.Namespace) -> list[Camera]:
    """The cameras of a model, moved as its Gaussians are; none of a file, nor in a world that is mirrored."""
    path, moved = values.model_path / "cameras.json", similarity_of(values)
    if not path.is_file() or (moved is not None and np.linalg.det(moved.rotation) < 0):
        return []
    cameras = read_cameras(path)
    return cameras if moved is None else [transform_camera(camera, moved) for camera in cameras]


def main(arguments: Sequence[str] | None = None) -> None:
    values = parse(arguments)
    path = target_path(values)
    target = format_of(path)  # before anything is read, which may take a while
    source = source_path(values)
    if path.exists() and source.exists() and path.samefile(source):
        raise UserError(f"{path} is the file that is read; give another name for what is written")
    gaussians, done = edited(values, read_gaussians(source))
    if target is viewer_html:
        viewer_html.write(path, gaussians, cameras_of(values))
    else:
        target.write(path, gaussians)
    say("; ".join([f"{path}: {len(gaussians.means):,} Gaussians of {source}", *done]), values.quiet)


if __name__ == "__main__":
    run_script(main)
