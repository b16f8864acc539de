"""The names of the files that a run leaves, and what is there already."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from utils.errors import UserError

# Everything a run may leave. --overwrite deletes these and nothing else.
RUN_FILES = (
    "cfg_args", "config.json", "cameras.json", "input.ply", "chkpnt*.pth", "point_cloud/iteration_*",
    "train/ours_*", "test/ours_*",
    "results.json", "per_view.json", "metrics.jsonl", "run.json", "contact_sheet.png", "curves.png", "preview.png",
    "report.html",
)  # fmt: skip
WORTH_KEEPING = ("chkpnt*.pth", "point_cloud/iteration_*")  # what a run has to show for the time it took


def config_path(folder: Path) -> Path:
    """The settings of the run, as JSON."""
    return folder / "config.json"


def point_cloud_path(folder: Path, iteration: int) -> Path:
    """The Gaussians after `iteration` steps."""
    return folder / "point_cloud" / f"iteration_{iteration}" / "point_cloud.ply"


def saved_iterations(folder: Path) -> list[int]:
    """The steps after which Gaussians were saved, in order."""
    paths = (folder / "point_cloud").glob("iteration_*/point_cloud.ply")
    matches = (re.fullmatch(r"iteration_(\d+)", path.parent.name) for path in paths)
    return sorted(int(match[1]) for match in matches if match)


def find_iteration(model: Path, wanted: int) -> int:
    """`wanted`, or the last one for -1. UserError when it was not saved."""
    saved = saved_iterations(model)
    if not saved:
        raise UserError(f"{model} holds no point_cloud/iteration_<N>/point_cloud.ply; let train.py run to the end")
    if wanted != -1 and wanted not in saved:
        raise UserError(f"--iteration {wanted} was not saved in {model}; there are {', '.join(map(str, saved))}")
    return saved[-1] if wanted == -1 else wanted


def default_folder(source: Path) -> Path:
    """The first of output/<dataset>, output/<dataset>-2, ... that holds no run."""
    name = source.resolve().name or "run"
    number, folder = 1, Path("output") / name
    while holds_run(folder):
        number += 1
        folder = Path("output") / f"{name}-{number}"
    return folder


def holds_run(folder: Path) -> bool:
    """Whether there are results in `folder` that would be lost. A run that stopped before its first has none."""
    return any(True for pattern in WORTH_KEEPING for _ in folder.glob(pattern))


def claim(folder: Path, source: Path, overwrite: bool) -> None:
    """Make `folder` ready for a new run on the dataset `source`: without any file of another run.

    UserError rather than to lose results, or to write into the dataset.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--model_path {folder} is a file; a folder is needed")
    if folder.resolve().is_relative_to(source.resolve()):
        raise UserError(f"--model_path {folder} lies in the dataset {source}, which is never written to")
    if holds_run(folder) and not overwrite:
        raise UserError(
            f"{folder} holds a run already{_progress(folder)}: "
            "go on with it by --resume, start again by --overwrite, or choose another folder by -m"
        )
    for pattern in RUN_FILES:
        for path in folder.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    folder.mkdir(parents=True, exist_ok=True)


def _progress(folder: Path) -> str:
    iterations = saved_iterations(folder)
    return f" ({iterations[-1]} iterations)" if iterations else ""
