"""The frames of a flight through a scene: color, depth, or both side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gaussian_renderer import RenderSettings, render
from gaussian_renderer.render_views import DrawnView, color_scales, maps
from scene.gaussians.model import Gaussians
from scene.types import Camera
from utils.files import write_json
from utils.image_io import to_bytes, write_png
from utils.output_dir import found

SHOWN = ("color", "depth", "both")
FRAMES = ("<N>.png", "colors.json")  # what is written to the folder of a path


@torch.no_grad()
def render_path(
    gaussians: Gaussians,
    cameras: Sequence[Camera],
    folder: Path,
    background: Tensor,
    settings: RenderSettings,
    show: str = "color",
) -> Iterator[DrawnView]:
    """Draw what the `cameras` see, in order, to `folder`/00000.png, ...; yields each frame when done.

    `show` is one of SHOWN; "both" has the color on the left. Depth (depth / alpha) is color-mapped with one range for
    all frames, which is in colors.json. Frames of an earlier path are deleted.
    """
    depths, _ = color_scales(gaussians, cameras, background, settings) if show != "color" else (None, None)
    for path in found(folder, FRAMES):
        path.unlink()
    for index, camera in enumerate(cameras):
        output = render(gaussians, camera, background, settings)
        parts = [] if show == "depth" else [to_bytes(output.color)]
        if depths is not None:
            depth, _, hit = maps(output)
            parts.append(depths.paint(depth, hit))
        write_png(frame_path(folder, index), np.hstack(parts))
        yield DrawnView(camera.name, int(output.num_nonfinite))
    if depths is not None:
        write_json(folder / "colors.json", {"depth": depths.describe()})


def frame_path(folder: Path, index: int) -> Path:
    """The picture of a frame, counted from 0."""
    return folder / f"{index:05}.png"
