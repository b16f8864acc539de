"""What can be said of photos before their poses are known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scene.image_header import read_header
from scene.sfm.pairs import pairs_of
from scene.sfm.run import load_pycolmap
from utils.errors import UserError
from utils.text import count_text

SIZES_AT_MOST = 3  # that are named


def outlook(folder: Path, names: Sequence[str], is_sequence: bool) -> str:
    """What SfM would begin with, for people. Raises: UserError where pycolmap is missing, or no photo can be read."""
    load_pycolmap(folder)
    sizes, damaged = set[tuple[int, int]](), list[str]()
    for name in names:
        try:
            header = read_header(folder / name).upright()
            sizes.add((header.width, header.height))
        except UserError as error:
            damaged.append(str(error))
    if not sizes:
        raise UserError(f"{folder}: none of its {len(names)} photos can be decoded: {damaged[0]}")
    shown = ", ".join(f"{width}×{height}" for width, height in sorted(sizes)[:SIZES_AT_MOST])
    more = ", ..." if len(sizes) > SIZES_AT_MOST else ""
    pairs = pairs_of(is_sequence)(names, lambda _: np.zeros((0, 128), np.uint8))
    lines = [
        f"{count_text(len(names), 'photo')} without poses, of {shown}{more} pixels",
        f"SfM by pycolmap has to find their poses first, in minutes: features of each, {len(pairs):,} pairs. Time and "
        "memory of the training depend on what it finds. `python -m scene.check` with the same -m finds and checks "
        "poses before the run, and --dry_run then says the rest",
    ]
    return "\n".join([*lines, *(f"warning: {text}" for text in damaged)])
