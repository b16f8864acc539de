"""What -s names: a folder, or a file that becomes one: a video its frames, a zip what it holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from scene.inputs.archive import is_archive, unpacked
from scene.inputs.video import SUFFIXES, frames_of, is_video
from scene.inputs.workspace import needed
from scene.io import FORMATS
from scene.nested import dataset_below
from scene.readers import has_poses, photos
from scene.readers.base import ReadOptions
from scene.sfm.run import load_pycolmap
from utils.errors import UserError

Opened = tuple[Path, ReadOptions, tuple[str, ...]]  # the folder to read, how, and what is to be said of it


def opened(source: Path, options: ReadOptions) -> Opened:
    """Raises: UserError for what is not there, or neither a folder, a video nor a zip."""
    if source.is_dir():
        return _folder(source, options)
    if not source.exists():
        raise UserError(f"the dataset {source} is not there")
    if is_archive(source):
        folder = unpacked(source, needed(options.workspace, source, "the files of an archive"), options.quiet)
        folder, options, said = opened(_innermost(folder), options)
        return folder, options, (f"unpacked from {source.name}", *said)
    if is_video(source):
        return _video(source, options)
    if source.name.lower().endswith(tuple(FORMATS)):
        raise UserError(
            f"{source} is a file of Gaussians, and a dataset has photos: --start_from begins a training with it, "
            "render.py --splats draws it, export.py -m writes it in another format"
        )
    raise UserError(f"{source} is neither a folder, a zip nor a video ({', '.join(SUFFIXES)})")


def _folder(source: Path, options: ReadOptions) -> Opened:
    """The dataset that it is, or the one that it has; only where no poses are known, photos or a video for SfM."""
    if has_poses(source) or photos.are_at_hand(source, options.images):
        return source, options, ()
    inside = dataset_below(source)
    if inside is not None:
        return inside, options, (f"found in {inside.relative_to(source).as_posix()}/",)
    videos = [] if photos.can_read(source) else [path for path in source.iterdir() if is_video(path)]
    return _video(videos[0], options) if len(videos) == 1 else (source, options, ())


def _innermost(folder: Path) -> Path:
    """The dataset's folder: archives often hold one folder, and nothing beside it."""
    inside = [path for path in folder.iterdir() if not path.name.startswith(".")]
    alone = len(inside) == 1 and inside[0].is_dir() and not has_poses(folder)
    return _innermost(inside[0]) if alone else folder


def _video(video: Path, options: ReadOptions) -> Opened:
    load_pycolmap(video)  # which is missed now rather than after a minute
    workspace = needed(options.workspace, video, "the frames of a video")
    frames = frames_of(video, workspace, options.frames, quiet=options.quiet)
    said = f"{len(frames)} frames of {video.name}, the sharpest of their neighbors"
    return next(iter(frames.values())).parent, replace(options, is_sequence=True), (said,)
