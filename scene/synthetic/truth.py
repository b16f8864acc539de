"""The true surface of a synthetic room, found again by what its folder says of how it was made."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from scene.io.points import read_points
from scene.mesh.scores import Truth, uniform
from scene.synthetic.room import VERSION
from scene.synthetic.rooms import ROOMS
from scene.synthetic.write import MAKER, MARK
from utils.errors import UserError

SPACING = 0.02  # meters between points of the true surface


def find_truth(source: Path) -> Truth:
    """The true surface of the scene in `source`. UserError where it is not known."""
    try:
        made_by = json.loads((source / MARK).read_text())
    except (OSError, ValueError):
        raise UserError(f"the true surface of {source} is not known: that is so of {MAKER}'s rooms alone") from None
    name, seed = made_by.get("scene", "room"), made_by.get("seed")
    if made_by.get("maker") != MAKER or name not in ROOMS or not isinstance(seed, int):
        raise UserError(f"the true surface of {source} is not known: {MAKER}'s rooms are {', '.join(ROOMS)}")
    if made_by.get("version") != VERSION:
        raise UserError(f"{source} was made by another version of {MAKER}; make it again to measure against it")
    points = read_points(source / "truth" / "points.ply").positions.astype(np.float64)
    return Truth(uniform(points, SPACING, np.random.default_rng(0)), ROOMS[name].build(seed).distance_to_surface)
