"""Make a mesh of a trained scene: the depth maps of its training views, fused.

python mesh.py -m output/garden garden.glb
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from gaussian_renderer import RenderSettings, background_color, render, settings_of, surface_depth
from gaussian_renderer.device import use_device
from gaussian_renderer.trained import add_model_flags, load_trained_scene, read_options
from scene.gaussians.model import Gaussians
from scene.io import read_gaussians
from scene.mesh.files import writer_of
from scene.mesh.scores import mesh_scores
from scene.mesh.surface import make_mesh, usual_voxel
from scene.mesh.tsdf import DepthView
from scene.refined_poses import with_refined_poses
from scene.synthetic.truth import find_truth
from scene.types import Camera
from utils.console import Parser, progress, run_script, say
from utils.files import write_json
from utils.output_dir import find_iteration, point_cloud_path
from utils.text import count_text

MIN_ALPHA = 0.5  # of a pixel that shows a surface
BYTES_PER_PIXEL = 7  # of a view in memory: its depth and its color
GIB = 2**30


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = Parser(prog="mesh.py", description="Make a mesh of a trained scene.")
    parser.add_argument(
        "file",
        type=Path,
        nargs="?",
        help="file to write, of the suffix .ply, .obj or .glb (default: mesh.ply in the model folder)",
    )
    add_model_flags(parser, "are used")
    parser.add_argument(
        "--voxel",
        type=_positive,
        metavar="LENGTH",
        help="edge of a cell, scene units: smaller shows more detail and more noise "
        "(default: two pixels at the middle depth, and 1 cm at least where the unit is known)",
    )
    parser.add_argument(
        "--depth_max",
        type=_positive,
        metavar="LENGTH",
        help="distance from a camera beyond which nothing is used, scene units "
        "(default: where a pixel is two cells wide)",
    )
    parser.add_argument(
        "--min_faces",
        type=int,
        default=300,
        metavar="N",
        help="connected components with fewer triangles are removed (default: 300; 0 keeps all)",
    )
    parser.add_argument(
        "--max_memory",
        type=_positive,
        default=2.0,
        metavar="GIB",
        help="memory for the views and the distances, GiB; views that need more are drawn smaller (default: 2)",
    )
    parser.add_argument(
        "--score",
        action="store_true",
        help="measures the mesh against the true surface of a room of scene.synthetic, into mesh_scores.json",
    )
    parser.add_argument("--quiet", action="store_true", help="prints nothing but errors")
    return parser.parse_args(arguments)


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def main(arguments: Sequence[str] | None = None) -> None:
    values = parse(arguments)
    path = values.file or values.model_path / "mesh.ply"
    write = writer_of(path)  # before anything is read, which may take a while
    device = use_device(values.device)
    options = read_options(values.model_path)
    iteration = find_iteration(values.model_path, values.iteration)
    scene = load_trained_scene(values.model_path, options.model, values.source_path, values.quiet)
    truth = find_truth(scene.source) if values.score else None
    gaussians = Gaussians.from_arrays(read_gaussians(point_cloud_path(values.model_path, iteration)), device)
    settings = replace(settings_of(scene.near, gaussians.sh_degree, options.pipeline), median_depth=True)
    background = background_color(options.model.white_background, device)
    cameras = fitting(
        [view.camera for view in with_refined_poses(values.model_path, scene.train)], values.max_memory * GIB / 2
    )
    drawn = (depth_view(gaussians, camera, background, settings) for camera in cameras)
    views = list(progress(drawn, "rendering the training views", len(cameras), values.quiet))
    voxel = values.voxel or usual_voxel(views, scene.meters_per_unit)

    def steps(numbers: Sequence[int]) -> Iterator[int]:
        return progress(numbers, f"fusing depth in cells of {voxel:.3g}", len(numbers), values.quiet)

    made = make_mesh(
        views,
        voxel,
        max_depth=values.depth_max,
        min_faces=values.min_faces,
        max_bytes=values.max_memory * GIB / 2,
        steps=steps,
    )
    write(path, made)
    say(f"{path}: {len(made.vertices):,} vertices, {count_text(len(made.faces), 'triangle')}", values.quiet)
    if truth is not None:
        scores = mesh_scores(made, truth)
        write_json(values.model_path / "mesh_scores.json", scores)
        say(score_lines(scores), values.quiet)


@torch.no_grad()
def depth_view(gaussians: Gaussians, camera: Camera, background: Tensor, settings: RenderSettings) -> DepthView:
    """What a camera sees of the Gaussians."""
    output = render(gaussians, camera, background, settings)
    depth = surface_depth(output).where(output.alpha[0] > MIN_ALPHA, 0)
    color = (output.color.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous()
    return DepthView(camera, depth, color)


def fitting(cameras: Sequence[Camera], max_bytes: float) -> list[Camera]:
    """The cameras, with so many fewer pixels that their views take `max_bytes` of memory at most."""
    needed = BYTES_PER_PIXEL * sum(camera.width * camera.height for camera in cameras)
    factor = min(1.0, (max_bytes / needed) ** 0.5)
    return list(cameras) if factor == 1 else [smaller(camera, factor) for camera in cameras]


def smaller(camera: Camera, factor: float) -> Camera:
    """The same camera with fewer pixels."""
    width, height = max(1, int(camera.width * factor)), max(1, int(camera.height * factor))
    x, y = width / camera.width, height / camera.height
    fx, fy, cx, cy = camera.fx * x, camera.fy * y, camera.cx * x, camera.cy * y
    return replace(camera, width=width, height=height, fx=fx, fy=fy, cx=cx, cy=cy)


def score_lines(scores: dict[str, float]) -> str:
    """The scores for people."""
    length = {name: f"{100 * scores[name]:.2f} cm" for name in ("accuracy", "completion", "chamfer_l1")}
    medians = {name: f"{100 * scores[f'{name}_median']:.2f}" for name in ("accuracy", "completion")}
    shares = ", ".join(
        f"{scores[f'f_{d}cm']:.3f} at {d} cm ({scores[f'precision_{d}cm']:.3f}, {scores[f'recall_{d}cm']:.3f})"
        for d in (1, 2, 5)
    )
    return (
        f"accuracy {length['accuracy']} (median {medians['accuracy']}), completion {length['completion']} (median "
        f"{medians['completion']}), Chamfer-L1 {length['chamfer_l1']}\n"
        f"F-score (precision, recall): {shares}\n"
        f"normal consistency {scores['normal_consistency']:.3f}, median error {scores['normal_error']:.1f} degrees"
    )


if __name__ == "__main__":
    run_script(main)
