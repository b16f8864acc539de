"""The numbers of metrics.jsonl and test views as event files that TensorBoard shows: an extra."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from utils.errors import UserError
from utils.metrics_log import is_number

INSTALL = "pip install tensorboard"


def check_tensorboard() -> None:
    """UserError where the package is missing: to be known before the dataset is read."""
    if importlib.util.find_spec("tensorboard") is None:
        raise UserError(f"--tensorboard needs the package tensorboard, which is not installed: {INSTALL}")


class EventFile:
    """An event file in `folder`. Steps after `first` of a session before it are not shown any more."""

    def __init__(self, folder: Path, first: int) -> None:
        from torch.utils.tensorboard import SummaryWriter  # imports the extra

        self._writer: Any = SummaryWriter(str(folder), purge_step=first + 1)

    def line(self, line: Mapping[str, Any]) -> None:
        """All numbers of a line of metrics.jsonl, under their keys joined by /."""
        for name, value in numbers_of(line):
            if name != "iteration":
                self._writer.add_scalar(name, value, line["iteration"])
        self._writer.flush()

    def picture(self, name: str, picture: np.ndarray, iteration: int) -> None:
        """(H,W,3) uint8 RGB."""
        self._writer.add_image(name, picture, iteration, dataformats="HWC")
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


def numbers_of(entry: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """The numbers in nested objects, each with the keys that lead to it, joined by /."""
    for key, value in entry.items():
        if isinstance(value, Mapping):
            yield from numbers_of(value, f"{prefix}{key}/")
        elif is_number(value):
            yield f"{prefix}{key}", float(value)
