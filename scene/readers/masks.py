"""The folder of masks that a dataset has beside its photos, and which mask is whose."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scene.pairing import IMAGE_SUFFIXES, Pairing, pair

FOLDERS = ("masks", "mask")  # in any case; the first that is there is used


def masks_beside(folder: Path) -> Path:
    """The folder of masks in `folder`, which need not be there."""
    there = {path.name.lower(): path for path in sorted(folder.iterdir()) if path.is_dir()}
    return next((there[name] for name in FOLDERS if name in there), folder / FOLDERS[0])


def pair_masks(folder: Path, names: Sequence[str]) -> Pairing:
    """The masks in `folder`, by the names of their photos."""
    masks = masks_beside(folder)
    return pair(masks, names, IMAGE_SUFFIXES) if masks.is_dir() else Pairing({}, [])
