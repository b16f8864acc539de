"""Checkpoints: the state of a run in one file, from which it goes on to the same bits."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from utils.errors import UserError
from utils.files import atomic_write

FORMAT = 2  # raised when a checkpoint of before can no longer be read


def checkpoint_path(folder: Path, iteration: int) -> Path:
    """The file of a checkpoint made after `iteration` steps."""
    return folder / f"chkpnt{iteration}.pth"


def latest_checkpoint(folder: Path) -> Path | None:
    """The checkpoint with the most steps in `folder`, or None."""
    matches = [(re.fullmatch(r"chkpnt(\d+)\.pth", path.name), path) for path in _files(folder)]
    numbered = {int(match[1]): path for match, path in matches if match}
    return numbered[max(numbered)] if numbered else None


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `state`, made of tensors, numbers, strings, lists, tuples and dicts of them, atomically."""
    with atomic_write(path) as file:
        torch.save({"format": FORMAT, **state}, file)


def load_checkpoint(path: Path, required: Iterable[str] = (), device: str | torch.device = "cpu") -> dict[str, Any]:
    """Read a checkpoint without running any code in it; tensors come to `device`.

    UserError when it cannot be read, is of another format, or lacks one of the `required` entries.
    """
    if not path.exists():
        raise UserError(f"there is no checkpoint {path}")
    if not zipfile.is_zipfile(path):  # torch's older formats, and everything that is something else
        raise UserError(f"{path} is not a checkpoint of this trainer, or not a whole one")
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path} cannot be read as a checkpoint: {reason}") from None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise UserError(f"{path} is not a checkpoint of this trainer (format {FORMAT})")
    missing = [name for name in required if name not in state]
    if missing:
        raise UserError(f"{path} is not whole: it lacks {', '.join(missing)}")
    return state


def _files(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []
