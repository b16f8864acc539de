"""The Gaussians of a file as the start of a run: --start_from."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch

from scene.editing import at_most, opacity_times_area, with_sh_degree
from scene.gaussians.model import Gaussians
from scene.io import read_gaussians
from scene.spherical_harmonics import degree_of
from scene.types import GaussianArrays, Scene
from utils.errors import UserError
from utils.sampling import subsample

LOOKED_AT, VIEWS = 20_000, 64  # Gaussians and views by which a file is recognized as that of the scene
MIN_SEEN = 0.01  # of its Gaussians in some view: with fewer it is hardly that of the scene


def start_from(path: Path, scene: Scene, sh_degree: int, limit: int, device: torch.device) -> tuple[Gaussians, str]:
    """The Gaussians of any file that scene.io reads, in the frame of the dataset, and a line on them.

    Spherical harmonics above `sh_degree` are left out, those that are missing start at 0. Of more than `limit` (0: any
    number) those with the largest opacity × area are kept. A warning says so, and when hardly any is in a view.

    Raises: UserError for a file without Gaussians.
    """
    arrays = read_gaussians(path)
    count, degree = len(arrays.means), degree_of(arrays.shs.shape[1])
    if count == 0:
        raise UserError(f"--start_from {path} holds no Gaussians")
    _check_frame(path, arrays, scene)
    if limit and count > limit:
        arrays = at_most(arrays, limit, opacity_times_area(arrays))
        warnings.warn(
            f"--start_from {path} holds {count:,} Gaussians; the {limit:,} with the largest opacity times area are "
            "kept (--max_gaussians)",
            stacklevel=2,
        )
    line = f"Starting from {path}: {len(arrays.means):,} Gaussians, spherical harmonics of degree {degree}"
    if degree != sh_degree:
        line += f", trained as {sh_degree} (--sh_degree)"
    return Gaussians.from_arrays(with_sh_degree(arrays, sh_degree), device), line


def _check_frame(path: Path, arrays: GaussianArrays, scene: Scene) -> None:
    """A warning where the training views show hardly any of the Gaussians."""
    means = arrays.means[subsample(range(len(arrays.means)), LOOKED_AT)]
    seen = np.zeros(len(means), dtype=bool)
    for view in subsample(scene.train, VIEWS):
        seen |= view.camera.project(means)[3]
    if seen.mean() < MIN_SEEN:
        warnings.warn(
            f"--start_from {path}: {100 * seen.mean():.2g} % of its Gaussians are in a training view; it seems to be "
            "in another frame than the dataset, to which export.py --transform can bring it",
            stacklevel=3,
        )
