"""Views of a scene drawn with the Gaussians: measured in memory, or written to a folder as pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from diff_gaussian_rasterization import RasterOutput
from gaussian_renderer import RenderSettings, expected_depth, render
from gaussian_renderer.exposures import Exposures
from scene.gaussians.model import Gaussians
from scene.loading.image_cache import LoadedView, ViewCache
from scene.types import Camera
from utils.errors import UserError
from utils.files import write_json
from utils.image_io import ColorScale, depth_error_scale, depth_scale, distortion_scale, to_bytes, write_png
from utils.metrics import image as metrics
from utils.metrics.depth import average_depth, depth_scores, in_front_text
from utils.output_dir import RENDERED, found

MIN_ALPHA = 0.05  # a pixel with less has no depth worth showing
SAMPLED_VIEWS = 8  # that decide the range of the colors
SAMPLE_STEP = 4  # pixels between those looked at for it


class DrawnView(NamedTuple):
    """A view whose files are written."""

    name: str
    num_nonfinite: int  # Gaussians that were not drawn, since a value of theirs is NaN or infinite


@torch.no_grad()
def measure(
    gaussians: Gaussians,
    photos: ViewCache,
    background: Tensor,
    settings: RenderSettings,
    exposures: Exposures | None = None,
    meters_per_unit: float | None = None,
) -> metrics.Scores:
    """Mean metrics over `photos`: the same numbers as from the files of `render_views`, without the files."""
    shown = photos.in_order(range(len(photos)))
    views = [measure_view(gaussians, photo, background, settings, exposures, meters_per_unit) for photo in shown]
    depths = [depth for _, depth in views if depth is not None]
    return {**metrics.average(scores for scores, _ in views), **(summarized(average_depth(depths)) if depths else {})}


def summarized(depth: Mapping[str, float | None]) -> metrics.Scores:
    """Of scores of depth those that the screen and metrics.jsonl have, under their names there."""
    return {"depth_MAE": depth.get("MAE"), "depth_median": depth.get("median"), "in_front": depth.get("in_front")}


@torch.no_grad()
def measure_view(
    gaussians: Gaussians,
    photo: LoadedView,
    background: Tensor,
    settings: RenderSettings,
    exposures: Exposures | None = None,
    meters_per_unit: float | None = None,
) -> tuple[metrics.Scores, metrics.Scores | None]:
    """The metrics of one photo, and those of its depth map, if it has one."""
    output = _exposed(render(gaussians, photo.camera, background, settings), photo, exposures)
    mask = None if photo.mask is None else to_bytes(photo.mask)[..., 0]
    scores = metrics.measure(to_bytes(output.color), to_bytes(photo.color), mask)
    return scores, None if photo.depth is None else _depth_scores(output, photo, meters_per_unit)


def _exposed(output: RasterOutput, photo: LoadedView, exposures: Exposures | None) -> RasterOutput:
    return output if exposures is None else output._replace(color=exposures.show(output.color, photo.camera.name))


@torch.no_grad()
def render_views(
    gaussians: Gaussians,
    photos: ViewCache,
    folder: Path,
    background: Tensor,
    settings: RenderSettings,
    exposures: Exposures | None = None,
    meters_per_unit: float | None = None,
) -> Iterator[DrawnView]:
    """Draw `photos` in the order of their names and write them to `folder` (test/ours_<N>); yields each when done.

    renders/ and gt/ hold 8-bit colors, masks/ the photos' masks where they have one, depth/ (depth / alpha) and
    distortion/ color-mapped values with one range for all views, in colors.json; names.json maps files to photos.
    The renders are in the exposures of the photos, where these are learned.
    Where there is a depth map, measured_depth/ has its values in the colors of depth/, depth_error/ the difference,
    and depth_scores.json maps files to `utils.metrics.depth.depth_scores` in scene units.
    """
    if len(photos) == 0:
        raise UserError(f"there are no views to render into {folder}")
    cameras = [view.camera for view in photos.views]
    order = sorted(range(len(photos)), key=lambda index: cameras[index].name)
    depths, distortions = color_scales(gaussians, [cameras[index] for index in order], background, settings)
    files = {f"{place:05}.png": index for place, index in enumerate(order)}
    _remove_others(folder, files)
    errors, scores = depth_error_scale(depths), {}
    for file, photo in zip(files, photos.in_order(order), strict=True):
        output = _exposed(render(gaussians, photo.camera, background, settings), photo, exposures)
        depth, distortion, hit = maps(output)
        write_png(folder / "renders" / file, to_bytes(output.color))
        write_png(folder / "gt" / file, to_bytes(photo.color))
        write_png(folder / "depth" / file, depths.paint(depth, hit))
        write_png(folder / "distortion" / file, distortions.paint(distortion))
        if photo.mask is not None:
            write_png(folder / "masks" / file, to_bytes(photo.mask)[..., 0])
        if photo.depth is not None and photo.depth_valid is not None:
            measured, valid = photo.depth[0].cpu().numpy(), photo.depth_valid[0].cpu().numpy()
            write_png(folder / "measured_depth" / file, depths.paint(measured, valid))
            write_png(folder / "depth_error" / file, errors.paint(np.abs(depth - measured), valid & hit))
            scores[file] = _depth_scores(output, photo, meters_per_unit)
        yield DrawnView(photo.camera.name, int(output.num_nonfinite))
    write_json(folder / "names.json", {file: cameras[index].name for file, index in files.items()})
    colors = {"depth": depths.describe(), "distortion": distortions.describe()}
    if scores:
        write_json(folder / "depth_scores.json", {"in_front_limit": in_front_text(meters_per_unit), **scores})
        colors["depth_error"] = errors.describe()
    write_json(folder / "colors.json", colors)


@torch.no_grad()
def color_scales(
    gaussians: Gaussians, cameras: Sequence[Camera], background: Tensor, settings: RenderSettings
) -> tuple[ColorScale, ColorScale]:
    """Colors for the depth and the distortion of all `cameras`, judged by some of them."""
    depths, distortions = [], []
    for camera in cameras[:: -(-len(cameras) // SAMPLED_VIEWS)]:
        depth, distortion, hit = maps(render(gaussians, camera, background, settings))
        rows = np.s_[::SAMPLE_STEP, ::SAMPLE_STEP]
        depths.append(depth[rows][hit[rows]])
        distortions.append(distortion[rows][hit[rows]])
    return depth_scale(depths), distortion_scale(distortions)


def maps(output: RasterOutput) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(H,W) depth, world units; distortion; and where anything worth showing is hit."""
    depth, (alpha, distortion) = expected_depth(output), (each[0].cpu() for each in (output.alpha, output.distortion))
    return depth.cpu().numpy(), distortion.numpy(), (alpha >= MIN_ALPHA).numpy()


def _depth_scores(output: RasterOutput, photo: LoadedView, meters_per_unit: float | None) -> metrics.Scores:
    """A view's depth against its map, in scene units, where the photo's mask lets it count."""
    assert photo.depth is not None and photo.depth_valid is not None
    depth, _, _ = maps(output)
    counts = photo.depth_valid if photo.mask is None else photo.depth_valid & (photo.mask > 0.5)
    target, valid, alpha = (each[0].cpu().numpy() for each in (photo.depth, counts, output.alpha))
    return depth_scores(depth, target, valid, alpha, meters_per_unit)


def _remove_others(folder: Path, files: dict[str, int]) -> None:
    """Delete what an earlier rendering left, perhaps of other views, which would be measured as well."""
    for path in found(folder, RENDERED):
        if path.name not in files or path.parent.name in ("masks", "measured_depth", "depth_error"):
            path.unlink()
