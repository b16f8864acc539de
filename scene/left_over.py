"""Why a file of a dataset's folder is not used, where its reader and its folder do not say it."""

from __future__ import annotations

from pathlib import Path

from scene.pairing import IMAGE_SUFFIXES

MODEL_FILES = {f"{stem}{end}" for stem in ("cameras", "images", "points3D") for end in (".bin", ".txt")}
MASK_FOLDERS = ("mask", "masks")
OTHERWISE = "no part of this format"


def why_left(path: Path) -> str:
    """By what the file is, for people who think that it should have been used."""
    if not path.exists():
        return "a link to what is not there"
    if path.name in MODEL_FILES:
        return "of a COLMAP model that is not read"
    if path.parent.name.lower() in MASK_FOLDERS:
        return "masks are read from a folder masks or mask beside that of the photos"
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return "an image that nothing in this format names"
    if path.suffix.lower() == ".ply":
        return "points or a mesh that nothing in this format names"
    return OTHERWISE
