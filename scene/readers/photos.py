"""Photos without poses, in the folder itself, in images/ or in the one folder that has any: SfM finds their poses."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from scene import heif
from scene.inputs.workspace import is_workspace, needed
from scene.ledger import files_below
from scene.pairing import IMAGE_SUFFIXES
from scene.readers import colmap
from scene.readers.base import ParsedDataset, PosedImage, ReadOptions
from scene.readers.masks import pair_masks
from scene.sfm import ADVICE, Poses, find_poses
from utils.errors import UserError

LAYOUT = "photos, whose poses are then found by SfM"
RAW = (".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2")  # what a sensor read
NAMED_AT_MOST = 5
WELL = 0.8  # of the photos: where fewer find their place, that is a warning


def can_read(source: Path) -> bool:
    return _folder(source, ReadOptions().images) is not None


def are_at_hand(source: Path, images: str) -> bool:
    """Whether photos are in the folder itself or in `images`, and not only somewhere below it."""
    return _folder(source, images) in (source, source / images)


def read(source: Path, options: ReadOptions) -> ParsedDataset:
    """Raises: UserError where pycolmap is missing, or too few photos find their place; PosesUnknown where they are not
    to be found now."""
    folder = _folder(source, options.images)
    if folder is None:
        raise UserError(f"the image folder {source / options.images} has no photos; -i names another")
    photos, twice = _chosen(folder)
    raw = [path for path in files_below(source) if path.suffix.lower() in RAW]
    names = [path.relative_to(folder).as_posix() for path in photos]
    workspace = needed(options.workspace, folder, f"the poses of its {len(names)} photos")
    poses = find_poses(folder, names, workspace, options.is_sequence, quiet=options.quiet, may_run=options.find_poses)
    model = colmap.read_model(poses.model)
    found, contested = pair_masks(folder.parent if folder != source else folder, names)
    placed = {image.name for image in model.images}
    return ParsedDataset(
        kind="photos with poses by SfM",
        frames=tuple(
            PosedImage(image.name, folder / image.name, image.lens, image.camera_from_world, found.get(image.name))
            for image in model.images
        ),
        points=model.points,
        tracks={image.name: image.observed for image in model.images},
        unused={folder / name: "its place was not found" for name in names if name not in placed}
        | dict.fromkeys(twice, "the same photo is there in another format")
        | dict.fromkeys(raw, "not decoded: convert it to JPEG"),
        notes=(f"{poses.registered} of {len(names)} photos placed, mean reprojection error {poses.error:.2f} px",),
        warnings=(*_warnings(poses, [name for name in names if name not in placed], raw), *contested),
    )


def _warnings(poses: Poses, lost: list[str], raw: list[Path]) -> list[str]:
    said = []
    if poses.registered < WELL * (poses.registered + len(lost)):
        more = ", ..." if len(lost) > NAMED_AT_MOST else ""
        named = f"{', '.join(lost[:NAMED_AT_MOST])}{more}"
        parts = f"; {sum(poses.others)} of them form parts of their own" if poses.others else ""
        said.append(f"{len(lost)} photos could not be placed by their features ({named}){parts}. {ADVICE}")
    for suffix, count in Counter(path.suffix.lower() for path in raw).items():
        said.append(f"{count} files *{suffix} are not decoded; convert them to JPEG to use them")
    return said


def _folder(source: Path, images: str) -> Path | None:
    """The folder of the photos; None where there are none, or several folders have some."""
    for folder in (source / images, source):
        if folder.is_dir() and any(path.suffix.lower() in IMAGE_SUFFIXES for path in folder.iterdir()):
            return folder
    if (source / images).is_dir() and images != ".":
        return source / images if _photos(source / images) else None
    folders = [path for path in source.iterdir() if path.is_dir() and not path.name.startswith(".")]
    inside = [path for path in folders if not is_workspace(path) and _photos(path)]
    return inside[0] if len(inside) == 1 else None


def _photos(folder: Path) -> list[Path]:
    """Of a folder with photos, those; else those of all folders below it."""
    here = sorted(path for path in folder.iterdir() if path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES)
    return here or [path for path in files_below(folder) if path.suffix.lower() in IMAGE_SUFFIXES]


def _chosen(folder: Path) -> tuple[list[Path], set[Path]]:
    """The photos to use, and those that are there in a format that every program reads, too.

    Raises: UserError for photos whose library is missing.
    """
    photos = _photos(folder)
    usual = {_stem(path) for path in photos if path.suffix.lower() not in heif.SUFFIXES}
    twice = {path for path in photos if path.suffix.lower() in heif.SUFFIXES and _stem(path) in usual}
    chosen = [path for path in photos if path not in twice]
    lacking = [(path, install) for path in chosen if (install := heif.missing_library(path))]
    if lacking:
        path, install = lacking[0]
        raise UserError(f"{folder}: {len(lacking)} photos such as {path.name} need a library to be decoded: {install}")
    return chosen, twice


def _stem(path: Path) -> str:
    return str(path.with_suffix("")).lower()
