"""The synthetic rooms by name: surfaces, the path of their photos, views off it, and their depth camera."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scene.synthetic.camera_path import make_cameras, make_far_cameras
from scene.synthetic.plan import Solid
from scene.synthetic.render import Picture
from scene.synthetic.room import Room, build_room
from scene.synthetic.sensor import sense
from scene.synthetic.stereo import sense_stereo
from scene.synthetic.study import build_study, make_far_study_cameras, make_study_cameras
from scene.types import Camera


@dataclass(frozen=True)
class RoomKind:
    """How a room is made."""

    build: Callable[[int], Room]  # by its seed
    cameras: Callable[[int, int, int, int], list[Camera]]  # views, width, height, seed
    far_cameras: Callable[[int, int], list[Camera]]  # width, height
    sense: Callable[[Picture, list[Solid], float, int], np.ndarray]  # of a picture, solids, focal length, seed


ROOMS = {
    "room": RoomKind(build_room, make_cameras, make_far_cameras, sense),
    "study": RoomKind(build_study, make_study_cameras, make_far_study_cameras, sense_stereo),
}
