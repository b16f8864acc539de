"""The exposures that a run has learned (exposure.json), and from them that of a photo that it has not seen.

A camera's exposure moves slowly, so a held-out photo of a sequence has about that of its neighbours. How far that holds
is measured on the training photos, of which each has neighbours too. Nothing is taken from the held-out photo itself.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from diff_gaussian_rasterization import expose
from utils.errors import UserError
from utils.metrics_log import read_object

FILE = "exposure.json"
IDENTITY = np.eye(3, 4)


class Exposures:
    """For each photo a matrix E, (3,4), by which (r,g,b) is shown as (r,g,b)·E[:,:3] + E[:,3]."""

    def __init__(self, matrices: Mapping[str, np.ndarray]) -> None:
        self._names = sorted(matrices)
        self._matrices = np.stack([np.asarray(matrices[name], dtype=np.float64) for name in self._names])
        self.trust = self._trust()

    @classmethod
    def read(cls, folder: Path) -> Exposures | None:
        """Those of the model in `folder`; None where it has none. UserError for a matrix that is none."""
        stored = {name: _matrix(rows, f"{folder / FILE}, {name}") for name, rows in read_object(folder / FILE).items()}
        return cls(stored) if stored else None

    def of(self, name: str) -> np.ndarray:
        """(3,4): that of a training photo, or of another what its neighbours in the order of names say."""
        place = bisect_left(self._names, name)
        if place < len(self._names) and self._names[place] == name:
            return self._matrices[place]
        around = self._matrices[max(place - 1, 0) : place + 1].mean(axis=0)
        expected: np.ndarray = IDENTITY + self.trust * (around - IDENTITY)
        return expected

    def show(self, color: Tensor, name: str) -> Tensor:
        """(3,H,W): a rendering as the photo `name` would show it; nothing is clamped."""
        return expose(color, torch.from_numpy(self.of(name)).to(color))

    def _trust(self) -> float:
        """From 0 to 1: the slope of a photo's matrix over the mean of its neighbours', both less the identity."""
        if len(self._names) < 3:
            return 0.0
        around = (self._matrices[:-2] + self._matrices[2:]) / 2 - IDENTITY
        own = self._matrices[1:-1] - IDENTITY
        squares = float(np.square(around).sum())
        return float(np.clip((around * own).sum() / squares, 0, 1)) if squares > 0 else 0.0


def _matrix(rows: object, where: str) -> np.ndarray:
    try:
        matrix = np.asarray(rows, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        matrix = np.zeros(0)
    if matrix.shape != (3, 4) or not np.isfinite(matrix).all():
        raise UserError(f"{where} is no exposure: it must be 3 rows of 4 finite numbers")
    return matrix
