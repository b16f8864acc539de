"""The exposure of each training photo: an affine transform of the rendered color, learned with the Gaussians."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from arguments import ExposureOptions
from diff_gaussian_rasterization import expose
from gaussian_renderer.exposures import FILE
from training.view_parameters import ViewParameters
from utils.files import write_json
from utils.schedules import log_linear


class Exposure:
    """A matrix E, (3,4), for each photo: (r,g,b) is shown as (r,g,b)·E[:,:3] + E[:,3]. The layout is graphdeco's.

    The mean of all E is held at the identity: else every photo could be bright, and the Gaussians dark.
    """

    def __init__(self, names: Sequence[str], options: ExposureOptions, device: torch.device) -> None:
        self.options = options
        self._identity = torch.eye(3, 4, device=device)
        self.parameters = ViewParameters(names, {"exposures": self._identity.repeat(len(names), 1, 1)})

    @property
    def matrices(self) -> Tensor:
        """(V,3,4), in the order of the names."""
        return self.parameters.values["exposures"]

    def apply(self, color: Tensor, name: str) -> Tensor:
        """(3,H,W): a rendering, background included, as the photo `name` would show it. Nothing is clamped."""
        return expose(color, self.matrices[self.parameters.rows[name]])

    def rate(self, iteration: int, iterations: int) -> float:
        """The learning rate at a step of a run: log-linear, and delayed as mip-NeRF's (Barron et al. 2021)."""
        options, delay = self.options, 1.0
        if options.exposure_lr_delay_steps > 0:
            progress = min(iteration / options.exposure_lr_delay_steps, 1.0)
            rise = math.sin(0.5 * math.pi * progress)
            delay = options.exposure_lr_delay_mult + (1 - options.exposure_lr_delay_mult) * rise
        return delay * log_linear(iteration, options.exposure_lr_init, options.exposure_lr_final, iterations)

    @torch.no_grad()
    def step(self, iteration: int, iterations: int, finite: Tensor, images: int = 1) -> None:
        """Move the matrices along their gradients; see `ViewParameters.step`."""
        self.parameters.step({"exposures": self.rate(iteration, iterations)}, finite, images)
        mean = self.matrices.double().mean(dim=0).float()
        self.matrices.sub_(mean - self._identity)

    def learned(self) -> dict[str, np.ndarray]:
        """Photo -> its matrix. Waits for the device."""
        matrices = self.matrices.detach().cpu().numpy()
        return {name: matrices[row] for name, row in self.parameters.rows.items()}

    def write(self, folder: Path) -> None:
        """exposure.json in the model folder, as graphdeco has it: photo -> rows of its matrix."""
        write_json(folder / FILE, {name: matrix.tolist() for name, matrix in self.learned().items()})
