"""The names of the files that a run leaves, what is there already, and what of it is a run's to delete."""

from __future__ import annotations

import os
import re
from pathlib import Path

from utils.errors import UserError
from utils.files import temporary_pattern
from utils.metrics_log import read_object

PICTURES = ("renders", "gt", "masks", "depth", "distortion", "measured_depth", "depth_error")  # of a rendered folder
RENDERED = (*(f"{name}/<N>.png" for name in PICTURES), "names.json", "colors.json", "depth_scores.json")
# Everything a run may leave; <N> is a number, <any> anything. --overwrite deletes these and nothing else, the settings
# last of all: they show that the folder is a run's.
RUN_FILES = (
    "cfg_args", "cameras.json", "origin.json", "exposure.json", "poses_refined.json", "input.ply", "chkpnt<N>.pth",
    "chkpnt<N>/sealed.json", "chkpnt<N>/.metadata", "chkpnt<N>/__<N>_<N>.distcp",
    "point_cloud/iteration_<N>/point_cloud.ply",
    *(f"{part}/ours_<N>/{name}" for part in ("train", "test", "far") for name in (*RENDERED, "refined_poses.json")),
    "path/ours_<N>/<N>.png", "path/ours_<N>/colors.json",
    "results.json", "per_view.json", "metrics.jsonl", "run.json", "contact_sheet.png", "curves.png", "preview.png",
    "histograms.json", "report.html", "viewer.html", "tensorboard/events.out.tfevents.<any>",
    "mesh.ply", "mesh_scores.json", "config.json",
)  # fmt: skip
WORTH_KEEPING = (
    "chkpnt<N>.pth",
    "chkpnt<N>/sealed.json",
    "point_cloud/iteration_<N>/point_cloud.ply",
)  # what there is to show for the time
STAGES = ("model", "run", "optimization", "densification")  # some of what the settings of a run hold
SHOWN = 5  # names in a message


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
    """The first of output/<dataset>, output/<dataset>-2, ... that holds no run, and no file in the way of one.

    A video or a zip gives its name without the suffix.
    """
    name = (source.stem if source.is_file() else source.resolve().name) or "run"
    number, folder = 1, Path("output") / name
    while holds_run(folder) or (not is_run(folder) and found(folder, RUN_FILES)):
        number += 1
        folder = Path("output") / f"{name}-{number}"
    return folder


def holds_run(folder: Path) -> bool:
    """Whether there are results in `folder` that would be lost. A run that stopped before its first has none."""
    return bool(found(folder, WORTH_KEEPING))


def is_run(folder: Path) -> bool:
    """Whether the settings in `folder` are those of a run, which found its names free: they are its own since."""
    stages = read_object(config_path(folder))
    return all(isinstance(stages.get(name), dict) for name in STAGES) and "source_path" in stages["model"]


def found(folder: Path, names: tuple[str, ...]) -> list[Path]:
    """The files in `folder` of these names, in which <N> is a number, and <any> anything but a folder."""
    paths = []
    for name in names:
        pattern = re.compile(re.escape(name).replace("<N>", r"\d+").replace("<any>", "[^/]+"))
        shape = name.replace("<N>", "*").replace("<any>", "*")
        candidates = folder.glob(shape) if "*" in shape else [folder / name]
        paths += [path for path in candidates if pattern.fullmatch(path.relative_to(folder).as_posix())]
    return [path for path in paths if path.is_file() or path.is_symlink()]


def remove_leftovers(folder: Path) -> None:
    """Delete the unfinished files that killed processes have left beside those of a run (utils.files.atomic_write)."""
    for name in RUN_FILES:
        place, _, file = name.rpartition("/")
        pattern = re.compile(temporary_pattern(file.replace("<N>", "00")).replace("00", r"\d+"))
        for path in folder.glob(f"{place.replace('<N>', '*')}/.{file.replace('<N>', '*')}.*".lstrip("/")):
            if pattern.fullmatch(path.name):
                path.unlink(missing_ok=True)


def check_own(folder: Path) -> None:
    """UserError for files in the way of a run that nothing shows to be another run's."""
    foreign = [] if is_run(folder) else found(folder, RUN_FILES)
    if foreign:
        names = ", ".join(path.relative_to(folder).as_posix() for path in foreign[:SHOWN])
        more = f" and {len(foreign) - SHOWN} more" if len(foreign) > SHOWN else ""
        raise UserError(
            f"--model_path {folder} holds files that a run would replace, and no config.json shows that they are a "
            f"run's: {names}{more}; choose another folder by -m, or move them away"
        )


def check_writable(folder: Path) -> None:
    """UserError where the system would not let a run make its files: it would say so only when they are needed."""
    place = next(each for each in (folder, *folder.parents) if each.exists())
    if not place.is_dir():
        raise UserError(f"--model_path {folder}: {place} is a file; a folder is needed")
    if not os.access(place, os.W_OK | os.X_OK):
        raise UserError(f"--model_path {folder}: nothing may be written in {place}")
    for name in {name.partition("/")[0] for name in RUN_FILES if "/" in name}:
        if (folder / name).exists() and not (folder / name).is_dir():
            raise UserError(f"--model_path {folder}: {folder / name} is a file; a run makes a folder of this name")
    for name in (name for name in RUN_FILES if "<N>" not in name):
        if (folder / name).is_dir():
            raise UserError(f"--model_path {folder}: {folder / name} is a folder; a run makes a file of this name")


def check_free(folder: Path, source: Path, overwrite: bool) -> None:
    """UserError where a new run on the dataset `source` would lose results or files of others, or write into it."""
    check_writable(folder)
    if folder.resolve().is_relative_to(source.resolve()):
        raise UserError(f"--model_path {folder} lies in the dataset {source}, which is never written to")
    check_own(folder)
    if holds_run(folder) and not overwrite:
        raise UserError(
            f"{folder} holds a run already{_progress(folder)}: "
            "go on with it by --resume, start again by --overwrite, or choose another folder by -m"
        )


def claim(folder: Path, source: Path, overwrite: bool) -> None:
    """Make `folder` ready for a new run on the dataset `source`: without any file of another run.

    UserError rather than to lose anything: see `check_free`.
    """
    check_free(folder, source, overwrite)
    for path in found(folder, RUN_FILES):
        path.unlink()
        _remove_empty(path.parent, folder)
    folder.mkdir(parents=True, exist_ok=True)


def _remove_empty(folder: Path, top: Path) -> None:
    while folder != top and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent


def _progress(folder: Path) -> str:
    iterations = saved_iterations(folder)
    return f" ({iterations[-1]} iterations)" if iterations else ""
